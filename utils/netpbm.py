"""PBM, PGM and PPM files, binary and ASCII: Pillow takes a second a megapixel where white is not 255.

https://netpbm.sourceforge.net/doc/pgm.html and its siblings.
"""

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.image_headers import Refused, check_pixels

Samples = NDArray[np.uint8]

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"  # white space and comments
_NUMBER = rb"0*(\d{1,9})"
_HEADER = re.compile(rb"P([1-6])" + (_GAP + _NUMBER) * 2)
_WHITE = re.compile(_GAP + _NUMBER)
_COMMENT = re.compile(rb"#[^\r\n]*")


def is_netpbm(data: bytes) -> bool:
    """Says whether a file begins as PBM, PGM and PPM files do."""
    return re.match(rb"P[1-6][\s#]", data) is not None


def read_netpbm(data: bytes) -> Samples:
    """Returns the first image in a file as (H,W,3), 0..255.

    Raises Refused: a header that is none, too many pixels, samples missing or out of range.
    """
    header = _HEADER.match(data)
    if not header:
        raise Refused("is damaged or truncated: its header has no width and height")
    kind, width, height = (int(part) for part in header.groups())
    check_pixels(width, height)
    white, position = 1, header.end()
    if kind not in (1, 4):
        found = _WHITE.match(data, position)
        if not found or not 0 < int(found[1]) < 1 << 16:
            raise Refused("is damaged or truncated: its header has no value of white from 1 to 65535")
        white, position = int(found[1]), found.end()
    shape = (height, width, 3 if kind in (3, 6) else 1)
    read = {1: _ascii_bits, 2: _ascii, 3: _ascii, 4: _bits}.get(kind, _binary)
    samples = read(data, position, shape, white)
    if white != 255:
        samples = _whites(white)[samples]
    if kind in (1, 4):
        samples = 255 - samples  # 1 is black
    pixels = samples.astype(np.uint8)
    return pixels if shape[2] == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]


def _whites(white: int) -> Samples:
    """Returns sample -> 0..255; of 16 bits the upper 8, as every other kind of file gives them."""
    samples = np.minimum(np.arange(256 if white < 256 else 1 << 16), white)
    if white < 256:
        return np.rint(samples * 255 / white).astype(np.uint8)
    return (np.rint(samples * 65535 / white).astype(np.int64) >> 8).astype(np.uint8)


def _whole(found: int, shape: tuple[int, ...], needed: int | None = None) -> None:
    if found < (int(np.prod(shape)) if needed is None else needed):
        raise Refused("is truncated: its end is missing")


def _binary(data: bytes, position: int, shape: tuple[int, ...], white: int) -> NDArray[np.generic]:
    sample = np.dtype(np.uint8 if white < 256 else ">u2")
    count, start = int(np.prod(shape)), position + 1  # behind one white space
    _whole((len(data) - start) // sample.itemsize, shape)
    return np.frombuffer(data, sample, count, start).reshape(shape)


def _bits(data: bytes, position: int, shape: tuple[int, ...], white: int) -> NDArray[np.generic]:
    height, row = shape[0], (shape[1] + 7) // 8  # a row begins with a byte of its own
    _whole(len(data) - position - 1, shape, height * row)
    rows = np.frombuffer(data, np.uint8, height * row, position + 1).reshape(height, row)
    return np.unpackbits(rows, axis=1, count=shape[1])[:, :, None]


def _ascii_bits(data: bytes, position: int, shape: tuple[int, ...], white: int) -> NDArray[np.generic]:
    """Without white space between them, where the writer liked."""
    digits = np.frombuffer(_COMMENT.sub(b"", data[position:]).translate(None, b" \t\r\n\v\f"), np.uint8)
    _whole(len(digits), shape)
    bits = digits[: int(np.prod(shape))] - np.uint8(ord("0"))
    if bits.max(initial=0) > 1:
        raise Refused("is damaged: its samples are not all 0 or 1")
    return bits.reshape(shape)


def _ascii(data: bytes, position: int, shape: tuple[int, ...], white: int) -> NDArray[np.generic]:
    text, count = _COMMENT.sub(b"", data[position:]), int(np.prod(shape))
    _whole((len(text) + 1) // 2, shape)  # a digit and a gap a sample: before anything is made for so many
    if re.search(rb"[^\d\s]", text):
        raise Refused("is damaged: its samples are not all numbers")
    samples = np.fromstring(text, np.int64, sep=" ")  # type: ignore[call-overload]  # bytes are text too
    _whole(len(samples), shape)
    if samples[:count].max(initial=0) > white:
        raise Refused(f"is damaged: not all of its samples are from 0 to {white}")
    return samples[:count].reshape(shape)
