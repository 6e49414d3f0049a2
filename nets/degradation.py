"""Loss of quality as photos in use have it: blur, few pixels, JPEG. Pure functions of 0..255; one number an image."""

import math
from typing import Any

from keras import ops

BLOCK = 8  # pixels: JPEG works on squares of this side
# Steps of the coefficients at quality 50: rows are frequencies down, columns across (ITU-T T.81, tables K.1 and K.2).
BRIGHTNESS_STEPS = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
COLOUR_STEPS = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *[99] * 32,
)
TO_YCBCR = ((0.299, -0.168736, 0.5), (0.587, -0.331264, -0.418688), (0.114, 0.5, -0.081312))  # ITU-T T.871
TO_RGB = ((1.0, 1.0, 1.0), (0.0, -0.344136, 1.772), (1.402, -0.714136, 0.0))


def blurred(images: Any, deviations: Any) -> Any:
    """Returns images `(B, H, W, 3)` under Gaussians of standard deviations `(B,)` in pixels, above 0.

    At the borders the Gaussian's part inside counts alone.
    """
    return _filtered(images, *(_gaussian(deviations, size) for size in images.shape[1:3]))


def _gaussian(deviations: Any, size: int) -> Any:
    place = ops.arange(size, dtype="float32")
    away = (place[:, None] - place[None, :]) / deviations[:, None, None]
    return _of_sum_one(ops.exp(-0.5 * ops.square(away)))


def resampled(images: Any, shares: Any) -> Any:
    """Returns images `(B, H, W, 3)` scaled down to `shares (B,)` of their sides, 0 to 1, and up again.

    Down with a triangle as wide as two of the fewer pixels, up bilinearly: as `PIL.Image.resize` does with BILINEAR.
    """
    return _filtered(images, *(_down_and_up(shares, size) for size in images.shape[1:3]))


def _down_and_up(shares: Any, size: int) -> Any:
    """Returns (B, size, size): to each pixel, the weights of all pixels."""
    count = ops.maximum(ops.round(shares * size), 1.0)[:, None, None]  # pixels left
    place = ops.arange(size, dtype="float32")
    there = ops.cast(place < count, "float32")  # (B, 1, size)
    distance = (place[:, None] + 0.5) * (count / size) - 0.5 - place[None, :]  # of all pixels from those left
    triangle = ops.maximum(1.0 - ops.abs(distance), 0.0) * there
    down = _of_sum_one(ops.transpose(triangle, (0, 2, 1)))
    return ops.matmul(_of_sum_one(triangle), down)


def _of_sum_one(weights: Any) -> Any:
    return weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1e-9)


def _filtered(images: Any, rows: Any, columns: Any) -> Any:
    """Returns images `(B, H, W, 3)` whose rows and columns are mixed by `(B, H, H)` and `(B, W, W)`."""
    mixed = ops.einsum("bxw,bywc->byxc", columns, ops.einsum("byh,bhwc->bywc", rows, images))
    return ops.clip(mixed, 0.0, 255.0)  # a mean, but for rounding


def compressed(images: Any, qualities: Any) -> Any:
    """Returns images `(B, H, W, 3)` 0..255 as a JPEG of `qualities (B,)`, 1 to 100, gives them back.

    Only what JPEG loses: coefficients of 8x8 blocks are rounded (ITU-T T.81, annex A). Colours keep their resolution.
    """
    height, width = images.shape[1:3]
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    margin = ((0, 0), (0, down * BLOCK - height), (0, across * BLOCK - width), (0, 0))
    x = ops.pad(images, margin, mode="symmetric") if (height % BLOCK or width % BLOCK) else images
    x = ops.matmul(x, ops.convert_to_tensor(TO_YCBCR, "float32")) - ops.convert_to_tensor((128.0, 0.0, 0.0), "float32")
    x = ops.transpose(ops.reshape(x, (-1, down, BLOCK, across, BLOCK, 3)), (0, 1, 3, 5, 2, 4))
    x = ops.reshape(x, (-1, down * across, 3, BLOCK * BLOCK))
    cosines = ops.convert_to_tensor(_cosines(), "float32")
    steps = _steps(qualities)
    x = ops.round(ops.matmul(x, cosines) / steps) * steps
    x = ops.reshape(ops.matmul(x, ops.transpose(cosines)), (-1, down, across, 3, BLOCK, BLOCK))
    x = ops.reshape(ops.transpose(x, (0, 1, 4, 2, 5, 3)), (-1, down * BLOCK, across * BLOCK, 3))
    x = ops.matmul(x + ops.convert_to_tensor((128.0, 0.0, 0.0), "float32"), ops.convert_to_tensor(TO_RGB, "float32"))
    return ops.clip(x[:, :height, :width], 0.0, 255.0)


def _steps(qualities: Any) -> Any:
    """Returns (B, 1, 3, 64): by how much each coefficient is rounded; libjpeg's rule for qualities."""
    percent = ops.where(qualities < 50.0, 5000.0 / qualities, 200.0 - 2.0 * qualities)
    table = ops.convert_to_tensor((BRIGHTNESS_STEPS, COLOUR_STEPS, COLOUR_STEPS), "float32")
    return ops.clip(ops.floor((table * percent[:, None, None, None] + 50.0) / 100.0), 1.0, 255.0)


def _cosines() -> list[list[float]]:
    """Returns 64 x 64: the two-dimensional cosine transform of a block's pixels (rows) as coefficients (columns)."""
    wave = [[math.cos((2 * i + 1) * u * math.pi / 16) / 2 for i in range(BLOCK)] for u in range(BLOCK)]
    wave[0] = [value / math.sqrt(2) for value in wave[0]]
    places = [(i, j) for i in range(BLOCK) for j in range(BLOCK)]
    return [[wave[u][i] * wave[v][j] for u, v in places] for i, j in places]
