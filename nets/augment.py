"""Variation of a batch of face crops on the device: each image by draws of its own, from one random state."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import keras
from keras import ops

from nets.changes import DRAWS, around, column, degraded

OTHER = (0.2, 0.5)  # share that a mixed image has of the other
GREY = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601
Box = tuple[float, float, float, float]
MOST = {"shift": 1000.0, "rotation": 180.0, "scale": 0.9}  # of these settings; the others are shares


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
    mixed: float = 0.0  # share of the images, beside a teacher only: another shines through (`Augment.with_teacher`)

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
            images = _bilinear(images, *self._places(images, draws, *self._grid()))
        else:
            images = self._central(images)
        return degraded(self._coloured(images, draws), draws, asdict(vary))

    def with_teacher(self, images: Any, box: Box, size: tuple[int, int]) -> tuple[Any, Any, Any]:
        """Returns images varied as in training, what a teacher is shown of each, and who became nobody.

        The teacher sees the same face mirrored, moved, turned and coloured alike, but before blur, low resolution,
        noise and patches. A share `mixed` of the images are mixed with the image half a batch farther, for both; what
        comes of it is nobody's, and who it looks like the teacher says. Sources: Beyer et al. 2022, arXiv:2106.05237
        (a teacher that sees what the student sees); Zhang et al. 2018, arXiv:1710.09412 (mixup).

        Args:
            images: uint8 or float `(B, h, w, 3)`, 0..255.
            box: left, top, right, bottom of the teacher's part of them, as fractions; it may reach outside.
            size: (h', w') of the teacher's input.

        Returns:
            (float32 `(B, H, W, 3)`, float32 `(B, h', w', 3)`, bool `(B,)`).
        """
        number = ops.shape(images)[0]
        draws = keras.random.uniform((number, len(DRAWS)), seed=self.random)
        grids = self._grid(), self._grid_of(images, box, size)
        own, shown = (self._coloured(_bilinear(images, *self._places(images, draws, *grid)), draws) for grid in grids)
        nobody = ops.zeros((number,), "bool")
        if self.variation.mixed:
            chances = keras.random.uniform((number, 2), seed=self.random)
            nobody = chances[:, 0] < self.variation.mixed
            share = ops.where(nobody, OTHER[0] + (OTHER[1] - OTHER[0]) * chances[:, 1], 0.0)[:, None, None, None]
            own, shown = (each + share * (ops.roll(each, number // 2, axis=0) - each) for each in (own, shown))
        return degraded(own, draws, asdict(self.variation)), shown, nobody

    def _central(self, images: Any) -> Any:
        (height, width), (top, left) = self.size, _margins(images, self.size)
        return ops.cast(images[:, top : top + height, left : left + width], "float32")

    def _grid(self) -> tuple[Any, Any]:
        """Returns x (W,) and y (H,) of the result's pixels, from its middle."""
        height, width = (ops.arange(n, dtype="float32") - (n - 1) / 2 for n in self.size)  # pixels' centres are whole
        return width, height

    def _grid_of(self, images: Any, box: Box, size: tuple[int, int]) -> tuple[Any, Any]:
        """Returns the same of a teacher's pixels, x (w',) and y (h',), from the middle of the result."""
        grid = []
        for axis, (first, last) in ((2, box[::2]), (1, box[1::2])):
            pixels, margin = images.shape[axis], _margins(images, self.size)[axis - 1]
            step = pixels * (last - first) / size[axis - 1]
            middle = margin + (self.size[axis - 1] - 1) / 2
            places = ops.arange(size[axis - 1], dtype="float32")
            grid.append(pixels * first + step * (places + 0.5) - 0.5 - middle)
        return grid[0], grid[1]

    def _places(self, images: Any, draws: Any, across: Any, upright: Any) -> tuple[Any, Any]:
        """Returns x and y `(B, H, W)`: where in `images` the pixels lie that are `across` (W,) and `upright` (H,)."""
        vary, (height, width), (top, left) = self.variation, self.size, _margins(images, self.size)
        angle = math.radians(1) * around(draws, "rotation", 0.0, vary.rotation)
        zoom = around(draws, "scale", 1.0, vary.scale)
        sine, cosine = (f(angle)[:, None, None] / zoom[:, None, None] for f in (ops.sin, ops.cos))
        mirror = ops.where(column(draws, "flip") < 0.5 * vary.flip, -1.0, 1.0)[:, None, None]
        right, down = (around(draws, name, 0.0, vary.shift)[:, None, None] for name in ("right", "down"))
        x, y = mirror * across[None, None, :] - right, upright[None, :, None] - down
        return cosine * x - sine * y + ((width - 1) / 2 + left), sine * x + cosine * y + ((height - 1) / 2 + top)

    def _coloured(self, images: Any, draws: Any) -> Any:
        """Changes brightness, contrast about the mean grey, and saturation about each pixel's grey, in one step."""
        vary = self.variation
        if not (vary.brightness or vary.contrast or vary.saturation or vary.grey):
            return ops.clip(images, 0.0, 255.0)
        brightness, contrast, saturation = (
            around(draws, name, 1.0, getattr(vary, name))[:, None, None, None]
            for name in ("brightness", "contrast", "saturation")
        )
        saturation = ops.where(column(draws, "grey")[:, None, None, None] < vary.grey, 0.0, saturation)
        grey = ops.matmul(images, ops.convert_to_tensor(GREY, "float32")[:, None])  # (B, H, W, 1)
        mean = ops.mean(grey, axis=(1, 2), keepdims=True)
        gain = brightness * contrast
        shared = gain * (1.0 - saturation) * grey + brightness * (1.0 - contrast) * mean
        return ops.clip(gain * saturation * images + shared, 0.0, 255.0)


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
