"""CFP's own Protocol folder: its lists of images, its splits, its images or crops in their layout."""

from pathlib import Path

import pytest

from utils.pairs import read_pairs
from utils.settings import UserError

PEOPLE, FRONTAL, PROFILE = 20, 3, 2


@pytest.fixture
def cfp(tmp_path: Path) -> Path:
    """A small CFP: 20 people, 3 frontal and 2 profile images each, 10 folds of 2 + 2 pairs of two people each."""
    root = tmp_path / "cfp-dataset"
    numbers = {"F": FRONTAL, "P": PROFILE}
    views = {"F": "frontal", "P": "profile"}
    for name, number in numbers.items():
        lines = []
        for person in range(1, PEOPLE + 1):
            for image in range(1, number + 1):
                path = f"Data/Images/{person:03d}/{views[name]}/{image:02d}.jpg"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
                lines.append(f"{len(lines) + 1} ../{path}")
        (root / "Protocol").mkdir(exist_ok=True)
        (root / f"Protocol/Pair_list_{name}.txt").write_bytes("\r\n".join(lines).encode() + b"\r\n")
    for kind, number in (("FP", PROFILE), ("FF", FRONTAL)):
        for fold in range(10):
            folder = root / f"Protocol/Split/{kind}/{fold + 1:02d}"
            folder.mkdir(parents=True)
            a, b = 2 * fold, 2 * fold + 1
            same = [(a * FRONTAL + 1, a * number + 2), (b * FRONTAL + 1, b * number + 2)]
            different = [(a * FRONTAL + 1, b * number + 1), (b * FRONTAL + 3, a * number + 2)]
            (folder / "same.txt").write_text("".join(f"{i},{j}\n" for i, j in same))
            (folder / "diff.txt").write_text("".join(f"{i},{j}\n" for i, j in different))
    return root


def named(path: Path, folder: Path) -> list[tuple[str, str, bool, int]]:
    pairs = read_pairs(path, folder)
    names = ["/".join(Path(str(image)).parts[-3:]) for image in pairs.images]
    columns = (pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), pairs.fold.tolist())
    return [(names[a], names[b], s, f) for a, b, s, f in zip(*columns, strict=True)]


def test_frontal_with_profile_is_the_default(cfp: Path) -> None:
    found = named(cfp / "Protocol", cfp / "Data" / "Images")
    assert found[:5] == [
        ("001/frontal/01.jpg", "001/profile/02.jpg", True, 0),
        ("002/frontal/01.jpg", "002/profile/02.jpg", True, 0),
        ("001/frontal/01.jpg", "002/profile/01.jpg", False, 0),
        ("002/frontal/03.jpg", "001/profile/02.jpg", False, 0),
        ("003/frontal/01.jpg", "003/profile/02.jpg", True, 1),
    ]
    assert [row[3] for row in found] == [fold for fold in range(10) for _ in range(4)]
    assert named(cfp / "Protocol" / "Split" / "FP", cfp) == found == named(cfp, cfp)


def test_frontal_with_frontal(cfp: Path) -> None:
    found = named(cfp / "Protocol" / "Split" / "FF", cfp)
    assert found[0] == ("001/frontal/01.jpg", "001/frontal/02.jpg", True, 0)
    assert all("profile" not in first + second for first, second, _, _ in found)


def test_people_are_the_folders_above_the_views(cfp: Path) -> None:
    pairs = read_pairs(cfp / "Protocol", cfp)
    people = pairs.people_of_pairs()
    assert ((people[:, 0] == people[:, 1]) == pairs.same).all()
    assert len(set(pairs.people.tolist())) == PEOPLE
    assert "40 pairs (20 same + 20 different) in 10 folds of 4 to 4" in pairs.remark


def test_crops_in_its_layout_and_missing_ones(cfp: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    (cfp / "Data" / "Images").rename(crops)
    (crops / "001/frontal/01.jpg").rename(crops / "001/frontal/01.webp")
    assert named(cfp / "Protocol", crops)[0][0] == "001/frontal/01.webp"
    (crops / "001/frontal/01.webp").unlink()
    with pytest.raises(UserError, match=r"1 of 60 images are not in .*crops: 001/frontal/01\.jpg \(eval_lfw.py --skip"):
        read_pairs(cfp / "Protocol", crops)
    assert read_pairs(cfp / "Protocol", crops, skip_missing=True).left_out == 2


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("Split/FP/03/same.txt", "1,2\n61,1\n", r"same\.txt line 2: received '61 1', expected 'i,j'"),
        ("Split/FP/03/diff.txt", "0,1\n", "line 1: received '0 1'"),
        ("Split/FP/03/diff.txt", "1;2\n", "line 1: received '1;2'"),
        ("Pair_list_F.txt", "2 ../Data/Images/001/frontal/01.jpg\n", r"Pair_list_F\.txt line 1: .* expected '1 "),
        ("Pair_list_F.txt", "1 ../../frontal/01.jpg\n", r"line 1: received '1 \.\./\.\./frontal"),
    ],
)
def test_bad_lines_are_named(cfp: Path, file: str, text: str, expected: str) -> None:
    (cfp / "Protocol" / file).write_text(text)
    with pytest.raises(UserError, match=expected):
        read_pairs(cfp / "Protocol", cfp)


def test_other_folders_are_refused(cfp: Path) -> None:
    with pytest.raises(UserError, match=r"without Pair_list_F\.txt; expected CFP's Protocol folder"):
        read_pairs(cfp / "Data" / "Images" / "001", cfp)
    (cfp / "Protocol/Split/XX").mkdir()
    with pytest.raises(UserError, match="XX is no split of CFP; choose from FF, FP"):
        read_pairs(cfp / "Protocol/Split/XX", cfp)
    with pytest.raises(UserError, match="nowhere is not a folder"):
        read_pairs(cfp / "Protocol", cfp / "nowhere")
    (cfp / "Protocol/Split/FP/07/diff.txt").unlink()
    with pytest.raises(UserError, match=r"cannot read .*07/diff\.txt: No such file"):
        read_pairs(cfp / "Protocol", cfp)
