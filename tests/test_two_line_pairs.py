"""The lists of CALFW and CPLFW: two lines a pair."""

import os

import pytest

from utils.pairs import read_pairs
from utils.settings import UserError


def test_two_lines_a_pair_as_in_calfw_and_cplfw(tmp_path):
    """CALFW: labels 1..10 of same pairs, 0 of different ones; CPLFW: 1 and 0. Images lie in one folder."""
    for person in ("Carl_Reiner", "Bo", "Ed_Li"):
        for image in (1, 2, 3):
            (tmp_path / f"{person}_{image:04d}.webp").touch()
    lines = ["Carl_Reiner_0001.jpg 1", "Carl_Reiner_0003.jpg 1", "Bo_0002.jpg 10", "Bo_0001.jpg 10"]
    lines += ["Bo_0002.jpg 0", "Carl_Reiner_0001.jpg 0", "Ed_Li_0001.jpg 0", "Bo_0001.jpg 0"]
    (tmp_path / "pairs_CALFW.txt").write_text("\n".join(lines) + "\n")
    pairs = read_pairs(tmp_path / "pairs_CALFW.txt", tmp_path)
    columns = pairs.first, pairs.second, pairs.same
    names = [os.path.basename(path) for path in pairs.images]
    assert [(names[a], names[b], s) for a, b, s in zip(*columns, strict=True)] == [
        ("Carl_Reiner_0001.webp", "Carl_Reiner_0003.webp", True),
        ("Bo_0002.webp", "Bo_0001.webp", True),
        ("Bo_0002.webp", "Carl_Reiner_0001.webp", False),
        ("Ed_Li_0001.webp", "Bo_0001.webp", False),
    ]
    people = pairs.people_of_pairs()
    assert ((people[:, 0] == people[:, 1]) == pairs.same).all()
    assert "without folds" in pairs.remark


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a.jpg 1", "b.jpg 0"], "line 2: received 'b.jpg 0', expected another file with the label of the line before"),
        (["a.jpg 1", "a.jpg 1"], "line 2: received 'a.jpg 1', expected another file"),
        (["a.jpg 1", "b.jpg 1", "c.jpg 0"], "has 3 lines; expected two a pair"),
        (["a.jpg 1", "b.jpg same"], "line 2: received 'b.jpg same', expected 'file label'"),
        (["a.jpg 1", "b.jpg"], "line 2: received 'b.jpg', expected 'file label'"),
    ],
)
def test_bad_two_line_pairs(tmp_path, lines, expected):
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match=expected):
        read_pairs(tmp_path / "pairs.txt", tmp_path)
