"""Two photos compared: the words of the verdict, the picture, the window."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.samples import WEAK
from utils import comparison
from utils.alignment import Face
from utils.comparison import Photo, comparison_figure, open_picture, quality_line
from utils.cropping import Crop
from utils.images import read_image
from utils.verdict import basis, decide

RED, BLUE = (250, 0, 0), (0, 0, 250)


def filled(name: str, colour: tuple[int, int, int], size: tuple[int, int] = (30, 40)) -> Photo:
    return Photo(name, np.full((*size, 3), colour, np.uint8))


def test_the_picture_shows_both_photos_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "c.png"
    pair = filled("red.png", RED), filled("blue.png", BLUE)
    comparison_figure(path, pair, decide(2.0, WEAK), basis(WEAK), [Crop(photo.image, 0.5) for photo in pair])
    picture = read_image(path)
    assert picture.shape == (520, 800, 3)
    for colour, half in ((RED, picture[:, :400]), (BLUE, picture[:, 400:])):
        assert (half == colour).all(axis=2).mean() > 0.4
    assert os.listdir(path.parent) == ["c.png"]


def test_the_picture_takes_any_name_and_size(tmp_path: Path) -> None:
    name = "照片 $\\wrong$ <b> Jos\udce9.png"  # the last: a byte that is no UTF-8, as Python has it
    pair = filled(name, RED, (2, 3000)), filled(f"{'long ' * 30}.png", BLUE, (2500, 1))
    path = tmp_path / "c.png"
    comparison_figure(path, pair, decide(0.5, None), "", [Crop(photo.image, 1.0) for photo in pair])
    assert read_image(path).shape == (520, 800, 3)


def test_the_face_that_is_compared_is_marked(tmp_path: Path) -> None:
    """A box round the face, in the colour of chalk: white pixels along its edges and nowhere else."""
    photo = filled("red.png", RED, (400, 400))
    points = np.array(((150, 150), (200, 150), (175, 180), (150, 220), (200, 220)), float)
    face = Face(np.array((100, 80, 260, 300), float), points, 0.99)
    crops = [Crop(photo.image, 1.0, face, 1), Crop(photo.image, 1.0)]
    comparison_figure(tmp_path / "c.png", (photo, photo), decide(0.5, None), "", crops)
    picture = read_image(tmp_path / "c.png").astype(int)
    rows, columns = np.nonzero(np.abs(picture - RED).sum(axis=2) == 0)
    shown = picture[rows.min() : rows.max() + 1, columns.min() : (columns.max() + columns.min()) // 2]
    white = np.argwhere((shown > 230).all(axis=2)) / shown.shape[0] * 400
    left_photo = white[white[:, 1] < 395]
    assert np.abs(left_photo.min(axis=0) - (80, 100)).max() < 5
    assert np.abs(left_photo.max(axis=0) - (300, 260)).max() < 5


def test_what_lowers_the_trust_is_said_of_each_photo() -> None:
    """A plain colour is as blurred as can be; a photo without a face was said to have none."""
    photo = filled("folder/red.png", RED, (20, 20))
    assert quality_line("red.png", photo, Crop(photo.image, 1.0)) == (
        "red.png lowers the trust: small: 6 pixels between the eyes; blurred: sharpness 0"
    )
    assert quality_line("red.png", photo, Crop(photo.image, 1.0, None, 0)) == ""


def test_names_that_are_the_same_show_their_folders() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    same = (Photo("lfw/Ann/0001.jpg", pixels), Photo("lfw/Bob/0001.jpg", pixels))
    assert comparison._shown_names(same) == comparison.names_of(same) == ["Ann/0001.jpg", "Bob/0001.jpg"]
    long = (Photo("a.jpg", pixels), Photo("x" * 50 + "-0002.jpg", pixels))
    names = comparison._shown_names(long)
    assert names[0] == "a.jpg"
    assert len(names[1]) == 40
    assert names[1].endswith("-0002.jpg")


def test_a_window_opens_where_there_is_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(comparison.subprocess, "Popen", lambda command, **options: started.append(command))
    monkeypatch.setattr(comparison.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not open_picture("c.png")
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_picture("c.png")
    assert started == [["/usr/bin/xdg-open", "c.png"]]
    monkeypatch.setattr(comparison.shutil, "which", lambda name: None)
    assert not open_picture("c.png")
    assert len(started) == 1
