"""What befalls a share of a batch of face crops: blur, low resolution, JPEG, patches; and the draws that decide it."""

from collections.abc import Callable
from typing import Any

from keras import ops

from nets.degradation import blurred, compressed, resampled

BLUR = (0.005, 0.016)  # standard deviation, as a share of the height: 0.6 to 1.8 of 112 pixels
LOW_RESOLUTION = (0.2, 0.6)  # height before it was scaled up, as a share of the height: 22 to 67 of 112 pixels
QUALITY = (10.0, 60.0)  # of JPEG
PATCH = (0.15, 0.45)  # sides, as shares of the image's
DRAWS = (  # one column of uniform numbers each, so that a setting changes nothing of what the others do
    *("flip", "right", "down", "rotation", "scale", "brightness", "contrast", "saturation", "grey"),
    *("blur", "deviation", "low_resolution", "resolution", "noise", "quality"),
    *("patches", "width", "height", "x", "y", "red", "green", "blue"),
)


def column(draws: Any, name: str) -> Any:
    """Returns (B,), uniform from 0 to 1, of draws `(B, len(DRAWS))`: those that `name` stands for in `DRAWS`."""
    return draws[:, DRAWS.index(name)]


def between(draws: Any, name: str, low: float, high: float) -> Any:
    """Returns (B,), uniform from `low` to `high`."""
    return low + (high - low) * column(draws, name)


def around(draws: Any, name: str, middle: float, most: float) -> Any:
    """Returns (B,), uniform up to `most` from `middle`, either way."""
    return between(draws, name, middle - most, middle + most)


def _changed(images: Any, draws: Any, setting: str, share: float, change: Callable[..., Any]) -> Any:
    """Returns `images` with those of the largest draws replaced by `change(images, draws)`: the `share`, rounded up."""
    number = -(-ops.shape(images)[0] * max(1, round(1000 * share)) // 1000)  # a tensor under TensorFlow, else an int
    _, chosen = ops.top_k(column(draws, setting), number)
    some = change(ops.take(images, chosen, axis=0), ops.take(draws, chosen, axis=0))
    return ops.scatter_update(images, chosen[:, None], some)


def _blurred(images: Any, draws: Any) -> Any:
    return blurred(images, images.shape[1] * between(draws, "deviation", *BLUR))


def _resampled(images: Any, draws: Any) -> Any:
    return resampled(images, between(draws, "resolution", *LOW_RESOLUTION))


def _compressed(images: Any, draws: Any) -> Any:
    return compressed(images, between(draws, "quality", *QUALITY))


def _covered(images: Any, draws: Any) -> Any:
    """Returns the images, each with a rectangle of one colour somewhere inside."""

    def within(size: int, side: str, start: str) -> Any:  # bool (B, size)
        length = size * between(draws, side, *PATCH)[:, None]
        first = (size - length) * column(draws, start)[:, None]
        middle = ops.arange(size, dtype="float32")[None] + 0.5
        return ops.logical_and(middle >= first, middle < first + length)

    height, width = images.shape[1:3]
    inside = ops.logical_and(within(height, "height", "y")[:, :, None], within(width, "width", "x")[:, None, :])
    colour = 255.0 * ops.stack([column(draws, name) for name in ("red", "green", "blue")], axis=-1)
    return ops.where(inside[..., None], colour[:, None, None, :], images)


# In the order in which they befall a photo: what a share of the images goes through, by its setting.
CHANGES: dict[str, Callable[..., Any]] = {
    "blur": _blurred,
    "low_resolution": _resampled,
    "noise": _compressed,
    "patches": _covered,
}


def degraded(images: Any, draws: Any, shares: dict[str, float]) -> Any:
    """Returns float32 (B, H, W, 3), 0..255, with each change done to its share, rounded up, of the largest draws."""
    for setting, change in CHANGES.items():
        if share := shares[setting]:
            images = _changed(images, draws, setting, share, change)
    return images
