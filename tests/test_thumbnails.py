"""Small pictures of faces: square, the face in the middle, whatever lies outside the photo."""

import numpy as np
import pytest

from utils.thumbnails import MARGIN, thumbnail

WHITE = (40, 60, 60, 80)  # left, top, right, bottom


def photo() -> np.ndarray:
    image = np.zeros((100, 120, 3), np.uint8)
    left, top, right, bottom = WHITE
    image[top:bottom, left:right] = 255
    return image


def test_the_face_is_in_the_middle_with_its_margin_around_it() -> None:
    small = thumbnail(photo(), np.array(WHITE, np.float32), 30)
    assert small.shape == (30, 30, 3)
    rows, columns = np.nonzero(small[..., 0] > 127)
    border = 30 * MARGIN / (1 + 2 * MARGIN)
    for places in (rows, columns):
        assert places.min() == pytest.approx(border, abs=1)
        assert places.max() == pytest.approx(29 - border, abs=1)


def test_a_face_at_the_edge_keeps_its_place() -> None:
    image = photo()
    image[:20, :20] = 255
    small = thumbnail(image, np.array((0, 0, 20, 20), np.float32), 30)
    assert small.shape == (30, 30, 3)
    assert (small[10:20, 10:20] > 200).all()


def test_without_a_box_it_is_all_of_the_photo() -> None:
    small = thumbnail(photo(), np.full(4, np.nan, np.float32), 24)
    assert small.shape == (24, 24, 3)
    assert small[1, 12].tolist() == [128, 128, 128]  # bars: the photo is wider than high
    assert (small > 200).any()
