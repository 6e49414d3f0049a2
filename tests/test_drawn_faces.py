"""The drawn people: deterministic, told by more than their colour, and a pairs file as LFW's."""

from pathlib import Path

import numpy as np
import pytest

from datasets.drawn_faces import Settings, draw_face, draw_people, main, person_name
from utils.lfw_pairs import write_pairs
from utils.settings import UserError


def same_and_different(vectors: np.ndarray) -> float:
    """Returns the share of (same, different) pairs of distances that are in order; `vectors` (people, images, D)."""
    people, images, _ = vectors.shape
    labels = np.repeat(np.arange(people), images)
    flat = vectors.reshape(people * images, -1).astype(float)
    distances = ((flat[:, None] - flat[None]) ** 2).sum(2)
    upper = np.triu(np.ones_like(distances, bool), 1)
    same = labels[:, None] == labels[None]
    return float((distances[upper & same][:, None] < distances[upper & ~same][None]).mean())


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack([[draw_face(person, image, 64, 0) for image in range(6)] for person in range(20)])


def test_an_image_is_a_function_of_seed_person_and_image() -> None:
    again = draw_face(3, 5, 64, 0)
    draw_face(4, 0, 64, 1)
    assert again.dtype == np.uint8
    assert again.shape == (64, 64, 3)
    np.testing.assert_array_equal(draw_face(3, 5, 64, 0), again)
    for other in (draw_face(4, 5, 64, 0), draw_face(3, 6, 64, 0), draw_face(3, 5, 64, 1)):
        assert np.abs(other.astype(int) - again).mean() > 10
        assert np.abs(other[:6].astype(int) - again[:6]).mean() > 10  # the background too


def test_another_size_shows_the_same_face() -> None:
    small, large = draw_face(3, 5, 64, 0).astype(float), draw_face(3, 5, 128, 0).astype(float)
    shrunk = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 15


def test_the_colour_alone_tells_little_and_the_face_tells_more(faces: np.ndarray) -> None:
    assert 0.5 < same_and_different(faces.mean((2, 3))) < 0.7
    coarse = faces.reshape(20, 6, 8, 8, 8, 8, 3).mean((3, 5))[:, :, 1:7, 1:7]
    grey = coarse.mean(-1).reshape(20, 6, -1)
    assert 0.6 < same_and_different(grey - grey.mean(-1, keepdims=True)) < 0.95


def test_people_are_distinct(faces: np.ndarray) -> None:
    means = faces.mean(1, dtype=float).reshape(20, -1)
    distances = np.abs(means[:, None] - means[None]).mean(2)
    assert distances[~np.eye(20, dtype=bool)].min() > 8


def test_draw_people_writes_a_folder_each(tmp_path: Path) -> None:
    draw_people(tmp_path / "one", 3, 2, 64, 0, first_person=7)
    names = [person_name(person) for person in (7, 8, 9)]
    expected = {f"{name}/{name}_000{image}.jpg" for name in names for image in (1, 2)}
    written = {path.relative_to(tmp_path / "one").as_posix() for path in tmp_path.glob("one/*/*")}
    assert written == expected
    draw_people(tmp_path / "two", 1, 2, 64, 0, first_person=8)
    assert (tmp_path / "two" / names[1] / f"{names[1]}_0002.jpg").read_bytes() == (
        tmp_path / "one" / names[1] / f"{names[1]}_0002.jpg"
    ).read_bytes()


def test_names_are_all_different() -> None:
    assert len({person_name(person) for person in range(12_000)}) == 12_000


@pytest.mark.parametrize(("people", "images", "disjoint"), [(40, 6, True), (8, 12, False)])
def test_pairs_are_as_in_lfw(tmp_path: Path, people: int, images: int, disjoint: bool) -> None:
    names = [f"person {k}" for k in range(people)]
    write_pairs(tmp_path / "pairs.txt", names, images, 200, 0)
    first, *rows = [line.split("\t") for line in (tmp_path / "pairs.txt").read_text().splitlines()]
    assert first == ["10", "10"]
    assert [len(row) for row in rows] == ([3] * 10 + [4] * 10) * 10
    photos = [((r[0], r[1]), (r[0], r[2])) if len(r) == 3 else ((r[0], r[1]), (r[2], r[3])) for r in rows]
    assert len({frozenset(pair) for pair in photos}) == 200  # none twice, none with itself
    for (a, i), (b, j) in photos:
        assert {a, b} <= set(names)
        assert {int(i), int(j)} <= set(range(1, images + 1))
    assert all(a != b for (a, _), (b, _) in (pair for pair, row in zip(photos, rows, strict=True) if len(row) == 4))
    folds = [{name for pair in photos[k : k + 20] for name, _ in pair} for k in range(0, 200, 20)]
    shared = [a & b for k, a in enumerate(folds) for b in folds[:k]]
    assert any(shared) != disjoint


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"people": 0}, "people 0"),
        ({"size": 8}, "size 8 px"),
        ({"seed": -1}, "seed -1"),
        ({"pairs_file": "pairs.txt", "pairs": 30}, "30 pairs"),
        ({"pairs_file": "pairs.txt", "people": 2, "images": 2}, "2 people with 2 images have 2"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, int | str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        main(Settings(**changed))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_script_writes_people_and_their_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.txt"
    main(Settings(str(tmp_path / "people"), people=4, images=4, size=32, pairs_file=str(pairs), pairs=20))
    for line in pairs.read_text().splitlines()[1:]:
        name, image = line.split("\t")[:2]
        assert (tmp_path / "people" / name / f"{name}_{int(image):04d}.jpg").exists()
    assert "4 people with 4 images" in capsys.readouterr().out
