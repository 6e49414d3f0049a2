"""Blur, fewer pixels, JPEG: against NumPy, Pillow and OpenCV."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from nets.degradation import _steps, blurred, compressed, resampled


def smooth(shape: tuple[int, ...]) -> np.ndarray:
    """Images as photos are: detail at all scales, float32 0..255, whole numbers."""
    random = np.random.default_rng(3)
    octaves = [random.normal(size=(shape[0], -(-shape[1] // n), -(-shape[2] // n), 3)) for n in (16, 8, 4, 2, 1)]
    total = np.zeros(shape)
    for n, octave in zip((16, 8, 4, 2, 1), octaves, strict=True):
        total += n * octave.repeat(n, axis=1).repeat(n, axis=2)[:, : shape[1], : shape[2]]
    return np.clip(128 + 5 * total, 0, 255).round().astype(np.float32)


def test_blur_is_a_gaussian_mean_per_image() -> None:
    images = smooth((2, 12, 17, 3))
    found = np.asarray(blurred(images, np.float32([0.6, 2.0])))
    for image, deviation, result in zip(images, (0.6, 2.0), found, strict=True):
        for y, x in ((0, 0), (5, 16), (6, 8)):
            rows = np.exp(-((np.arange(12) - y) ** 2) / (2 * deviation**2))
            columns = np.exp(-((np.arange(17) - x) ** 2) / (2 * deviation**2))
            weights = np.outer(rows / rows.sum(), columns / columns.sum())
            np.testing.assert_allclose(result[y, x], (weights[..., None] * image).sum((0, 1)), atol=1e-2)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.625])
def test_fewer_pixels_are_those_of_pillow(share: float) -> None:
    images = smooth((2, 40, 48, 3))
    found = np.asarray(resampled(images, np.float32([share, share])))
    for image, result in zip(images, found, strict=True):
        photo = Image.fromarray(image.astype(np.uint8))
        small = photo.resize((round(48 * share), round(40 * share)), Image.Resampling.BILINEAR)
        expected = np.asarray(small.resize((48, 40), Image.Resampling.BILINEAR), np.float32)
        assert np.abs(result - expected).max() < 2.1  # Pillow rounds to whole numbers four times on the way
        assert np.abs(result - expected).mean() < 0.5


def test_each_image_has_its_own_share_and_all_pixels_change_nothing() -> None:
    images = smooth((3, 40, 40, 3))
    found = np.asarray(resampled(images, np.float32([1.0, 0.5, 0.2])))
    np.testing.assert_allclose(found[0], images[0], atol=1e-3)
    detail = np.abs(np.diff(found, axis=2)).mean(axis=(1, 2, 3)) / np.abs(np.diff(images, axis=2)).mean(axis=(1, 2, 3))
    assert detail[0] > 0.99 > 0.7 > detail[1] > 1.1 * detail[2]


@pytest.mark.parametrize("quality", [10, 30, 50, 60])
@pytest.mark.parametrize("size", [(40, 48), (37, 43)], ids=str)
def test_compression_loses_what_a_jpeg_loses(quality: int, size: tuple[int, int]) -> None:
    image = smooth((1, *size, 3))
    all_colours = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    options = (cv2.IMWRITE_JPEG_QUALITY, quality, *all_colours)
    written = cv2.imencode(".jpg", image[0, :, :, ::-1].astype(np.uint8), options)[1]
    expected = cv2.imdecode(written, cv2.IMREAD_COLOR)[:, :, ::-1].astype(np.float32)
    found = np.asarray(compressed(image, np.float32([quality])))[0]
    lost = np.abs(expected - image[0])
    inside = tuple(slice(0, side // 8 * 8) for side in size)  # how a writer fills blocks at the border is its choice
    assert lost.mean() > 2
    assert np.abs(found - expected)[inside].mean() < 0.25 * lost.mean()
    assert 0.9 < np.abs(found - image[0]).mean() / lost.mean() < 1.1


def test_qualities_are_per_image() -> None:
    image = np.repeat(smooth((1, 32, 32, 3)), 3, axis=0)
    lost = np.abs(np.asarray(compressed(image, np.float32([10, 40, 95]))) - image).mean(axis=(1, 2, 3))
    assert lost[0] > 1.3 * lost[1] > 1.5 * lost[2] > 0


@pytest.mark.parametrize("quality", [1, 10, 25, 40, 50, 75, 100])
def test_coefficients_are_rounded_by_the_tables_of_libjpeg(quality: int) -> None:
    written = BytesIO()
    Image.new("RGB", (8, 8)).save(written, "JPEG", quality=quality)
    with Image.open(written) as photo:
        brightness, colours = photo.quantization.values()
    found = np.asarray(_steps(np.float32([quality])))
    np.testing.assert_array_equal(found[0, 0], [brightness, colours, colours])
