"""Affine warps of photos that do not alias: what shrinks is averaged over areas first, what enlarges is bilinear."""

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.images import Pixels

Matrix = NDArray[
    np.float64
]  # (2,3): from (x, y, 1) in one image to (x, y) in another; pixels' centres are whole numbers


def warp(image: Pixels, matrix: Matrix, size: tuple[int, int]) -> Pixels:
    """Returns (height, width, 3), `size` = (height, width): `matrix` leads from pixels of `image` (H,W,3) to them.

    What lies beyond the image repeats its border.
    """
    height, width = size
    scales = np.hypot(*matrix[:, :2])  # output pixels per pixel of the image, along its x and its y
    if scales.min() < 1:
        image, matrix = _shrunk(image, matrix, size, np.minimum(scales, 1))
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=border)  # type: ignore[return-value]


def _shrunk(image: Pixels, matrix: Matrix, size: tuple[int, int], scales: NDArray[np.float64]) -> tuple[Pixels, Matrix]:
    """Returns the part of `image` that the output shows, `scales` (x, y) times as large, and the matrix from there.

    Bilinear weights see two pixels a side: without this, every pixel between those would be left out.
    """
    left, top, right, bottom = _seen(image, matrix, size, 2 / scales)
    part = image[top:bottom, left:right]
    shape = np.maximum(1, np.rint((right - left, bottom - top) * scales)).astype(int)
    factors = shape / (right - left, bottom - top)  # not `scales`: the shape is rounded
    part = cv2.resize(part, tuple(shape.tolist()), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    # a pixel of `part` at u has its centre at (u + 0.5) / factor - 0.5 + (left, top)
    centres = (0.5 / factors - 0.5) + (left, top)
    linear = matrix[:, :2] / factors
    return part, np.column_stack((linear, matrix[:, :2] @ centres + matrix[:, 2]))


def _seen(
    image: Pixels, matrix: Matrix, size: tuple[int, int], margin: NDArray[np.float64]
) -> tuple[int, int, int, int]:
    """Returns left, top, right, bottom of the part of the image that the output shows; a pixel of it at least."""
    height, width = size
    corners = np.array(((0, 0), (width, 0), (0, height), (width, height))) - 0.5
    there = np.linalg.solve(matrix[:, :2], corners.T - matrix[:, 2:])
    columns, rows = image.shape[1], image.shape[0]
    first = np.clip(np.floor(there.min(axis=1) - margin), 0, (columns - 1, rows - 1)).astype(int)
    last = np.clip(np.ceil(there.max(axis=1) + margin) + 1, first + 1, (columns, rows)).astype(int)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])
