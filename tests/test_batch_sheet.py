"""The picture of a batch: whole images, in order, before above after."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.batch_sheet import COLUMNS, GAP, LEFT, TOP, batch_sheet
from utils.settings import UserError
from utils.training import central


def batch(number: int, height: int = 30, width: int = 40) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, height, width, 3)).astype(np.uint8)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_each_image_stands_pixel_by_pixel_above_what_became_of_it(tmp_path: Path) -> None:
    before = batch(11)
    after = np.float32(255.4) - before  # floats, beyond 255: rounded and clipped
    batch_sheet(tmp_path / "sheet.png", before, after, "eleven_$images$")
    picture = pixels(tmp_path / "sheet.png")
    two_rows = 2 * 30 + 4 * GAP
    assert picture.shape == (2 * two_rows + TOP, COLUMNS * (40 + GAP) + LEFT, 3)
    for number in range(11):
        top, left = TOP + number // COLUMNS * two_rows, LEFT + number % COLUMNS * (40 + GAP)
        place = picture[top : top + 30, left : left + 40]
        below = picture[top + 30 + GAP :][:30, left : left + 40]
        np.testing.assert_array_equal(place, before[number])
        np.testing.assert_array_equal(below, 255 - before[number])
    assert (picture[TOP + two_rows :, LEFT + 3 * (40 + GAP) :] == 255).all()  # no twelfth


def test_there_are_32_images_at_most(tmp_path: Path) -> None:
    batch_sheet(tmp_path / "many.png", batch(96), batch(96))
    batch_sheet(tmp_path / "some.png", batch(96)[:32], batch(96)[:32])
    np.testing.assert_array_equal(pixels(tmp_path / "many.png"), pixels(tmp_path / "some.png"))


def test_batches_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"received \(3, 30, 40, 3\) and \(3, 30, 30, 3\)"):
        batch_sheet(tmp_path / "sheet.png", batch(3), batch(3, 30, 30))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        batch_sheet(tmp_path / "file" / "sheet.png", batch(3), batch(3))


def test_the_middle_of_a_batch_is_what_is_cropped():
    images = np.arange(2 * 6 * 8).reshape(2, 6, 8, 1)
    assert (central(images, 4) == images[:, 1:5, 2:6]).all()
    assert central(images, 6).shape == (2, 6, 6, 1)
