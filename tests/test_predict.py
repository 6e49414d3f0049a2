"""predict.py with an embedder that looks at colours: the questions and their answers, the calls that are refused."""

import builtins
import io
import os
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from predict import Settings, ask_and_compare, compare, main, typed_path
from tests.samples import WEAK
from utils.alignment import Alignment, Face
from utils.comparison import Photo, read_photo
from utils.cropping import Crop, Cropper
from utils.images import Pixels
from utils.settings import UserError, run_script

THRESHOLDS = WEAK


class FakeEmbedder:
    """The mean colour of a photo as its unit vector: red and blue are at distance 2, red and dark red at 0."""

    def __init__(self, thresholds: dict[str, Any] | None = THRESHOLDS, faces: int | None = None):
        self.thresholds, self.card = thresholds, dict[str, Any]()
        self.flips: list[str] = []
        self.cropper = Cropper(Alignment() if faces is not None else None, finder=FakeFinder(faces or 0))

    def crop_photos(self, choice: str) -> Cropper:
        return self.cropper

    def fit(self, crop: Crop) -> np.ndarray:
        return np.full((4, 4, 3), crop.image.mean(axis=(0, 1)).round().astype(np.uint8))

    def embed_images(self, images: np.ndarray, flip: str = "none") -> np.ndarray:
        self.flips.append(flip)
        means = images.mean(axis=(1, 2))
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


class FakeFinder:
    """Finds as many faces as it was told to, the first in the upper left corner, each next one larger."""

    def __init__(self, faces: int):
        self.faces = faces

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        points = np.array(((3, 4), (7, 4), (5, 6), (3, 8), (7, 8)), float)
        faces = [Face(np.array((0, 0, 10 + i, 12 + i), float), points, 0.99) for i in range(self.faces)]
        return [list(faces) for _ in images]


RED, DARK_RED, BLUE = (250, 0, 0), (90, 0, 0), (0, 0, 250)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: red.png, my photos/it's dark.png, blue.png, cut.png (truncated)."""
    (tmp_path / "my photos").mkdir()
    for name, colour in (("red.png", RED), ("my photos/it's dark.png", DARK_RED), ("blue.png", BLUE)):
        Image.new("RGB", (40, 30), colour).save(tmp_path / name)
    (tmp_path / "cut.png").write_bytes((tmp_path / "red.png").read_bytes()[:50])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "my photos/it's dark.png",
        "'my photos/it'\\''s dark.png'",  # as GNOME's terminal writes a dragged file
        "my\\ photos/it\\'s\\ dark.png",  # as macOS does
        '"my photos/it\'s dark.png"',  # as Windows does
        "~/my photos/it's dark.png",
        "'~/my photos/it'\\''s dark.png'",
    ],
)
def test_a_path_is_understood_as_terminals_write_it(folder: Path, text: str) -> None:
    assert os.path.samefile(typed_path(text), folder / "my photos" / "it's dark.png")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("nothing.jpg", "nothing.jpg"), ("'a b.jpg'", "a b.jpg"), ("it's.jpg", "it's.jpg"), ("C:\\a.jpg", "C:\\a.jpg")],
)
def test_a_wrong_path_is_shown_as_it_was_typed(folder: Path, text: str, shown: str) -> None:
    assert typed_path(text) == shown


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Lines on standard input, and then its end (Ctrl-D)."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_asks_again_and_again_until_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, "red.png", "'my photos/it'\\''s dark.png'", "red.png", "blue.png")
    ask_and_compare(FakeEmbedder(), Settings())
    out = capsys.readouterr().out
    assert "distance 0.00 (cosine 1.00): the same person, at a false-accept rate of\n  1 in 1,000\n" in out
    assert "distance 2.00 (cosine 0.00): different people, at a false-reject rate of 1 in 5\n" in out
    assert out.count(f"picture {folder / 'comparison.png'}\n") == 2
    assert out.count("first photo: ") == 3
    assert out.count("second photo: ") == 2
    assert max(len(line) for line in out.splitlines()) <= 80 + len(str(folder))


@pytest.mark.parametrize("last", ["q", "Q", " quit ", "exit"])
def test_a_bad_answer_is_one_line_and_the_question_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], last: str
) -> None:
    answers(monkeypatch, "red.png", "nothing.jpg", ".", "cut.png", "", "blue.png", last, "red.png")
    ask_and_compare(FakeEmbedder(), Settings())
    asked = capsys.readouterr().out.split("second photo: ")
    first = [
        next(line for line in part.splitlines() if " lowers the trust" not in line and line[:2] != "  ")
        for part in asked[1:]
    ]
    assert first == [
        "nothing.jpg: no such file",
        ". is a folder, not a photo",
        "cut.png is truncated: its end is missing",
        "a path of a photo, or q to leave",
        "distance 2.00 (cosine 0.00): different people, at a false-reject rate of 1 in 5",
    ]
    assert asked[-1].count("first photo: ") == 1


@pytest.mark.parametrize("where", [1, 2])
def test_ctrl_c_leaves_quietly(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: int
) -> None:
    asked: list[str] = []

    def interrupted(question: str) -> str:
        asked.append(question)
        if len(asked) == where:
            raise KeyboardInterrupt
        return "red.png"

    monkeypatch.setattr(builtins, "input", interrupted)
    ask_and_compare(FakeEmbedder(), Settings())
    assert len(asked) == where
    assert capsys.readouterr().err == ""


def test_a_picture_that_cannot_be_written_does_not_end_the_questions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, "red.png", "blue.png", "q")
    ask_and_compare(FakeEmbedder(), Settings(save_path="red.png/a.png"))
    out = capsys.readouterr().out
    assert "cannot write red.png/a.png" in out
    assert out.count("first photo: ") == 2


def photos(*names: str) -> tuple[Photo, Photo]:
    first, second = (read_photo(name) for name in names)
    return first, second


def test_without_thresholds_there_is_a_distance_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(FakeEmbedder(None), photos("red.png", "blue.png"), Settings())
    assert "distance 2.00 (cosine 0.00): no verdict without stored thresholds" in capsys.readouterr().out


def test_embeds_as_the_thresholds_were_measured(folder: Path) -> None:
    embedder = FakeEmbedder(THRESHOLDS | {"flip": "concat"})
    compare(embedder, photos("red.png", "blue.png"), Settings())
    assert embedder.flips == ["concat"]


def test_a_photo_without_a_face_gets_a_distance_and_no_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = compare(FakeEmbedder(faces=0), photos("red.png", "blue.png"), Settings())
    out = capsys.readouterr().out
    assert verdict.same is None
    assert "red.png: no face found; the whole photo is compared" in out
    assert "distance 2.00 (cosine 0.00): no verdict where no face was found" in out


@pytest.mark.parametrize(
    ("faces", "line"), [(1, "a face of 12 pixels"), (3, "3 faces; compared is the main one (of 14 pixels:")]
)
def test_says_which_face_is_compared(folder: Path, capsys: pytest.CaptureFixture[str], faces: int, line: str) -> None:
    compare(FakeEmbedder(faces=faces), photos("red.png", "blue.png"), Settings())
    out = capsys.readouterr().out
    assert f"red.png: {line}" in out
    assert f"blue.png: {line}" in out
    assert "different people" in out


def test_never_writes_the_picture_over_a_photo(folder: Path) -> None:
    before = (folder / "red.png").read_bytes()
    with pytest.raises(UserError, match=r"red\.png is one of the photos"):
        compare(FakeEmbedder(), photos("blue.png", "red.png"), Settings(save_path="./red.png"))
    assert (folder / "red.png").read_bytes() == before


def test_the_picture_is_shown_unless_it_is_not_wanted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("utils.comparison.open_picture", shown.append)
    compare(FakeEmbedder(), photos("red.png", "blue.png"), Settings(show=False))
    assert shown == []
    compare(FakeEmbedder(), photos("red.png", "blue.png"), Settings())
    assert shown == [str(folder / "comparison.png")]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls that load an embedder; Keras stays away."""
    calls: list[tuple[Any, ...]] = []

    class Loader:
        @staticmethod
        def load(*arguments: Any) -> FakeEmbedder:
            calls.append(arguments)
            return FakeEmbedder(None if "no_thresholds" in str(arguments[0]) else THRESHOLDS)

    module = types.ModuleType("utils.embedder")
    module.Embedder = Loader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "utils.embedder", module)
    return calls


def test_two_photos_are_compared_once(
    folder: Path, loads: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "m.h5").touch()
    run_script(main, Settings, ["red.png", "blue.png", "--model-path", "m.h5", "--input-size", "112"])
    assert loads == [(Path("m.h5"), 112)]
    out = capsys.readouterr().out
    assert out.startswith("embedder m.h5\nphotos are taken as they are")
    assert "\nthresholds measured on 6,000 pairs" in out
    assert "different people" in out
    assert (folder / "comparison.png").is_file()


def test_the_default_embedder_is_the_default(
    folder: Path,
    loads: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = Path("logs/no_thresholds/embedder_best.keras")
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setattr("utils.runs.default_embedder", lambda: path)
    answers(monkeypatch)
    main(Settings())
    assert loads == [(path, None)]
    out = capsys.readouterr().out
    assert "(the newest run)" in out
    assert "nothing was measured with these weights" in out
    assert "python calibrate.py --model_path" in out
    assert max(len(line) for line in out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["red.png"], "two photos are compared; received 1"),
        (["red.png", "blue.png", "red.png"], "received 3"),
        (["red.png", "nothing.jpg"], "nothing.jpg: no such file"),
        (["cut.png", "red.png"], "cut.png is truncated"),
        (["red.png", "blue.png", "--align", "landmark-128-8"], "--align takes auto, no or an alignment's name"),
        (["red.png", "blue.png", "--save_path", "a.tx"], "--save_path 'a.tx' must end in one of .png"),
        (["red.png", "blue.png", "--save_path", ".png"], "--save_path '.png' must end in one of .png"),
        (["red.png", "blue.png", "--input_size", "-1"], "--input_size is a number of pixels; received -1"),
        (["--modelpath", "a"], "unknown flag --modelpath (did you mean '--model_path'?)"),
    ],
)
def test_a_wrong_call_is_refused_before_keras_starts(
    folder: Path, loads: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_script(main, Settings, argv)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error
    assert loads == []
