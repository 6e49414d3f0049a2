"""Variation of a batch of face crops on the device: each image by draws of its own, from one random state."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import keras
from keras import ops

from nets.degradation import blurred, compressed, resampled

BLUR = (0.005, 0.016)  # standard deviation, as a share of the height: 0.6 to 1.8 of 112 pixels
LOW_RESOLUTION = (0.2, 0.6)  # height before it was scaled up, as a share of the height: 22 to 67 of 112 pixels
QUALITY = (10.0, 60.0)  # of JPEG
PATCH = (0.15, 0.45)  # sides, as shares of the image's
GREY = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601
MOST = {"shift": 1000.0, "rotation": 180.0, "scale": 0.9}  # of these settings; the others are shares
DRAWS = (  # one column of uniform numbers each, so that a setting changes nothing of what the others do
    *("flip", "right", "down", "rotation", "scale", "brightness", "contrast", "saturation", "grey"),
    *("blur", "deviation", "low_resolution", "resolution", "noise", "quality"),
    *("patches", "width", "height", "x", "y", "red", "green", "blue"),
)


@dataclass(frozen=True)
class Variation:
    """How far images are varied; 0: not at all."""

    flip: bool = False  # mirrored left to right, half of the time
    shift: float = 0.0  # pixels at most, down and sideways
    rotation: float = 0.0  # degrees at most, either way
    scale: float = 0.0  # share at most: 0.1 is from 0.9 to 1.1 times as large
    brightness: float = 0.0  # share at most: pixels are multiplied by 1 - brightness to 1 + brightness
    contrast: float = 0.0  # share at most: the same of the differences from the image's mean grey
    saturation: float = 0.0  # share at most: the same of the differences from the pixel's grey
    grey: float = 0.0  # probability to lose all colours
    blur: float = 0.0  # share of the images: a Gaussian
    low_resolution: float = 0.0  # share of the images: scaled down and up again
    noise: float = 0.0  # share of the images: what JPEG at a low quality leaves
    patches: float = 0.0  # share of the images: a rectangle of one colour (Zhong et al. 2017, arXiv:1708.04896)

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of its range."""
        for name, value in asdict(self).items():
            most = MOST.get(name, 1.0)
            if not 0 <= value <= most:
                raise ValueError(f"{name} is 0 to {most:g}; received {value}")


@keras.saving.register_keras_serializable("face_kit")
class Augment(keras.layers.Layer):
    """Crops `(B, h, w, 3)`, uint8 or float 0..255, become float32 `(B, H, W, 3)` 0..255, varied in training.

    Without training, and with every setting at 0, the result is the central H x W pixels, unchanged. In training the
    margin around them is context: what is turned or shifted in shows the photo as far as it reaches, then its border.
    Blur, low resolution, noise and patches come to a share of each batch, rounded up, drawn anew each time, and only
    these images are computed. The random state is a variable of the layer: saved with it, a run goes on exactly.

    Args:
        size: (H, W) in pixels, not above the images' own.
        seed: of the random state.
        settings: of `Variation`.

    Raises:
        ValueError: a setting out of its range, or images smaller than `size`.
        TypeError: a setting that `Variation` does not know.
    """

    def __init__(self, size: tuple[int, int], seed: int = 0, name: str = "augment", **settings: Any):
        super().__init__(name=name, dtype="float32", trainable=False)
        height, width = size
        self.size, self.seed, self.variation = (height, width), seed, Variation(**settings)
        self.random = keras.random.SeedGenerator(seed, name="augment_random")

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {"size": self.size, "seed": self.seed, "name": self.name, **asdict(self.variation)}

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns (B, H, W, 3)."""
        return (input_shape[0], *self.size, 3)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Raises ValueError where images are smaller than what they become."""
        height, width = input_shape[1:3]
        if height is None or width is None or height < self.size[0] or width < self.size[1]:
            raise ValueError(f"of images of {height} x {width} pixels there is no central part of {self.size}")

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Returns float32 (B, H, W, 3), 0..255."""
        vary = self.variation
        if not training or vary == Variation():
            return self._central(images)
        draws = keras.random.uniform((ops.shape(images)[0], len(DRAWS)), seed=self.random)
        if vary.flip or vary.shift or vary.rotation or vary.scale:
            images = _bilinear(images, *self._places(images, draws))
        else:
            images = self._central(images)
        if vary.brightness or vary.contrast or vary.saturation or vary.grey:
            images = self._coloured(images, draws)
        images = ops.clip(images, 0.0, 255.0)
        for setting, change in CHANGES.items():
            if share := getattr(vary, setting):
                images = _changed(images, draws, setting, share, change)
        return images

    def _central(self, images: Any) -> Any:
        (height, width), (top, left) = self.size, _margins(images, self.size)
        return ops.cast(images[:, top : top + height, left : left + width], "float32")

    def _places(self, images: Any, draws: Any) -> tuple[Any, Any]:
        """Returns x and y `(B, H, W)`: where in `images` each pixel of the result lies."""
        vary, (height, width), (top, left) = self.variation, self.size, _margins(images, self.size)
        angle = math.radians(1) * _around(draws, "rotation", 0.0, vary.rotation)
        zoom = _around(draws, "scale", 1.0, vary.scale)
        sine, cosine = (f(angle)[:, None, None] / zoom[:, None, None] for f in (ops.sin, ops.cos))
        mirror = ops.where(_column(draws, "flip") < 0.5 * vary.flip, -1.0, 1.0)[:, None, None]
        right, down = (_around(draws, name, 0.0, vary.shift)[:, None, None] for name in ("right", "down"))
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2  # between pixels: their centres are whole numbers
        x = mirror * (ops.arange(width, dtype="float32")[None, None, :] - middle_x) - right
        y = ops.arange(height, dtype="float32")[None, :, None] - middle_y - down
        return cosine * x - sine * y + (middle_x + left), sine * x + cosine * y + (middle_y + top)

    def _coloured(self, images: Any, draws: Any) -> Any:
        """Changes brightness, contrast about the mean grey, and saturation about each pixel's grey, in one step."""
        vary = self.variation
        brightness, contrast, saturation = (
            _around(draws, name, 1.0, getattr(vary, name))[:, None, None, None]
            for name in ("brightness", "contrast", "saturation")
        )
        saturation = ops.where(_column(draws, "grey")[:, None, None, None] < vary.grey, 0.0, saturation)
        grey = ops.matmul(images, ops.convert_to_tensor(GREY, "float32")[:, None])  # (B, H, W, 1)
        mean = ops.mean(grey, axis=(1, 2), keepdims=True)
        gain = brightness * contrast
        shared = gain * (1.0 - saturation) * grey + brightness * (1.0 - contrast) * mean
        return gain * saturation * images + shared


def _column(draws: Any, name: str) -> Any:
    return draws[:, DRAWS.index(name)]


def _between(draws: Any, name: str, low: float, high: float) -> Any:
    """Returns (B,), uniform from `low` to `high`."""
    return low + (high - low) * _column(draws, name)


def _around(draws: Any, name: str, middle: float, most: float) -> Any:
    return _between(draws, name, middle - most, middle + most)


def _margins(images: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Returns the pixels above and left of the central `size`; of an odd rest the lesser half."""
    return (images.shape[1] - size[0]) // 2, (images.shape[2] - size[1]) // 2


def _bilinear(images: Any, x: Any, y: Any) -> Any:
    """Returns float32 (B, H, W, 3) at the places x, y `(B, H, W)` of `images (B, h, w, 3)`; outside, the border's.

    Four lookups, not `ops.image.affine_transform`: on a CPU that takes three quarters of the time under TensorFlow, but
    nine times as long under JAX (it interpolates between colours, too), and XLA cannot compile TensorFlow's kernel.
    """
    height, width = images.shape[1:3]
    x, y = ops.clip(x, 0, width - 1), ops.clip(y, 0, height - 1)
    left, top = ops.minimum(ops.floor(x), width - 2), ops.minimum(ops.floor(y), height - 2)
    x, y = x - left, y - top
    first = ops.arange(ops.shape(images)[0])[:, None, None] * (height * width)
    corner = first + ops.cast(top * width + left, "int32")
    pixels = ops.reshape(images, (-1, 3))

    def pixel(step: int) -> Any:
        return ops.cast(ops.take(pixels, corner + step, axis=0), "float32")

    x, y = x[..., None], y[..., None]
    above, below = pixel(0), pixel(width)
    above, below = above + x * (pixel(1) - above), below + x * (pixel(width + 1) - below)
    return above + y * (below - above)


def _changed(images: Any, draws: Any, setting: str, share: float, change: Callable[..., Any]) -> Any:
    """Returns `images` with those of the largest draws replaced by `change(images, draws)`: the `share`, rounded up."""
    number = -(-ops.shape(images)[0] * round(1000 * share) // 1000)  # a tensor under TensorFlow, else an int
    _, chosen = ops.top_k(_column(draws, setting), number)
    some = change(ops.take(images, chosen, axis=0), ops.take(draws, chosen, axis=0))
    return ops.scatter_update(images, chosen[:, None], some)


def _blurred(images: Any, draws: Any) -> Any:
    return blurred(images, images.shape[1] * _between(draws, "deviation", *BLUR))


def _resampled(images: Any, draws: Any) -> Any:
    return resampled(images, _between(draws, "resolution", *LOW_RESOLUTION))


def _compressed(images: Any, draws: Any) -> Any:
    return compressed(images, _between(draws, "quality", *QUALITY))


def _covered(images: Any, draws: Any) -> Any:
    """Returns the images, each with a rectangle of one colour somewhere inside."""

    def within(size: int, side: str, start: str) -> Any:  # bool (B, size)
        length = size * _between(draws, side, *PATCH)[:, None]
        first = (size - length) * _column(draws, start)[:, None]
        middle = ops.arange(size, dtype="float32")[None] + 0.5
        return ops.logical_and(middle >= first, middle < first + length)

    height, width = images.shape[1:3]
    inside = ops.logical_and(within(height, "height", "y")[:, :, None], within(width, "width", "x")[:, None, :])
    colour = 255.0 * ops.stack([_column(draws, name) for name in ("red", "green", "blue")], axis=-1)
    return ops.where(inside[..., None], colour[:, None, None, :], images)


# In the order in which they befall a photo: what a share of the images goes through, by its setting.
CHANGES: dict[str, Callable[..., Any]] = {
    "blur": _blurred,
    "low_resolution": _resampled,
    "noise": _compressed,
    "patches": _covered,
}
