"""People held out who cannot be measured are said before the first epoch, not found after it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.annotations import Annotations, read_annotations, write_annotations
from utils.settings import UserError
from utils.validation import verification_sets


@pytest.fixture
def people(tmp_path: Path) -> Annotations:
    """Two people of eight photos."""
    names = [(person, [f"{photo}.png" for photo in range(8)]) for person in ("Ann", "Bob")]
    for person, photos in names:
        (tmp_path / person).mkdir()
        for photo in photos:
            Image.new("RGB", (8, 8)).save(tmp_path / person / photo)
    write_annotations(tmp_path / "people.txt", tmp_path, names)
    return read_annotations(tmp_path / "people.txt")


def test_pairs_of_both_kinds_are_measured(people: Annotations) -> None:
    pairs = verification_sets(people, 40, None, 0)["held_out"]
    assert np.bincount(pairs.same).tolist() == [20, 20]


def test_where_one_persons_folder_is_gone_pairs_of_one_kind_are_not(
    people: Annotations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tmp_path / "Bob")
    assert verification_sets(people, 100, None, 0) == {}
    said = " ".join(capsys.readouterr().out.split())
    assert "no validation: the 2 people held out give 25 pairs of one person and 0 of two, too few" in said


def test_a_list_of_same_pairs_alone_is_refused(people: Annotations, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("".join(f"Ann/{k}.png Ann/{k + 1}.png 1\n" for k in range(7)))
    with pytest.raises(UserError, match="needs same and different pairs; received 7 and 0"):
        verification_sets(people, 0, (str(tmp_path), str(tmp_path / "pairs.txt")), 0)
