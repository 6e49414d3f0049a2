"""Decoders of all kinds of image files; none writes a line of its own on stderr, whatever is in the file.

JPEG is decoded by libjpeg-turbo (simplejpeg), WebP by OpenCV, PBM, PGM and PPM by NumPy, everything else (PNG, TIFF,
GIF, BMP; CMYK, transparency) by Pillow: the fastest that is silent. OpenCV's own libjpeg and libpng are not.
"""

import contextlib
import ctypes
import io
import logging
import warnings

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from utils.image_headers import Header, Refused, check_pixels, read_header
from utils.netpbm import is_netpbm, read_netpbm
from utils.people_folder import IMAGE_SUFFIXES

Pixels = NDArray[np.uint8]

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # none that starts another program
SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"II*\0", b"MM\0*", b"GIF8")
STRIP = 1 << 20  # pixels that are converted to RGB at once
MIRRORED = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # EXIF orientation -> axis of cv2.flip, transposed before from 5 on
PHOTOMETRIC, TILE_WIDTH, TILE_HEIGHT = 262, 322, 323  # tags of a TIFF


def _silence() -> None:
    """For the process, once: turning stderr away for a while would do it to all threads."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", module=r"PIL\.")
    with contextlib.suppress(OSError, AttributeError):  # where Pillow holds no libtiff, or shows no function of it
        libraries = ctypes.CDLL(Image.core.__file__)  # and those that it loads
        libraries.TIFFSetErrorHandler(None)
        libraries.TIFFSetWarningHandler(None)


_silence()


def decode(data: bytes) -> Pixels:
    """Returns the image in a file's bytes, upright, as RGB (H,W,3), contiguous; raises Refused, with the reason."""
    if not data:
        raise Refused("is an empty file")
    if is_netpbm(data):
        return read_netpbm(data)
    header = read_header(data)
    if header:
        check_pixels(header.width, header.height)
    image: Pixels | None = None
    if header and header.decoder == "turbo":
        image = _decode_jpeg(data, header)
    elif header and header.decoder == "zip":
        image = _decode_png(data, header)
    elif header and header.decoder == "opencv":
        image = _decode_webp(data)
    return _decode_with_pillow(data) if image is None else image


def _decode_jpeg(data: bytes, header: Header) -> Pixels | None:
    """Returns None for what the decoder does not know; raises Refused where it meets damage: others paint over it."""
    pixels = np.empty((header.height, header.width, 3), np.uint8)
    try:
        image = simplejpeg.decode_jpeg(data, "RGB", buffer=pixels)
    except ValueError as error:
        damage = str(error).partition("Corrupt JPEG data: ")[2]
        if damage and "extraneous bytes" not in damage:  # these some cameras write
            raise Refused(f"is damaged: {damage}") from None
        return None
    if header.orientation >= 5:
        image = cv2.transpose(image)
    return cv2.flip(image, MIRRORED[header.orientation]) if header.orientation in MIRRORED else image


def _decode_png(data: bytes, header: Header) -> Pixels | None:
    """Returns what Pillow makes of the compressed pixels, which is faster than reading the file around them."""
    mode = "RGB" if data[25] else "L"  # the colour type
    try:
        image = Image.frombytes(mode, (header.width, header.height), header.compressed, "zip", mode, 0)
    except (ValueError, OSError):  # too few, or damaged: reading the file says it better
        return None
    return np.array(image if mode == "RGB" else image.convert("RGB"))


def _decode_webp(data: bytes) -> Pixels | None:
    with contextlib.suppress(cv2.error):  # Pillow will say what is wrong with it
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)  # type: ignore[return-value]
    return None


def _decode_with_pillow(data: bytes) -> Pixels:
    try:
        with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
            check_pixels(*image.size)
            tags = getattr(image, "tag_v2", {})
            check_pixels(tags.get(TILE_WIDTH, 1), tags.get(TILE_HEIGHT, 1))  # a small image may be cut from a large one
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            # 0 is white in some TIFFs, which Pillow knows of 8 bits only
            return 255 - _rgb(image) if tags.get(PHOTOMETRIC) == 0 and image.mode.startswith("I") else _rgb(image)
    except Refused:
        raise
    except UnidentifiedImageError:
        if data.startswith(SIGNATURES):
            raise Refused("is damaged or truncated") from None
        kinds = " ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise Refused(f"is not an image of a kind that is read ({kinds})") from None
    except Image.DecompressionBombError:
        raise Refused("claims more pixels than are read") from None
    except Exception as error:  # on damaged files Pillow raises whatever its parsers stumble over
        if "truncated" in str(error):
            raise Refused("is truncated: its end is missing") from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise Refused(f"cannot be decoded: {reason}") from error


def _rgb(image: Image.Image) -> Pixels:
    """Returns (H,W,3) of any of Pillow's kinds of image, made in strips: they take several times a strip's memory."""
    width, height = image.size
    rows = max(1, STRIP // width)
    if rows >= height:
        return _rgb_strip(image)
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        pixels[top:bottom] = _rgb_strip(image.crop((0, top, width, bottom)))
    return pixels


def _rgb_strip(image: Image.Image) -> Pixels:
    """Raises Refused for numbers whose white is not known."""
    if image.mode.startswith("I"):  # one channel of 16 bit; Pillow's own conversion would cut off above 255
        deep = np.asarray(image)
        if deep.min() < 0 or deep.max() > 0xFFFF:
            raise Refused("has pixels of 32-bit numbers; save it with 8 or 16 bits")
        grey = (deep >> 8).astype(np.uint8)
        grey[deep == image.info.get("transparency", -1)] = 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise Refused("has pixels that are fractions; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
