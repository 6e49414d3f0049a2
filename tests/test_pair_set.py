"""Who is one person, what folds are said to be, and pairs that cannot be drawn; lists in which little is missing."""

from pathlib import Path

import numpy as np
import pytest

from utils.pair_set import pair_set, remark
from utils.pairs import random_pairs, read_pairs
from utils.settings import UserError


def listed(folder: Path, text: str, *missing: str) -> Path:
    """Writes a list of pairs of paths, and those images of it that are not missing."""
    (folder / "list.txt").write_text(text)
    for name in {name for line in text.splitlines() for name in line.split()[:2]} - {*missing}:
        (folder / f"{name}.jpg").touch()
    return folder / "list.txt"


def test_one_pair_over_two_folders_is_enough_to_join_them() -> None:
    files = [("a/1", "a/2"), ("a/1", "b/1"), ("c/1", "c/2"), ("a/2", "c/1")]
    pairs = pair_set(files, [True, True, True, False], None)
    assert pairs.people_of_pairs().tolist() == [[0, 0], [0, 0], [1, 1], [0, 1]]
    assert "one person's photos are in several folders" in pairs.remark


def test_five_folds_of_lfws_are_not_lfws_protocol() -> None:
    same = np.tile(np.repeat((True, False), 300), 10)
    fold = np.repeat(np.arange(10), 600)
    assert remark(same, fold) == ""
    assert "in 5 folds of 600 to 600" in remark(same[:3000], fold[:3000])


def test_numbers_may_be_paths(tmp_path: Path) -> None:
    pairs = read_pairs(listed(tmp_path, "1 2 1\n3 4 0\n"), tmp_path)
    assert [Path(path).name for path in pairs.images] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]


def test_pairs_without_their_second_image_are_left_out(tmp_path: Path) -> None:
    path = listed(tmp_path, "a b 1\nc d 1\nc b 0\na c 0\n", "b")
    with pytest.raises(UserError, match="1 of 4 images"):
        read_pairs(path, tmp_path)
    pairs = read_pairs(path, tmp_path, skip_missing=True)
    assert (pairs.left_out, pairs.same.tolist()) == (2, [True, False])


def test_the_number_of_the_second_image_is_one(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("1 1\nBo 1 2\nBo 1 Ed two\n")
    with pytest.raises(UserError, match="line 3: received 'Bo 1 Ed two'"):
        read_pairs(tmp_path / "pairs.txt", tmp_path)


def test_pairs_of_both_kinds_are_drawn() -> None:
    labels = np.repeat(np.arange(5), 4)
    assert random_pairs(labels, 4, 0.9, 0)[2].sum() == 3  # of 3.6, but one is of two people
    for ratio in (0.0, 1.0):
        with pytest.raises(UserError, match=f"received 4, {ratio}"):
            random_pairs(labels, 4, ratio, 0)
