"""identify.py from end to end, with an embedder that looks at colours: every verb, and a day's worth of misuse."""

import csv
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import identify
from tests.colours import COLOURS, FakeEmbedder, FakeFinder
from utils.settings import run_verbs


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
    assert "王芳 (distance 0.00, cosine 1.00)" in out
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
    assert "16 photos of 4 people" in capsys.readouterr().out  # ann's new photo is Ann Lee's


def test_a_file_that_shows_somebody_else_now_is_nobodys_photo(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A webcam's file, say: what was enrolled of it stays, and nobody takes another's name."""
    picture(folder / "capture.png", COLOURS["ann"])
    run("enroll", "capture.png", "--person", "Ann")
    before = (folder / "gallery.db").read_bytes()
    (folder / "capture.png").unlink()
    picture(folder / "capture.png", COLOURS["bob"])
    capsys.readouterr()
    run("enroll", "capture.png", "--person", "Bob")
    out = " ".join(capsys.readouterr().out.split())
    assert "capture.png was a photo of Ann and has changed: give it another name" in out
    assert "1 photos of 1 people" in out
    assert (folder / "gallery.db").read_bytes() == before


def test_what_only_changed_its_date_stays_its_persons(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("enroll", "people")
    run("rename", "ann", "Ann Lee")
    for photo in (folder / "people/ann").iterdir():
        os.utime(photo, (5, 5))
    capsys.readouterr()
    assert run("enroll", "people") == 0
    out = capsys.readouterr().out
    assert "has changed" not in out
    assert "13 photos of 3 people" in out


def test_of_a_group_only_photos_with_one_face_are_somebodys(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "people/groups.npz").touch()
    (folder / "people/alone").mkdir()
    picture(folder / "people/alone/0.png", COLOURS["ann"])
    assert run("enroll", "people") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "ten.png: several faces, and group.py's folder does not say whose this is" in out
    assert "12 photos of 3 people" in out


def test_table_and_picture_are_two_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("enroll", "people")
    assert run("who", "stranger.png", "--output", "w.png", "--save_path", "./w.png") == 2
    assert "--output and --save_path are both w.png" in capsys.readouterr().err


def test_a_stranger_is_unknown_and_each_of_ten_faces_has_an_answer(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("enroll", "people")
    capsys.readouterr()
    assert run("who", "stranger.png", "crowd.png", "people/ann/wall.png", "notes.txt", "--output", "who.csv") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "stranger.png [30 px]: unknown; nearest is" in out
    assert "crowd.png, face 10 of 10 [30 px]: bob (distance 0.00, cosine 1.00)" in out
    assert "wall.png: no face found" in out
    assert "notes.txt is not an image" in out
    with open("who.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["", *["bob"] * 10, "", ""]
    assert [float(row["left"]) for row in rows[1:11]] == [5.0 + 30 * number for number in range(10)]
    assert [bool(row["problem"]) for row in rows] == [False] * 11 + [True] * 2
    assert run("who", "crowd.png", "--faces", "main", "--save_path", "") == 0
    assert "face 10" not in capsys.readouterr().out


def test_the_picture_of_before_is_no_photo_of_the_folder_but_ones_own_of_that_name_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("enroll", "people")
    for _ in range(2):
        assert run("who", ".", "--no-show") == 0
        assert "who.png [" not in capsys.readouterr().out
    (folder / "stranger.png").rename(folder / "who.png")
    assert run("who", ".", "--no-show") == 2
    assert "--save_path who.png is one of the photos" in capsys.readouterr().err


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
        (["who", "stranger.png", "--save_path", "stranger.png"], "--save_path stranger.png is one of the photos"),
        (["who", ".", "--output", "people/bob/text.jpg"], "--output people/bob/text.jpg is one of the photos"),
        (["who", "stranger.png", "--output", "gallery.db"], "--output gallery.db is the gallery"),
        (["who", "stranger.png", "--save_path", "a.tx"], "must end in one of .png"),
        (["who", "stranger.png", "--save_path", "notes.txt/a.png"], "cannot write notes.txt/a.png"),
        (["rename", "ann"], "received 1"),
        (["rename", "dan", "Dan"], "nobody is called 'dan'"),
        (["merge", "ann"], "received 1"),
        (["remove"], "received none"),
        (["remove", "-ann"], "unknown flag -ann; --help lists them all; what is no flag comes behind --"),
        (["remove", "--", "-ann"], "nobody is called '-ann' in gallery.db"),
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
        assert f"gallery.db belongs to another embedder ({folder / 'fake.keras'}" in error
        assert "--model_path" in error


def test_without_a_calibration_there_is_no_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identify, "load", lambda settings, known: FakeEmbedder("d" * 64))
    run("enroll", "people")
    assert run("who", "people/ann/0.png") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "there will be distances, no verdicts" in out
    assert "nearest is ann (distance 0.00, cosine 1.00); no verdict without a calibration" in out
