"""Pixels out of files, the same ones in training, evaluation and use: RGB, upright, fitted into the network's input."""

import contextlib
import os
import re
from collections.abc import Iterator

import cv2
import numpy as np

from utils.files import FileInMemory
from utils.image_decoders import Pixels, decode
from utils.image_headers import Refused
from utils.photo_files import photo_bytes
from utils.settings import UserError

Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of an image's width and height

GREY = 128  # the bars of a letterboxed image
UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # the last: bytes of a name that are no UTF-8


class ImageError(UserError):
    """A file that gives no image; the line names it and says why."""


def read_image(source: str | os.PathLike[str] | FileInMemory) -> Pixels:
    """Returns the photo, upright (EXIF orientation applied), as RGB (H,W,3), contiguous.

    Transparent parts are put on white, 16 bits become 8, of several frames the first is taken. Raises ImageError,
    which names the file: missing, a folder, empty, truncated, damaged, not an image, more than PIXEL_LIMIT pixels.
    """
    if isinstance(source, FileInMemory):
        with _named(source.name):
            return decode(source.data)
    path = os.fspath(source)
    with _named(path):
        return decode(photo_bytes(path))


def read_bytes(path: str) -> bytes:
    """Returns the bytes of a photo's file, or of its place in a shard; raises ImageError, which names it."""
    with _named(path):
        return photo_bytes(path)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Makes one line that begins with the file's name of whatever goes wrong."""
    try:
        yield
    except Refused as error:
        raise ImageError(f"{printable(path)} {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{printable(path)}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ImageError(f"cannot read {printable(path)}: {getattr(error, 'strerror', None) or error}") from None


def printable(name: str) -> str:
    """Returns a name as it can be printed and drawn: what cannot, and bytes that are no UTF-8, are written as \\xff."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def fit_image(
    image: Pixels,
    size: tuple[int, int],
    crop: float | Box = 1.0,
    flip: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Pixels:
    """Returns the central `crop` share of an image (H,W,3), letterboxed into `size` = (height, width), aspect kept.

    `shift` = (down, right) moves the cut-out by that many pixels of the output: what lies beyond the cut-out comes
    into view, beyond the image its border is repeated. `flip` mirrors the result. A share is cut, and moved, by whole
    pixels of the image, which keeps this a plain resize; a box may begin and end anywhere, outside the image too, and
    takes a warp. Raises ValueError for a box without an inside.
    """
    fitted = _share(image, size, crop, shift) if isinstance(crop, int | float) else _box(image, size, crop, shift)
    if flip:
        fitted = cv2.flip(fitted, 1)  # type: ignore[assignment]
    height, width = fitted.shape[:2]
    if (height, width) == size:
        return fitted.copy() if np.may_share_memory(fitted, image) else fitted
    canvas = np.full((*size, 3), GREY, np.uint8)
    y, x = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[y : y + height, x : x + width] = fitted
    return canvas


def _fitted(rows: float, columns: float, size: tuple[int, int]) -> tuple[int, int]:
    """Returns the height and width of the largest picture of that aspect inside `size`."""
    scale = min(size[0] / rows, size[1] / columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def _share(image: Pixels, size: tuple[int, int], crop: float, shift: tuple[float, float]) -> Pixels:
    rows, columns = max(1, round(image.shape[0] * crop)), max(1, round(image.shape[1] * crop))
    scale = min(size[0] / rows, size[1] / columns)
    top = (image.shape[0] - rows) // 2 + round(shift[0] / scale)
    left = (image.shape[1] - columns) // 2 + round(shift[1] / scale)
    part = _cut_out(image, top, left, rows, columns)
    height, width = _fitted(rows, columns, size)
    if (rows, columns) == (height, width):
        return part
    # bilinear weights see two pixels a side: from a shrinking by 1.5 on they leave pixels out, and it aliases
    method = cv2.INTER_LINEAR if scale * 1.5 >= 1 else cv2.INTER_AREA
    return cv2.resize(part, (width, height), interpolation=method)  # type: ignore[return-value]


def _box(image: Pixels, size: tuple[int, int], box: Box, shift: tuple[float, float]) -> Pixels:
    from utils.warping import warp  # it imports Pixels from here

    left, top, right, bottom = np.multiply(box, (image.shape[1], image.shape[0]) * 2).tolist()
    if not (left < right and top < bottom):
        raise ValueError(f"box {box}: left < right and top < bottom are expected")
    height, width = _fitted(bottom - top, right - left, size)
    across, down = width / (right - left), height / (bottom - top)  # output pixels per pixel of the image
    left, top = left + shift[1] / across, top + shift[0] / down
    # `left` and `top` are edges, a half pixel before the centres that a warp counts from
    return warp(
        image,
        np.array(((across, 0, (0.5 - left) * across - 0.5), (0, down, (0.5 - top) * down - 0.5))),
        (height, width),
    )


def _cut_out(image: Pixels, top: int, left: int, rows: int, columns: int) -> Pixels:
    """Returns rows x columns pixels from (top, left) on: a view, or a copy with the border repeated outside."""
    if (top, left) == (0, 0) and (rows, columns) == image.shape[:2]:
        return image
    top, left = min(max(top, 1 - rows), image.shape[0] - 1), min(max(left, 1 - columns), image.shape[1] - 1)
    below, right = max(0, top + rows - image.shape[0]), max(0, left + columns - image.shape[1])
    inside = image[max(0, top) : top + rows, max(0, left) : left + columns]
    if top >= 0 and left >= 0 and not below and not right:
        return inside
    above, before = max(0, -top), max(0, -left)
    return cv2.copyMakeBorder(inside, above, below, before, right, cv2.BORDER_REPLICATE)  # type: ignore[return-value]
