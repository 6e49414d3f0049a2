"""identify.py from end to end, with an embedder that looks at colours: every verb, and a day's worth of misuse."""

import csv
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import identify
from tests.stores import vectors
from utils.alignment import Alignment, Face
from utils.calibration import Calibration, one_to_many
from utils.cropping import Crop, Cropper
from utils.enrolment import enroll_photos, origin_for, photos_to_enroll
from utils.faces_named import EveryFace
from utils.gallery import Gallery
from utils.identification import Answer, Identifier
from utils.images import Pixels
from utils.settings import run_verbs

SHA = "c" * 64
COLOURS = {"ann": (250, 20, 20), "bob": (20, 250, 20), "王芳": (20, 20, 250)}
FACE = Face(np.array((5.0, 5.0, 25.0, 35.0)), np.array(((10, 15), (20, 15), (15, 20), (11, 28), (19, 28)), float), 0.99)


def calibration() -> Calibration:
    """Strangers are at 0.4 and above, the same at 0.05 and below."""
    rng = np.random.default_rng(0)
    strangers, same = 0.55 + 0.04 * rng.standard_normal(5000), 0.05 * rng.random(500)
    is_same = np.repeat((False, True), (5000, 500))
    return Calibration.fit(np.concatenate((strangers, same)), is_same, 50)


class FakeEmbedder:
    """The mean colour of a photo as its unit vector; a photo taller than wide is raw, one of grey has no face."""

    def __init__(self, sha256: str = SHA, path: str = "fake.keras"):
        self.card = {"sha256": sha256} | ({} if sha256 != SHA else {"calibration": calibrated(sha256)})
        self.path, self.thresholds, self.size = Path(path), None, (4, 4)
        self.network: Any = type("Network", (), {"output_shape": (None, 3)})
        self.cropper = Cropper(Alignment(size=32), finder=FakeFinder())
        self.embedded = 0

    def crop_photos(self, choice: str, crops: Alignment | None = None) -> Cropper:
        return self.cropper

    def fit(self, crop: Crop) -> Pixels:
        return np.full((4, 4, 3), crop.image.mean(axis=(0, 1)).round().astype(np.uint8))

    def embed_images(self, images: Pixels, flip: str = "none") -> np.ndarray[Any, Any]:
        self.embedded += len(images)
        means = images.reshape(len(images), -1, 3).mean(axis=1) if len(images) else np.empty((0, 3))
        return (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def calibrated(sha256: str) -> dict[str, Any]:
    return calibration().into_card({"sha256": sha256})["calibration"]


class FakeFinder:
    """No face in grey, ten in a photo wider than high, else one."""

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        return [self._faces(image) for image in images]

    def _faces(self, image: Pixels) -> list[Face]:
        if np.ptp(image.mean(axis=(0, 1))) < 30:
            return []
        steps = range(10 if image.shape[1] > image.shape[0] else 1)
        moved = (np.array((30.0 * n, 0.0)) for n in steps)
        return [Face(FACE.box + np.tile(move, 2), FACE.landmarks + move, 0.99) for move in moved]


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (32, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: three people of four photos each, and what else lies about in such folders."""
    for name, colour in COLOURS.items():
        for number in range(4):
            shade = tuple(max(0, part - 5 * number) for part in colour)
            picture(tmp_path / "people" / name / f"{number}.png", (shade[0], shade[1], shade[2]))
    picture(tmp_path / "people/ann/wall.png", (120, 120, 120))
    picture(tmp_path / "people/ann/ten.png", COLOURS["ann"], (320, 40))
    (tmp_path / "people/bob/cut.png").write_bytes((tmp_path / "people/bob/0.png").read_bytes()[:50])
    (tmp_path / "people/bob/text.jpg").write_text("not a photo")
    (tmp_path / "people/readme.txt").write_text("not a person")
    picture(tmp_path / "stranger.png", (200, 200, 10))
    picture(tmp_path / "crowd.png", COLOURS["bob"], (320, 40))
    (tmp_path / "notes.txt").write_text("a text")
    (tmp_path / "fake.keras").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(identify, "load", lambda settings, known: FakeEmbedder())
    monkeypatch.setitem(sys.modules, "utils.detector", SimpleNamespace(Detector=FakeFinder))  # the real one is on Keras
    return tmp_path


def run(*argv: str) -> int:
    """Runs a verb, and returns the exit code."""
    try:
        run_verbs(identify.VERBS, "", argv)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_from_folders_to_names_and_back_to_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("enroll", "people") == 0
    out = capsys.readouterr().out
    assert "enrolled 13 photos; 0 were there already; 3 left out" in out
    assert "several faces on 1 of them: the main one was taken" in out
    for line in ("wall.png: no face found", "cut.png is truncated", "text.jpg is not an image"):
        assert line in " ".join(out.split())
    assert "gallery.db: 13 photos of 3 people" in out
    assert run("who", "people/王芳/0.png", "--no-show") == 0
    out = capsys.readouterr().out
    assert "王芳 (distance 0.00)" in out
    assert "of strangers" in out
    assert (folder / "who.png").stat().st_size > 1000
    assert run("rename", "王芳", "Fang Wang") == 0
    assert run("merge", "ann", "bob") == 0
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == ["      4  Fang Wang", "      9  ann", "     13  photos of 2 people"]
    assert run("remove", "ann") == 0
    assert run("list", "Fang Wang") == 0
    assert str(folder / "people/王芳/0.png") in capsys.readouterr().out
    assert run("export", "people.json") == 0
    assert b"ann" not in (folder / "gallery.db").read_bytes()
    assert max(len(line) for line in out.splitlines()) <= 80 + len(str(folder))


def test_enrolling_again_does_nothing_and_new_photos_are_added(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("enroll", "people")
    run("rename", "ann", "Ann Lee")
    again = FakeEmbedder()
    monkeypatch.setattr(identify, "load", lambda settings, known: again)
    picture(folder / "people/ann/new.png", COLOURS["ann"])
    capsys.readouterr()
    assert run("enroll", "people") == 0
    out = capsys.readouterr().out
    assert "enrolled 1 photos; 13 were there already" in out
    assert "photos of ann are enrolled as Ann Lee, and stay so" in out
    assert again.embedded == 1
    assert run("enroll", "stranger.png", "crowd.png", "--person", " Zoë ") == 0
    assert "16 photos of 5 people" in capsys.readouterr().out  # ann's new photo is under the folder's name


def test_a_stranger_is_unknown_and_each_of_ten_faces_has_an_answer(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("enroll", "people")
    capsys.readouterr()
    assert run("who", "stranger.png", "crowd.png", "people/ann/wall.png", "notes.txt", "--output", "who.csv") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "stranger.png [30 px]: unknown; nearest is" in out
    assert "crowd.png, face 10 of 10 [30 px]: bob (distance 0.00)" in out
    assert "wall.png: no face found" in out
    assert "notes.txt is not an image" in out
    with open("who.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["", *["bob"] * 10, "", ""]
    assert [float(row["left"]) for row in rows[1:11]] == [5.0 + 30 * number for number in range(10)]
    assert [bool(row["problem"]) for row in rows] == [False] * 11 + [True] * 2
    assert run("who", "crowd.png", "--faces", "main", "--save_path", "") == 0
    assert "face 10" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["enroll"], "enroll takes folders of people"),
        (["enroll", "nowhere"], "no such file or folder: 'nowhere'"),
        (["enroll", "stranger.png"], "'stranger.png' is a file: whose photo is it? --person NAME"),
        (["enroll", "people/ann"], "no photo as <person>/<photo> in people/ann (found: 6 files outside"),
        (["enroll", "stranger.png", "--person", "\t"], "is no name"),
        (["enroll", "people", "--gallery", "notes.txt"], "notes.txt: it is no gallery"),
        (["who"], "photos or folders of photos are expected"),
        (["who", "nowhere.jpg"], "no such file or folder: 'nowhere.jpg'"),
        (["who", "stranger.png", "--gallery", "none.db"], "no gallery 'none.db'; python identify.py enroll"),
        (["who", "notes.txt"], "notes.txt is not an image"),
        (["who", "people/ann/wall.png"], "wall.png: no face found"),
        (["who", "stranger.png", "--far", "2"], "--far is 2"),
        (["who", "stranger.png", "--save_path", "notes.txt/a.png"], "cannot write notes.txt/a.png"),
        (["rename", "ann"], "received 1 names"),
        (["rename", "dan", "Dan"], "nobody is called 'dan'"),
        (["merge", "ann"], "received 1 names"),
        (["remove"], "received none"),
        (["remove", "anne"], "nobody is called 'anne' in gallery.db (did you mean 'ann'?)"),
        (["export", "people.pkl"], "must end in .json or .npz"),
        (["export"], "export takes a file"),
        (["who", "stranger.png", "--store", "milvus://bad host/x y"], "is expected"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    run("enroll", "people")
    before = (folder / "gallery.db").read_bytes()
    capsys.readouterr()
    assert run(*argv) == 2
    error = capsys.readouterr().err.rpartition("error: ")[2]
    assert error.count("\n") == 1
    assert words in error
    assert (folder / "gallery.db").read_bytes() == before
    assert (folder / "notes.txt").read_text() == "a text"


def test_another_embedder_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("enroll", "people")
    monkeypatch.setattr(identify, "load", lambda settings, known: FakeEmbedder("d" * 64))
    for argv in (("who", "stranger.png"), ("enroll", "people")):
        assert run(*argv) == 2
        error = capsys.readouterr().err
        assert "gallery.db belongs to another embedder (fake.keras" in error
        assert "--model_path" in error


def test_without_a_calibration_there_is_no_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identify, "load", lambda settings, known: FakeEmbedder("d" * 64))
    run("enroll", "people")
    assert run("who", "people/ann/0.png") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "there will be distances, no verdicts" in out
    assert "nearest is ann (distance 0.00); no verdict without a calibration" in out


def test_an_interrupted_enrolment_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, _ = photos_to_enroll(["people"])
    embedder = FakeEmbedder()

    class Tired(FakeEmbedder):
        def embed_images(self, images: Pixels, flip: str = "none") -> np.ndarray[Any, Any]:
            if self.embedded >= 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super().embed_images(images, flip)

    monkeypatch.setattr("utils.enrolment.RAW_AT_ONCE", 2)
    with Gallery.create("g.db", origin_for(embedder)) as gallery:  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            enroll_photos(Tired(), gallery, work, written=2)  # type: ignore[arg-type]
        half = sum(person.photos for person in gallery.people())
        assert 0 < half < 13
        done = enroll_photos(embedder, gallery, work, written=2)  # type: ignore[arg-type]
        assert (done.known, done.photos, embedder.embedded) == (half, 13 - half, 13 - half)


def test_the_threshold_is_that_of_a_search_among_so_many(tmp_path: Path) -> None:
    """Of strangers drawn like those of the calibration, the share that was asked for is given a name."""
    size, number = 128, 300
    pairs = 2 - 2 * np.einsum("nd,nd->n", vectors(50_000, 1, size), vectors(50_000, 2, size))
    same = np.linspace(0.01, 0.5, 500)
    fitted = Calibration.fit(np.concatenate((pairs, same)), np.repeat((False, True), (50_000, 500)), 100)
    origin = FakeEmbedder()
    with Gallery.create(tmp_path / "g.db", origin_for(origin)._replace(size=size)) as gallery:  # type: ignore[arg-type]
        with gallery.batch():
            for row, vector in enumerate(vectors(number, 3, size)):
                gallery.enroll(str(row), vector[None], [f"photo {row}"])
        for far in (0.3, 0.05):
            identifier = Identifier(gallery, fitted, far)
            answers = identifier.who(vectors(2000, 4, size))
            assert np.mean([answer.name is not None for answer in answers]) == pytest.approx(far, rel=0.25)
            assert all((answer.name is not None) == (answer.chance < far) for answer in answers if answer.chance)
            assert identifier.threshold(number) == fitted.distance_at(one_to_many(far, number))
        chances = np.array([answer.chance for answer in answers])
        assert np.mean(chances < 0.5) == pytest.approx(0.5, abs=0.1)  # the answer's own rate holds as well
        named = Identifier(gallery, fitted, 0.05).who(vectors(number, 3, size)[:1])[0]
        assert named == Answer("0", "0", pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
        assert "fewer than 1 in 1,000,000 of strangers" in str(named)


def test_faces_are_cropped_from_the_left_and_crops_stay(folder: Path) -> None:
    cropper = Cropper(Alignment(size=32), finder=FakeFinder())
    crowd, crop, wall = (
        np.zeros((40, 320, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
        np.full((9, 9, 3), 7, np.uint8),
    )
    crowd[..., 0] = 200
    faces = EveryFace(cropper)([crop, crowd, wall])
    assert [len(some) for some in faces] == [1, 10, 1]
    assert faces[0][0].faces is None
    assert faces[2][0].faces == 0
    assert [some.face.box[0] for some in faces[1] if some.face] == [5.0 + 30 * number for number in range(10)]
    alone = cropper([crowd])[0]
    assert any(np.array_equal(alone.image, some.image) for some in faces[1])
