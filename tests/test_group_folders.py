"""The pile on disk, and the folders of its groups: what is written, what stays, what is refused."""

import csv
import os
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from utils.group_folders import MARK, TABLE, folder_names, place, write_table
from utils.groups_page import A_GROUP, sections, write_page
from utils.photo_faces import Seen
from utils.pile import STATE, Pile
from utils.settings import UserError

ORIGIN = {"embedder": "abc", "faces": "all"}


def seen(*angles: float, problem: str = "") -> Seen:
    """Returns faces at angles on a circle, in boxes one beside the other."""
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) if angles else np.empty((0, 2))
    boxes = np.array([(10 * i, 0, 10 * i + 8, 12) for i in range(len(angles))], np.float32).reshape(-1, 4)
    return Seen(boxes, vectors.astype(np.float32), problem)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Pile, Path, Path]:
    """A pile of five photos, two of them of one name: a couple, one of each, a third person alone, a text file."""
    source, output = tmp_path / "photos", tmp_path / "people"
    pile = Pile(dict(ORIGIN))
    names = ["a/1.jpg", "a/both.jpg", "b/1.jpg", "b/ällein?#.jpg", "b/text.jpg"]
    pile.add(names, [seen(0.0), seen(0.1, 1.5), seen(1.6), seen(3.0), seen(problem="no image\n at all")])
    pile.labels = np.array([0, 0, 1, 1, -1])
    for number, name in enumerate(names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (50 * number, 0, 99)).save(source / name)
    (source / "b/text.jpg").write_text("no image")
    output.mkdir()
    return pile, source, output


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != MARK)


PLACED = [
    *("alone", "alone/ällein?#.jpg", "no_face", "no_face/text.jpg"),
    *("person_0001", "person_0001/1.jpg", "person_0001/both.jpg"),
    *("person_0002", "person_0002/1.jpg", "person_0002/both.jpg"),
]


@pytest.mark.parametrize("how", ["link", "copy"])
def test_a_photo_stands_with_everybody_on_it(made: tuple[Pile, Path, Path], how: Literal["link", "copy"]) -> None:
    pile, source, output = made
    names = folder_names(output, [0, 1])
    assert place(pile, source, output, names, how) == 5
    assert files(output) == sorted(PLACED)
    assert (output / "person_0002/1.jpg").read_bytes() == (source / "b/1.jpg").read_bytes()
    assert (output / "person_0001/1.jpg").is_symlink() == (how == "link")
    assert place(pile, source, output, names, how) == 0
    pile.placed[:] = False  # as after a kill in the middle
    place(pile, source, output, names, how)
    assert files(output) == sorted(PLACED)


@pytest.mark.parametrize("how", ["link", "copy"])
def test_later_nothing_moves_but_out_of_alone(made: tuple[Pile, Path, Path], how: Literal["link", "copy"]) -> None:
    pile, source, output = made
    place(pile, source, output, folder_names(output, [0, 1]), how)
    (output / "person_0002").rename(output / "Änne")
    (output / "Änne" / "1.jpg").unlink()  # it was wrong there: it does not come back
    (output / "alone" / "my own.txt").write_text("stays")
    os.makedirs(source / "c")
    for name in ("1.jpg", "2.jpg"):
        Image.new("RGB", (20, 20)).save(source / "c" / name)
    (output / "person_0001" / "2.jpg").write_text("the user's own")
    pile.add(["c/1.jpg", "c/2.jpg"], [seen(3.0), seen(0.0, 1.5)])
    pile.labels[[4, 5, 6, 7]] = [2, 2, 0, 1]
    pile.placed[3] = False  # it left `alone`
    names = folder_names(output, [0, 1, 2])
    assert names == {0: "person_0001", 1: "Änne", 2: "person_0003"}
    place(pile, source, output, names, how)
    assert files(output / "Änne") == ["2.jpg", "both.jpg"]
    assert files(output / "person_0001") == ["1.jpg", "2.jpg", "2_2.jpg", "both.jpg"]
    assert (output / "person_0001" / "2.jpg").read_text() == "the user's own"
    assert files(output / "person_0003") == ["1.jpg", "ällein?#.jpg"]
    assert files(output / "alone") == ["my own.txt"]


def test_a_copied_folder_is_named(made: tuple[Pile, Path, Path]) -> None:
    _, _, output = made
    for name in ("x", "y"):
        (output / name).mkdir()
        (output / name / MARK).write_text("3\n")
    with pytest.raises(UserError, match=r"x and .*y are the same group"):
        folder_names(output, [2])


def test_links_hold_when_both_folders_move(made: tuple[Pile, Path, Path], tmp_path: Path) -> None:
    pile, source, output = made
    place(pile, source, output, folder_names(output, [0, 1]), "link")
    (tmp_path / "away").mkdir()
    for folder in (source, output):
        folder.rename(tmp_path / "away" / folder.name)
    with Image.open(tmp_path / "away/people/person_0002/1.jpg") as photo:
        assert photo.size == (40, 30)


def test_where_links_cannot_be_made_one_line_says_so(
    made: tuple[Pile, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pile, source, output = made

    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(UserError, match="Operation not permitted; --files copy needs no links; the same command goes"):
        place(pile, source, output, folder_names(output, [0, 1]), "link")
    assert not pile.placed.any()


def test_the_pile_comes_back_as_it_was(made: tuple[Pile, Path, Path]) -> None:
    pile, _, output = made
    pile.photos[0] = os.fsdecode(b"\xff;, .jpg")  # no UTF-8
    pile.save(output)
    back = Pile.open(output, ORIGIN)
    assert (back.photos, back.problems, back.origin) == (pile.photos, pile.problems, ORIGIN)
    for name in ("placed", "photo", "boxes", "embeddings", "labels"):
        assert np.array_equal(getattr(back, name), getattr(pile, name)), name
    back.add(["z.jpg"], [seen(0.3, 0.4)])
    assert back.photo.tolist() == [0, 1, 1, 2, 3, 5, 5]
    assert back.groups_of_photos() == [{0}, {0, 1}, {1}, set(), set(), set()]


def test_what_is_no_pile_is_refused(made: tuple[Pile, Path, Path], tmp_path: Path) -> None:
    pile, source, output = made
    with pytest.raises(UserError, match=r"is not empty and holds no groups\.npz"):
        Pile.open(source, ORIGIN)
    with pytest.raises(UserError, match="is a file"):
        Pile.open(source / "b/text.jpg", ORIGIN)
    pile.save(output)
    with pytest.raises(UserError, match="was made with embedder abc, now other: choose another --output"):
        Pile.open(output, ORIGIN | {"embedder": "other"})
    for content in (b"", b"text", (output / STATE).read_bytes()[:300]):
        (output / STATE).write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            Pile.open(output, ORIGIN)
    assert Pile.open(tmp_path / "new", ORIGIN).photos == []


def test_table_and_page(made: tuple[Pile, Path, Path]) -> None:
    pile, source, output = made
    pile.boxes[3] = np.nan  # a crop
    names = folder_names(output, [0, 1])
    write_table(pile, output / TABLE, names, np.array([0.01, 0.01, 0.02, 0.02, np.nan]))
    with open(output / TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["photo"], row["face"], row["group"]) for row in rows] == [
        *(("a/1.jpg", "1", "person_0001"), ("a/both.jpg", "1", "person_0001"), ("a/both.jpg", "2", "person_0002")),
        *(("b/1.jpg", "1", "person_0002"), ("b/ällein?#.jpg", "1", ""), ("b/text.jpg", "0", "")),
    ]
    assert (rows[2]["left"], rows[3]["left"], rows[4]["distance"]) == ("10.0", "", "")
    assert rows[5]["problem"] == "no image at all"
    assert write_page(output / "index.html", pile, source, names, ["1 < 2 groups"]) == 2
    page = (output / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 5
    assert "1 &lt; 2 groups" in page
    assert 'href="../photos/b/%C3%A4llein%3F%23.jpg"' in page
    assert "in no group<b>1 photo<" in page


def test_a_page_of_many_shows_the_largest_and_the_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    pile = Pile(dict(ORIGIN))
    sizes = [40, 5, 5, 2]
    labels = np.repeat(np.arange(4), sizes)
    rng = np.random.default_rng(0)
    angles = labels + rng.normal(0, 0.05, len(labels))
    pile.add([f"{i}.jpg" for i in range(len(labels))], [seen(angle) for angle in angles])
    pile.labels = labels
    monkeypatch.setattr("utils.groups_page.PICTURES", 2 * A_GROUP + A_GROUP + 7)
    chosen = sections(pile, {i: f"p{i}" for i in range(4)})
    assert [(section.name, section.photos, section.left_out) for section in chosen] == [
        ("p0", 40, 40 - A_GROUP),
        ("p1", 5, 0),
    ]
    off = np.abs(angles - np.arctan2(np.sin(angles[:40]).mean(), np.cos(angles[:40]).mean()))
    assert off[chosen[0].faces[-1]] == off[:40].max()
    assert off[chosen[0].faces[0]] < np.quantile(off[:40], 0.2)


def test_a_photo_that_is_gone_is_not_copied_and_stops_nothing(made: tuple[Pile, Path, Path]) -> None:
    pile, source, output = made
    (source / "a/1.jpg").unlink()
    (source / "b/text.jpg").unlink()
    assert place(pile, source, output, folder_names(output, [0, 1]), "copy") == 5
    assert files(output) == [name for name in PLACED if name not in ("no_face/text.jpg", "person_0001/1.jpg")]
