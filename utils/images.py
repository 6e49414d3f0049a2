"""Pixels out of files, the same ones in training, evaluation and use: RGB, upright, fitted into the network's input.

JPEG, PNG and WebP of the usual kinds are decoded by OpenCV, which lets other threads run meanwhile; every other kind
(TIFF, GIF, BMP, PGM, CMYK, palette, transparency, 16 bit) and every file with something odd about it by Pillow.
"""

import io
import os
import stat
import struct
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from utils.annotations import IMAGE_SUFFIXES
from utils.settings import UserError

Pixels = NDArray[np.uint8]

PIXEL_LIMIT = 120_000_000  # a telephone's 108 megapixels pass; more is refused before it is decoded
BYTE_LIMIT = 1 << 30  # more than PIXEL_LIMIT pixels of 16 bit take, uncompressed
GREY = 128  # the bars of a letterboxed image
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")  # none that starts another program
SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"II*\0", b"MM\0*", b"GIF8")
JPEG_END, PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"


class ImageError(UserError):
    """A file that gives no image; the line names it and says why."""


class _Header(NamedTuple):
    width: int  # pixels
    height: int
    plain: bool  # whole, and of a kind that OpenCV decodes to the same RGB as Pillow


def read_image(path: str | os.PathLike[str]) -> Pixels:
    """Returns the photo, upright (EXIF orientation applied), as RGB (H,W,3), contiguous.

    Transparent parts are put on white, 16 bits become 8, of several frames the first is taken. Raises ImageError,
    which names the file: missing, a folder, empty, truncated, not an image, more than PIXEL_LIMIT pixels.
    """
    data = _read_bytes(path)
    header = _header(data)
    if header:
        _check_pixels(path, header.width, header.height)
        if header.plain:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)  # applies EXIF orientation
            if image is not None:
                return image  # type: ignore[return-value]  # OpenCV's stub allows any number type
    return _read_with_pillow(path, data)


def fit_image(
    image: Pixels,
    size: tuple[int, int],
    crop: float = 1.0,
    flip: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Pixels:
    """Returns the central `crop` share of an image (H,W,3), letterboxed into `size` = (height, width), aspect kept.

    `shift` = (down, right) moves the cut-out by that many pixels of the output, rounded to whole pixels of the image:
    what lies beyond the cut-out comes into view, beyond the image its border is repeated. `flip` mirrors the result.
    Whole pixels keep this a plain resize, 3.5 times as fast as an affine warp of the same image.
    """
    height, width = size
    rows, columns = max(1, round(image.shape[0] * crop)), max(1, round(image.shape[1] * crop))
    scale = min(height / rows, width / columns)
    top = (image.shape[0] - rows) // 2 + round(shift[0] / scale)
    left = (image.shape[1] - columns) // 2 + round(shift[1] / scale)
    fitted = _cut_out(image, top, left, rows, columns)
    inner_height, inner_width = max(1, round(rows * scale)), max(1, round(columns * scale))
    if (rows, columns) != (inner_height, inner_width):
        # bilinear weights see two pixels a side: from a shrinking by 1.5 on they leave pixels out, and it aliases
        method = cv2.INTER_LINEAR if scale * 1.5 >= 1 else cv2.INTER_AREA
        fitted = cv2.resize(fitted, (inner_width, inner_height), interpolation=method)  # type: ignore[assignment]
    if flip:
        fitted = cv2.flip(fitted, 1)  # type: ignore[assignment]
    if (inner_height, inner_width) == size:
        return fitted.copy() if np.may_share_memory(fitted, image) else fitted
    canvas = np.full((height, width, 3), GREY, np.uint8)
    y, x = (height - inner_height) // 2, (width - inner_width) // 2
    canvas[y : y + inner_height, x : x + inner_width] = fitted
    return canvas


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


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    # Python opens the file: cv2.imread cannot open names beyond ASCII on Windows
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{path} is a folder, not a photo")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path} is not a file")  # reading a pipe or a device may never end
        if status.st_size > BYTE_LIMIT:
            raise ImageError(f"{path} has {status.st_size:,} bytes, more than a photo of {PIXEL_LIMIT:,} pixels takes")
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ImageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if not data:
        raise ImageError(f"{path} is an empty file")
    return data


def _check_pixels(path: str | os.PathLike[str], width: int, height: int) -> None:
    if width * height > PIXEL_LIMIT:
        raise ImageError(f"{path} has {width} x {height} pixels; the limit is {PIXEL_LIMIT:,} pixels")


def _header(data: bytes) -> _Header | None:
    """Returns what the file says of itself; None where it is another kind of file, or its header is cut."""
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_header(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png_header(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_header(data)
    except (struct.error, IndexError):
        return None
    return None


def _jpeg_header(data: bytes) -> _Header | None:
    """Walks from segment to segment (ITU-T T.81, annex B) to the frame header, past a thumbnail in the EXIF segment."""
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame header; those three are tables
            bits, height, width, components = struct.unpack_from(">BHHB", data, position + 4)
            # four components are CMYK; some decoders paint the missing rest of a truncated file grey
            plain = marker <= 0xC2 and bits == 8 and components in (1, 3) and data.endswith(JPEG_END)
            return _Header(width, height, plain)
        # 0xFF before a marker is filling
        position += 1 if marker == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def _png_header(data: bytes) -> _Header:
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    before_pixels = data[: data.find(b"IDAT")]
    # OpenCV drops transparency and chooses among an animation's frames; colour 0 is grey, 2 is RGB
    plain = bits == 8 and colour in (0, 2) and b"tRNS" not in before_pixels and b"acTL" not in before_pixels
    return _Header(width, height, plain and data.endswith(PNG_END))


def _webp_header(data: bytes) -> _Header | None:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    whole = len(data) >= 8 + int.from_bytes(data[4:8], "little")
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return _Header(width & 0x3FFF, height & 0x3FFF, whole)
    if kind == b"VP8L":
        (fields,) = struct.unpack_from("<I", data, 21)  # from the low end: 14 bits width - 1, 14 height - 1, 1 alpha
        return _Header((fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1, whole and not fields >> 28 & 1)
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return _Header(width, height, whole and not data[20] & 0x12)  # 0x10: alpha, 0x02: animation
    return None


def _read_with_pillow(path: str | os.PathLike[str], data: bytes) -> Pixels:
    if _lacks_its_end(data):
        raise ImageError(f"{path} is truncated: its end is missing")
    try:
        with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
            _check_pixels(path, *image.size)
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except UnidentifiedImageError:
        if data.startswith(SIGNATURES):
            raise ImageError(f"{path} is damaged or truncated") from None
        kinds = " ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise ImageError(f"{path} is not an image of a kind that is read ({kinds})") from None
    except Exception as error:  # on damaged files Pillow raises whatever its parsers stumble over
        what = "is truncated: its end is missing" if "truncated" in str(error) else f"cannot be decoded: {error}"
        raise ImageError(f"{path} {what}") from error


def _lacks_its_end(data: bytes) -> bool:
    """For the kinds that Pillow reads without it (PNG), or refuses without saying why (WebP)."""
    if data.startswith(b"RIFF"):
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return data.startswith(b"\x89PNG") and b"IEND" not in data


def _rgb(image: Image.Image) -> Pixels:
    """Returns (H,W,3) of any of Pillow's kinds of image; raises ValueError for numbers whose white is not known."""
    if image.mode.startswith("I"):  # one channel of 16 bit; Pillow's own conversion would cut off above 255
        deep = np.asarray(image)
        if deep.min() < 0 or deep.max() > 0xFFFF:
            raise ValueError("its pixels are 32-bit numbers; save it with 8 or 16 bits")
        return np.repeat((deep >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are fractions; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))
