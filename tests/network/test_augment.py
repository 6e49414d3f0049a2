"""Augment: settings change what they should and nothing else; draws are per image, and a saved state goes on.

Most images here hold their own coordinates (red: x, green: y), so the result says where each pixel was taken from.
"""

from typing import Any

import cv2
import keras
import numpy as np
import pytest

from nets.augment import MOST, Augment, _bilinear
from utils import train_checks

EVERYTHING = {
    **{"flip": True, "shift": 4.0, "rotation": 10.0, "scale": 0.1, "brightness": 0.3, "contrast": 0.3},
    **{"saturation": 0.5, "grey": 0.2, "blur": 0.3, "low_resolution": 0.3, "noise": 0.3, "patches": 0.3},
}


def coordinates(number: int = 12, height: int = 40, width: int = 48) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.repeat(np.stack([x, y, 0 * x + 100], axis=-1)[None], number, axis=0)


def noise(shape: tuple[int, ...]) -> np.ndarray:
    """uint8, between 60 and 190: no setting below reaches the ends of the range."""
    return np.random.default_rng(1).integers(60, 190, shape).astype(np.uint8)


def varied(images: np.ndarray, size: tuple[int, int] = (32, 32), **settings: Any) -> np.ndarray:
    return np.asarray(Augment(size, seed=5, **settings)(images, training=True))


def linear_map(result: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns matrices (B,2,2) and middles (B,2): source (x, y) = matrix (column, row) + middle, from the centre."""
    middle = result[:, 12:20, 12:20, :2]  # away from borders, where places outside the photo stop
    across, down = np.diff(middle, axis=2).mean(axis=(1, 2)), np.diff(middle, axis=1).mean(axis=(1, 2))
    return np.stack([across, down], axis=-1), middle.mean(axis=(1, 2))


def central(images: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width].astype(np.float32)


@pytest.mark.parametrize("size", [(32, 32), (39, 41), (40, 48), (33, 20)], ids=str)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_without_training_or_settings_it_is_the_exact_centre(size: tuple[int, int], kind: Any) -> None:
    images = noise((3, 40, 48, 3)).astype(kind)
    for result in (Augment(size, **EVERYTHING)(images), Augment(size)(images, training=True)):
        assert keras.backend.standardize_dtype(result.dtype) == "float32"
        np.testing.assert_array_equal(result, central(images, *size))


@pytest.mark.parametrize("size", [(32, 32), (39, 41), (40, 48)], ids=str)
def test_a_flip_mirrors_exactly_and_half_of_the_images(size: tuple[int, int]) -> None:
    images = noise((40, 40, 48, 3))
    result, expected = varied(images, size, flip=True), central(images, *size)
    same = [np.array_equal(a, b) for a, b in zip(result, expected, strict=True)]
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(result, expected, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 10 <= sum(same) <= 30


def test_shifts_are_per_image_and_axis_and_within_their_limit() -> None:
    matrix, middle = linear_map(varied(coordinates(), shift=4.0))
    np.testing.assert_allclose(matrix, np.broadcast_to(np.eye(2), matrix.shape), atol=1e-3)
    moved = middle - [23.5, 19.5]
    assert np.abs(moved).max() <= 4.0
    assert np.abs(moved).max(axis=0).min() > 2.0
    assert len(np.unique(moved.round(3))) == moved.size


def test_rotations_turn_about_the_centre() -> None:
    matrix, middle = linear_map(varied(coordinates(), rotation=10.0))
    np.testing.assert_allclose(middle, np.broadcast_to([23.5, 19.5], middle.shape), atol=1e-3)
    np.testing.assert_allclose(matrix @ matrix.transpose(0, 2, 1), np.broadcast_to(np.eye(2), matrix.shape), atol=1e-3)
    assert (np.linalg.det(matrix) > 0).all()
    angles = np.degrees(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert 5 < np.abs(angles).max() <= 10.01
    assert angles.min() < 0 < angles.max()
    assert len(np.unique(angles.round(2))) == len(angles)


def test_scales_keep_the_centre() -> None:
    matrix, middle = linear_map(varied(coordinates(), scale=0.2))
    np.testing.assert_allclose(middle, np.broadcast_to([23.5, 19.5], middle.shape), atol=1e-3)
    zoom = 1 / matrix[:, 0, 0]
    np.testing.assert_allclose(matrix, np.eye(2) / zoom[:, None, None], atol=1e-3)
    assert 0.8 <= zoom.min() < 0.95 < 1.05 < zoom.max() <= 1.2


def test_the_margin_is_context_and_beyond_it_the_border_is_repeated() -> None:
    result = varied(coordinates(40), shift=12.0)
    assert result[..., 0].min() < 4 < 8  # the crop alone begins at column 8
    assert result[..., 0].min() >= 0
    assert result[..., 0].max() <= 47
    columns = result[np.argmin(result[:, 16, 16, 0]), 16, :, 0]
    assert columns[0] == columns[1] == 0.0


def test_lookups_between_pixels_are_those_of_opencv() -> None:
    random = np.random.default_rng(0)
    images = noise((3, 21, 30, 3))
    x, y = random.uniform(-4, 34, (3, 13, 9)).astype(np.float32), random.uniform(-4, 25, (3, 13, 9)).astype(np.float32)
    found = np.asarray(_bilinear(images, x, y))
    for i, image in enumerate(images):
        exact = np.float32(image)
        expected = cv2.remap(exact, x[i], y[i], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        np.testing.assert_allclose(found[i], expected, atol=3)  # OpenCV rounds places to 1/32 pixel


def test_brightness_multiplies() -> None:
    images = noise((12, 32, 32, 3))
    ratio = varied(images, brightness=0.3) / images
    factor = ratio.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(ratio, np.broadcast_to(factor[:, None, None, None], ratio.shape), rtol=1e-4)
    assert 0.7 <= factor.min() < 0.9 < 1.1 < factor.max() <= 1.3


def grey_of(images: np.ndarray) -> np.ndarray:
    return np.float32(images) @ np.float32([0.299, 0.587, 0.114])


def test_contrast_keeps_the_mean_grey() -> None:
    images = noise((12, 32, 32, 3))
    result, mean = varied(images, contrast=0.3), grey_of(images).mean(axis=(1, 2))[:, None, None, None]
    np.testing.assert_allclose(grey_of(result).mean(axis=(1, 2)), mean.ravel(), rtol=1e-4)
    factor = (result - mean).std(axis=(1, 2, 3)) / (images - mean).std(axis=(1, 2, 3))
    np.testing.assert_allclose(result, mean + factor[:, None, None, None] * (images - mean), atol=0.05)
    assert 0.7 <= factor.min() < 0.9 < 1.1 < factor.max() <= 1.3


def test_saturation_keeps_each_pixels_grey() -> None:
    images = noise((12, 32, 32, 3))
    result, grey = varied(images, saturation=0.3), grey_of(images)[..., None]
    np.testing.assert_allclose(grey_of(result)[..., None], grey, atol=0.05)
    factor = (result - grey).std(axis=(1, 2, 3)) / (images - grey).std(axis=(1, 2, 3))
    np.testing.assert_allclose(result, grey + factor[:, None, None, None] * (images - grey), atol=0.05)
    assert 0.7 <= factor.min() < 0.9 < 1.1 < factor.max() <= 1.3


def test_grey_takes_all_colours_from_some() -> None:
    images = noise((60, 8, 8, 3))
    result = varied(images, (8, 8), grey=0.4)
    without = np.ptp(result, axis=-1).max(axis=(1, 2)) < 1e-3
    assert 12 <= without.sum() <= 36
    np.testing.assert_allclose(result[without], np.repeat(grey_of(images)[without][..., None], 3, -1), atol=0.01)
    np.testing.assert_array_equal(result[~without], images[~without])


@pytest.mark.parametrize("setting", ["blur", "low_resolution", "noise", "patches"])
def test_a_share_of_the_images_is_changed_others_at_each_call(setting: str) -> None:
    images = noise((20, 64, 64, 3))
    layer = Augment((64, 64), **{setting: 0.21})
    changed = [(np.asarray(layer(images, training=True)) != images).any(axis=(1, 2, 3)) for _ in range(4)]
    assert [each.sum() for each in changed] == [5] * 4
    assert len({tuple(each) for each in changed}) > 1
    assert (varied(images, (64, 64), **{setting: 1.0}) != images).any(axis=(1, 2, 3)).all()


def test_a_patch_is_one_rectangle_of_one_colour() -> None:
    images = noise((20, 40, 40, 3)) / np.float32(1.001)
    result = varied(images, (40, 40), patches=1.0)
    colours = []
    for image, before in zip(result, images, strict=True):
        y, x = np.nonzero((image != before).any(axis=-1))
        inside = image[y.min() : y.max() + 1, x.min() : x.max() + 1]
        assert np.ptp(inside, axis=(0, 1)).max() == 0
        assert 0.1 * 40 <= min(inside.shape[:2]) <= max(inside.shape[:2]) <= 0.5 * 40
        assert len(y) == inside.shape[0] * inside.shape[1]
        colours.append(tuple(inside[0, 0]))
    assert len(set(colours)) == 20
    assert np.ptp(colours) > 150


def test_a_setting_leaves_the_draws_of_the_others_alone() -> None:
    images = noise((20, 40, 40, 3))
    geometry = {"flip": True, "shift": 4.0, "rotation": 10.0}
    less, more = varied(images, **geometry), varied(images, **geometry, noise=0.3, patches=0.3)
    untouched = (less == more).all(axis=(1, 2, 3))
    assert 8 <= untouched.sum() < 20


def test_everything_at_once_stays_in_range_and_resembles_the_photo() -> None:
    images = np.random.default_rng(0).integers(0, 256, (32, 40, 40, 3)).astype(np.uint8)
    result = varied(images, **EVERYTHING)
    assert result.shape == (32, 32, 32, 3)
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert 0 <= result.min() < result.max() <= 255
    assert abs(result.mean() - images.mean()) < 10
    assert 0.4 < result.std() / images.std() < 1.0
    assert len(np.unique(result.mean(axis=(1, 2, 3)))) == 32


def test_equal_images_become_different_ones_and_calls_differ() -> None:
    layer, images = Augment((32, 32), **EVERYTHING), np.repeat(noise((1, 40, 40, 3)), 8, axis=0)
    first, second = np.asarray(layer(images, training=True)), np.asarray(layer(images, training=True))
    assert all(np.abs(first[i] - first[j]).max() > 5 for i in range(8) for j in range(i))
    assert np.abs(first - second).max(axis=(1, 2, 3)).min() > 5


def test_a_saved_state_goes_on_exactly() -> None:
    images = noise((6, 40, 40, 3))
    first, second = Augment((32, 32), seed=1, **EVERYTHING), Augment((32, 32), seed=2, **EVERYTHING)
    first(images, training=True)
    saved = [np.asarray(v) for v in first.variables]
    assert len(saved) == 1  # the random state is among the variables
    expected = np.asarray(first(images, training=True))
    second(images)  # without training nothing is drawn
    assert not np.array_equal(np.asarray(second(images, training=True)), expected)
    for variable, value in zip(second.variables, saved, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(second(images, training=True), expected)


def test_it_runs_compiled_inside_a_training_step() -> None:
    images = keras.Input((40, 40, 3), dtype="uint8")
    augment = Augment((32, 32), **EVERYTHING)
    x = keras.layers.GlobalAveragePooling2D()(augment(images))
    model = keras.Model(images, keras.layers.Dense(1)(keras.layers.Rescaling(1 / 255)(x)))
    model.compile("sgd", "mse", jit_compile=True)
    before = np.asarray(augment.variables[0])
    history = model.fit(noise((10, 40, 40, 3)), np.ones((10, 1)), batch_size=6, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert not np.array_equal(before, augment.variables[0])
    assert model.output_shape == (None, 1)


def test_under_mixed_precision_images_stay_float32() -> None:
    images = noise((4, 40, 40, 3))
    expected = varied(images, shift=3.0, brightness=0.1)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        np.testing.assert_array_equal(varied(images, shift=3.0, brightness=0.1), expected)
    finally:
        keras.config.set_dtype_policy("float32")


def test_it_is_built_again_from_its_config() -> None:
    layer = Augment((32, 30), seed=3, shift=2.0, noise=0.1)
    again = Augment.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert layer.compute_output_shape((None, 40, 40, 3)) == (None, 32, 30, 3)


def test_wrong_settings_are_named() -> None:
    for setting, most, wrong in (("grey", 1, 1.5), ("shift", 1000, -1), ("scale", 0.9, 1), ("noise", 1, float("nan"))):
        with pytest.raises(ValueError, match=f"{setting} is 0 to {most}; received {wrong}"):
            Augment((32, 32), **{setting: wrong})
    with pytest.raises(TypeError, match="colour"):
        Augment((32, 32), colour=1)
    with pytest.raises(ValueError, match="32 x 30 pixels"):
        Augment((32, 32))(noise((2, 32, 30, 3)))


def test_limits_are_those_that_are_checked_before_anything_is_read():
    assert MOST == train_checks.MOST
