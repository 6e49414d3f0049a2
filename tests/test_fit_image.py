"""Fitting photos into the network's input: against slices, bilinear weights written out, and invariants."""

import numpy as np
import pytest

from utils.images import GREY, Pixels, fit_image

HEIGHT, WIDTH = 48, 64
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([X * 4, Y * 5, 255 - X * 3], axis=2).astype(np.uint8)  # every corner and every channel differs


def blank(height: int, width: int) -> Pixels:
    return np.zeros((height, width, 3), np.uint8)


def test_the_same_size_is_the_same_image() -> None:
    fitted = fit_image(RGB, (HEIGHT, WIDTH))
    assert np.array_equal(fitted, RGB)
    assert not np.shares_memory(fitted, RGB)


def test_the_central_crop_is_cut_out_exactly() -> None:
    assert np.array_equal(fit_image(RGB, (24, 32), crop=0.5), RGB[12:36, 16:48])
    assert np.array_equal(fit_image(RGB, (24, 32), crop=0.5, flip=True), RGB[12:36, 16:48][:, ::-1])


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-12, 16), (-20, 30), (100, -100)])
def test_a_shift_shows_the_photo_beyond_the_cut_out_and_then_its_border(shift: tuple[int, int]) -> None:
    padded = np.pad(RGB, ((200, 200), (200, 200), (0, 0)), mode="edge")
    top, left = 200 + 12 + shift[0], 200 + 16 + shift[1]
    expected = padded[top : top + 24, left : left + 32]
    assert np.array_equal(fit_image(RGB, (24, 32), crop=0.5, shift=shift), expected)
    assert np.array_equal(fit_image(RGB, (24, 32), crop=0.5, shift=shift, flip=True), expected[:, ::-1])


def test_a_shift_counts_pixels_of_the_output() -> None:
    """At three times the size, a shift of six moves the photo by two of its pixels."""
    fitted = fit_image(RGB, (HEIGHT * 3, WIDTH * 3), shift=(6.0, -6.0))
    padded = np.pad(RGB, ((2, 2), (2, 2), (0, 0)), mode="edge")
    assert np.array_equal(fitted, fit_image(np.ascontiguousarray(padded[4:, :-4]), (HEIGHT * 3, WIDTH * 3)))


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(48, 64, (160, 160)), (64, 48, (160, 160)), (48, 64, (112, 96)), (300, 500, (160, 160)), (2, 900, (96, 96))],
)
def test_letterboxed_with_the_aspect_kept(height: int, width: int, size: tuple[int, int]) -> None:
    fitted = fit_image(blank(height, width), size)
    assert fitted.shape == (*size, 3)
    inner = (fitted == 0).all(axis=2)
    rows, columns = inner.any(axis=1), inner.any(axis=0)
    assert (fitted[~inner] == GREY).all()
    scale = min(size[0] / height, size[1] / width)
    assert abs(rows.sum() - max(1, height * scale)) <= 0.5
    assert abs(columns.sum() - max(1, width * scale)) <= 0.5
    for filled in (rows, columns):  # in the middle, without holes
        before, after = np.argmax(filled), np.argmax(filled[::-1])
        assert abs(int(before) - int(after)) <= 1
        assert filled.sum() + before + after == len(filled)


def test_enlarging_interpolates_between_the_pixels() -> None:
    """Against bilinear weights written out, with pixel centres at halves."""
    fitted = fit_image(RGB, (HEIGHT * 2, WIDTH * 2)).astype(float)
    y = np.clip((np.arange(HEIGHT * 2) + 0.5) / 2 - 0.5, 0, HEIGHT - 1)
    x = np.clip((np.arange(WIDTH * 2) + 0.5) / 2 - 0.5, 0, WIDTH - 1)
    expected = np.stack(np.broadcast_arrays(x[None, :] * 4, y[:, None] * 5, 255 - x[None, :] * 3), axis=2)
    assert np.abs(fitted - expected).max() <= 1


@pytest.mark.parametrize("factor", [1.6, 2, 5, 10])
def test_shrinking_does_not_alias(factor: float) -> None:
    """Lines one pixel wide become grey, and not stripes or one of the two colours."""
    lines = np.repeat((np.arange(400) % 2 * 255).astype(np.uint8)[None, :, None], 400, axis=0).repeat(3, axis=2)
    size = round(400 / factor)
    fitted = fit_image(np.ascontiguousarray(lines), (size, size)).astype(float)
    assert abs(fitted.mean() - 127.5) < 2
    assert fitted.std() < 0.45 * 127.5


def test_the_photo_is_left_as_it_was() -> None:
    photo = RGB.copy()
    for options in ({}, {"crop": 0.5}, {"flip": True}, {"shift": (2.0, 2.0)}):
        fit_image(photo, (HEIGHT, WIDTH), **options)[:] = 0  # type: ignore[arg-type]
        assert np.array_equal(photo, RGB)
