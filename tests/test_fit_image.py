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


TEACHERS = (15.565 / 128, 31 / 128, 113.365 / 128, 128.8 / 128)  # a part of a crop that an embedder may look at


def bilinear(image: Pixels, box: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """The pixels of `size` spread over the box, each weighed from its four neighbours by hand."""
    rows, columns = image.shape[:2]
    left, top, right, bottom = np.multiply(box, (columns, rows, columns, rows))
    fitted = np.zeros((*size, 3))
    for v in range(size[0]):
        for u in range(size[1]):
            y = top + (v + 0.5) * (bottom - top) / size[0] - 0.5
            x = left + (u + 0.5) * (right - left) / size[1] - 0.5
            for row, down in ((np.floor(y), 1 - y % 1), (np.floor(y) + 1, y % 1)):
                for column, across in ((np.floor(x), 1 - x % 1), (np.floor(x) + 1, x % 1)):
                    pixel = image[int(np.clip(row, 0, rows - 1)), int(np.clip(column, 0, columns - 1))]
                    fitted[v, u] += down * across * pixel
    return fitted


def rough(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_the_whole_as_a_box_is_the_image() -> None:
    for image in (RGB, rough(128, 128)):
        for options in ({}, {"flip": True}, {"shift": (3.0, -7.0)}):
            expected = fit_image(image, image.shape[:2], 1.0, **options)  # type: ignore[arg-type]
            assert np.array_equal(fit_image(image, image.shape[:2], (0, 0, 1, 1), **options), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "size"),
    [
        (TEACHERS, (150, 150)),
        ((0.1, 0.2, 0.7, 0.8), (77, 77)),  # by about one
        ((0.25, 0.25, 0.75, 0.75), (64, 64)),
        ((-0.2, -0.31, 0.81, 0.7), (160, 160)),  # reaches beyond the image
        ((0.9, 0.9, 1.4, 1.4), (96, 96)),
        ((2.0, 2.0, 3.0, 3.0), (160, 160)),  # sees none of it
    ],
)
@pytest.mark.parametrize("flip", [False, True])
def test_a_box_against_bilinear_weights(
    box: tuple[float, float, float, float], size: tuple[int, int], flip: bool
) -> None:
    """OpenCV counts in 1/32 of a pixel in some versions: a smooth picture, to which that makes no difference."""
    y, x = np.mgrid[:128, :128]
    smooth = np.stack([x + y // 2, 255 - y, 128 + 100 * np.sin(x / 9) * np.cos(y / 7)], axis=2).astype(np.uint8)
    fitted = fit_image(smooth, size, box, flip)
    expected = bilinear(smooth, box, size)
    assert np.abs(fitted - (expected[:, ::-1] if flip else expected)).max() <= 1


def test_a_box_of_rough_pixels_is_right_to_a_32nd_of_a_pixel() -> None:
    image = rough(128, 128)
    difference = np.abs(fit_image(image, (150, 150), TEACHERS) - bilinear(image, TEACHERS, (150, 150)))
    assert difference.max() <= 255 / 32 + 1
    assert difference.mean() < 1.5


def test_a_box_of_whole_pixels_is_cut_out() -> None:
    assert np.array_equal(fit_image(RGB, (24, 32), (0.25, 0.25, 0.75, 0.75)), RGB[12:36, 16:48])
    padded = np.pad(RGB, ((24, 0), (0, 32), (0, 0)), mode="edge")
    assert np.array_equal(fit_image(RGB, (HEIGHT, WIDTH), (0.5, -0.5, 1.5, 0.5)), padded[:HEIGHT, 32:])


@pytest.mark.parametrize("factor", [1.1, 2, 5, 10])
def test_a_box_that_shrinks_does_not_alias(factor: float) -> None:
    lines = np.repeat((np.arange(800) % 2 * 255).astype(np.uint8)[None, :, None], 800, axis=0).repeat(3, axis=2)
    size = round(400 / factor)
    fitted = fit_image(np.ascontiguousarray(lines), (size, size), (0.2501, 0.25, 0.7501, 0.75)).astype(float)
    assert abs(fitted.mean() - 127.5) < 2
    assert factor < 1.5 or fitted.std() < 0.45 * 127.5


def test_a_box_that_shrinks_is_in_its_place() -> None:
    """A ramp, which averaging leaves alone, tells where each pixel comes from."""
    ramp = np.repeat(np.linspace(0, 255, 640)[None, :, None], 640, axis=0).repeat(3, axis=2).round().astype(np.uint8)
    fitted = fit_image(ramp, (100, 100), (0.123, 0.2, 0.877, 0.954))[50, :, 0].astype(float)
    middles = 640 * (0.123 + 0.754 * (np.arange(100) + 0.5) / 100) - 0.5
    assert np.abs(fitted - middles * 255 / 639).max() <= 1


def test_a_box_keeps_its_aspect() -> None:
    fitted = fit_image(blank(128, 128), (160, 160), (0.1, 0.3, 0.9, 0.7))
    inner = (fitted == 0).all(axis=2)
    assert (inner.any(axis=1).sum(), inner.any(axis=0).sum()) == (80, 160)
    assert (fitted[~inner] == GREY).all()
    assert (fitted[:40] == GREY).all()


def test_a_shift_of_a_box_is_a_box_elsewhere() -> None:
    moved = fit_image(RGB, (96, 128), (0.1, 0.2, 0.6, 0.7), shift=(4.8, -12.8))
    step = 4.8 / 96 / 2, -12.8 / 128 / 2  # of 96 output pixels a half of the height, of 128 a half of the width
    assert np.array_equal(
        moved, fit_image(RGB, (96, 128), (0.1 + step[1], 0.2 + step[0], 0.6 + step[1], 0.7 + step[0]))
    )


@pytest.mark.parametrize("box", [(0.5, 0, 0.5, 1), (0, 0.6, 1, 0.5), (0, 0, float("nan"), 1)])
def test_a_box_without_an_inside_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="left < right and top < bottom"):
        fit_image(RGB, (24, 32), box)
