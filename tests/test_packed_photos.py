"""What reads an annotation file reads a packed one: audit, calibration, cleaning, packing again; or says why not."""

import json
from pathlib import Path

import numpy as np
import pytest

import pack
from tests.packed_people import EMPTY, SHARD, every_photo, run, write_people
from utils.alignment import Alignment
from utils.annotations import read_annotations, split_people
from utils.cleaning import write_cleaned
from utils.inspection import inspect
from utils.labelled import crops_of, read_labelled
from utils.settings import UserError
from utils.unlabelled import with_unlabelled


@pytest.fixture(autouse=True)
def _people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pack, "MEGABYTE", SHARD)
    write_people()


def test_audit_calibration_and_cleaning_take_packed_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("cls_train.txt", "out")
    loose, packed = read_annotations("cls_train.txt"), read_annotations("out/cls_train.txt")
    facts = [inspect([a.path(row) for row in range(30)], tmp_path / "facts.npz") for a in (loose, packed)]
    assert (facts[0][0] == facts[1][0]).all()
    assert list(facts[0][1]) == list(facts[1][1]) == [EMPTY]
    monkeypatch.setitem(inspect.__globals__, "read_image", lambda path: pytest.fail(f"{path} is read again"))
    monkeypatch.setitem(inspect.__globals__, "_facts", lambda path: "not remembered")
    again, errors = inspect([packed.path(row) for row in range(30)], tmp_path / "facts.npz")
    assert (again == facts[1][0]).all()
    assert list(errors) == [EMPTY]
    labelled = read_labelled("out/cls_train.txt")
    assert crops_of(labelled, "") == Alignment("landmarks", 80, 4)
    for clean in ("out/clean.txt", "clean.txt"):
        labels = np.where(np.arange(30) == EMPTY, -1, packed.labels)
        write_cleaned(clean, packed, labels)
        assert every_photo(read_annotations(clean)) == [p for row, p in enumerate(every_photo(loose)) if row != EMPTY]


def test_packed_photos_can_be_packed_again() -> None:
    run("cls_train.txt", "out")
    packed = read_annotations("out/cls_train.txt")
    write_cleaned("clean.txt", packed, np.where(packed.labels == 1, -1, packed.labels).astype(np.int64))
    assert run("clean.txt", "out2") == 0
    again = read_annotations("out2/clean.txt")
    assert every_photo(again) == [p for p, label in zip(every_photo(packed), packed.labels, strict=True) if label != 1]
    assert again.path(0).endswith("/Zoë/1.png")
    assert again.path(0).count(".tar:") == 1
    assert json.loads(Path("out2/alignment.json").read_text())["photos"] == 30


def test_unlabelled_photos_cannot_be_told_from_packed_people() -> None:
    run("cls_train.txt", "out")
    packed = read_annotations("out/cls_train.txt")
    with pytest.raises(UserError, match=r"--unlabelled leaves out .*give the annotation file that was packed"):
        with_unlabelled(packed, "people", split_people(packed, 2, 0)[1])
