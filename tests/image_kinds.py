"""One small picture in every kind of file that is read: what the tests of reading, refusing and fuzzing share."""

import io
import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 48, 64
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([X * 4, Y * 5, 255 - X * 3], axis=2).astype(np.uint8)  # every corner and every channel differs
GREY = np.repeat((X * 4).astype(np.uint8)[:, :, None], 3, axis=2)
ALPHA = (Y * 5).astype(np.uint8)
ON_WHITE = np.round(RGB * (ALPHA / 255.0)[:, :, None] + 255 * (1 - ALPHA / 255.0)[:, :, None])
GREY_ON_WHITE = np.round(GREY * (ALPHA / 255.0)[:, :, None] + 255 * (1 - ALPHA / 255.0)[:, :, None])
SPLIT = np.where(((X > 20) ^ (Y > 30))[:, :, None], 255, np.zeros(3, int)).astype(np.uint8)  # black and white
COLOURS = np.array(((200, 30, 10), (10, 180, 60), (40, 20, 220), (250, 240, 20)), np.uint8)
FOUR = COLOURS[(X > 40) + 2 * (Y > 20)]  # of which a palette has all
WITHOUT_FIRST = np.where((COLOURS[0] == FOUR).all(axis=2)[:, :, None], 255, FOUR).astype(np.uint8)
HOLE = np.where((X < 10)[:, :, None], 255, FOUR).astype(np.uint8)  # what FOUR is where its left is transparent

Drawn = Image.fromarray
TRANSPARENT = Drawn(np.dstack([RGB, ALPHA]))
BLACK = Image.new("RGB", (WIDTH, HEIGHT))


class Kind(NamedTuple):
    """A file, what it shows (H,W,3), and the largest difference that its compression may make."""

    data: bytes
    expected: NDArray[np.generic]
    tolerance: int = 0


def encoded(image: Image.Image | NDArray[np.generic], kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Drawn(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def by_opencv(suffix: str, image: NDArray[np.generic]) -> bytes:
    channels = image if image.ndim == 2 else image[:, :, [2, 1, 0, 3][: image.shape[2]]]
    return bytes(cv2.imencode(suffix, channels)[1])


def deep(image: NDArray[np.generic]) -> NDArray[np.uint16]:
    return image.astype(np.uint16) << 8 | 7


def frames(kind: str, first: NDArray[np.generic] = RGB, **options: object) -> bytes:
    return encoded(first, kind, save_all=True, append_images=[BLACK], **options)


def with_hole(kind: str) -> bytes:
    palette = Drawn(np.where(X < 10, 4, (X > 40) + 2 * (Y > 20)).astype(np.uint8), "P")
    palette.putpalette([*COLOURS.ravel().tolist(), 1, 2, 3])
    return encoded(palette, kind, transparency=4)


def ascii_samples(kind: str, samples: NDArray[np.generic], white: str = "", gap: str = "  ") -> bytes:
    rows = "\n".join(gap.join(map(str, row)) for row in samples.reshape(HEIGHT, -1).tolist())
    return f"{kind}\n# a comment 9\n{WIDTH} {HEIGHT} # another\n{white}\n{rows}\n".encode()


def netpbm(header: str, samples: NDArray[np.generic]) -> bytes:
    return header.encode() + samples.tobytes()


def tiff(tags: dict[int, int], data: bytes) -> bytes:
    """A TIFF file of these tags, all numbers of 32 bits; -1 stands for where its data begin."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, value if value >= 0 else start) for tag, value in sorted(tags.items())]
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(entries) + bytes(4) + data


def png(width: int, height: int, data: bytes) -> bytes:
    """An RGB PNG of that size, whatever its data give."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (b"IHDR", b"IDAT", b"IEND"), (header, data, b"")))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def without_adobe_marker(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]


def whiteness(samples: NDArray[np.generic], white: int) -> NDArray[np.generic]:
    return np.repeat(np.round(samples * 255 / white)[:, :, None], 3, axis=2)


CMYK = Drawn(RGB).convert("CMYK")
CMYK_JPEG = encoded(CMYK, "JPEG", quality=98, subsampling=0)
INVERTED = np.ascontiguousarray(255 - np.asarray(CMYK))
PALETTE = Drawn(FOUR).quantize(4)
BITS = Drawn(SPLIT).convert("1", dither=Image.Dither.NONE)

KINDS: dict[str, Kind] = {
    "JPEG": Kind(encoded(RGB, "JPEG", quality=98, subsampling=0), RGB, 8),
    "progressive JPEG": Kind(encoded(RGB, "JPEG", quality=98, subsampling=0, progressive=True), RGB, 8),
    "grey JPEG": Kind(encoded(Drawn(GREY).convert("L"), "JPEG", quality=98), GREY, 4),
    "JPEG with more behind it": Kind(encoded(RGB, "JPEG", quality=98, subsampling=0) + b"video", RGB, 8),
    "CMYK JPEG": Kind(CMYK_JPEG, RGB, 8),  # inverted, as Adobe does it
    "CMYK JPEG without Adobe's marker": Kind(without_adobe_marker(CMYK_JPEG), RGB, 8),  # browsers invert these too
    "YCCK JPEG": Kind(simplejpeg.encode_jpeg(INVERTED, 98, "CMYK", "444"), RGB, 12),
    "PNG": Kind(encoded(RGB, "PNG"), RGB),
    "grey PNG": Kind(encoded(Drawn(GREY).convert("L"), "PNG"), GREY),
    "transparent PNG": Kind(encoded(TRANSPARENT, "PNG"), ON_WHITE, 1),
    "transparent grey PNG": Kind(encoded(Drawn(np.dstack([GREY[:, :, 0], ALPHA])), "PNG"), GREY_ON_WHITE, 1),
    "PNG with a transparent colour": Kind(encoded(FOUR, "PNG", transparency=(200, 30, 10)), WITHOUT_FIRST),
    "16-bit grey PNG with a transparent grey": Kind(encoded(deep(FOUR[:, :, 0]), "PNG", transparency=200 << 8 | 7),
                                                    np.repeat(WITHOUT_FIRST[:, :, :1], 3, axis=2)),
    "palette PNG": Kind(encoded(PALETTE, "PNG"), FOUR),
    "transparent palette PNG": Kind(with_hole("PNG"), HOLE),
    "1-bit PNG": Kind(encoded(BITS, "PNG"), SPLIT),
    "16-bit grey PNG": Kind(encoded(deep(GREY[:, :, 0]), "PNG"), GREY),
    "16-bit PNG": Kind(by_opencv(".png", deep(RGB)), RGB),
    "transparent 16-bit PNG": Kind(by_opencv(".png", deep(np.dstack([RGB, ALPHA]))), ON_WHITE, 1),
    "animated PNG": Kind(frames("PNG"), RGB),
    "WebP": Kind(encoded(RGB, "WEBP", quality=100), RGB, 12),
    "lossless WebP": Kind(encoded(RGB, "WEBP", lossless=True), RGB),
    "transparent WebP": Kind(encoded(TRANSPARENT, "WEBP", lossless=True, exact=True), ON_WHITE, 1),
    "transparent lossy WebP": Kind(encoded(TRANSPARENT, "WEBP", quality=100, exact=True), ON_WHITE, 14),
    "animated WebP": Kind(frames("WEBP", lossless=True), RGB),
    "BMP": Kind(encoded(RGB, "BMP"), RGB),
    "grey BMP": Kind(encoded(Drawn(GREY).convert("L"), "BMP"), GREY),
    "palette BMP": Kind(encoded(PALETTE, "BMP"), FOUR),
    "1-bit BMP": Kind(encoded(BITS, "BMP"), SPLIT),
    "transparent BMP": Kind(by_opencv(".bmp", np.dstack([RGB, ALPHA])), ON_WHITE, 1),
    "TIFF": Kind(encoded(RGB, "TIFF"), RGB),
    "LZW TIFF": Kind(encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "deflated TIFF": Kind(encoded(RGB, "TIFF", compression="tiff_adobe_deflate"), RGB),
    "JPEG in TIFF": Kind(encoded(RGB, "TIFF", compression="jpeg", quality=98), RGB, 24),
    "fax in TIFF": Kind(encoded(BITS, "TIFF", compression="group4"), SPLIT),
    "palette TIFF": Kind(encoded(PALETTE, "TIFF"), FOUR),
    "transparent TIFF": Kind(encoded(TRANSPARENT, "TIFF"), ON_WHITE, 1),
    "CMYK TIFF": Kind(encoded(CMYK, "TIFF"), RGB, 1),
    "1-bit TIFF": Kind(encoded(BITS, "TIFF"), SPLIT),
    "16-bit grey TIFF": Kind(encoded(deep(GREY[:, :, 0]), "TIFF"), GREY),
    "16-bit grey TIFF whose white is 0": Kind(tiff(
        {256: 64, 257: 48, 258: 16, 259: 1, 262: 0, 273: -1, 277: 1, 278: 48, 279: 6144},
        (0xFFFF - deep(GREY[:, :, 0])).astype("<u2").tobytes()), GREY),
    "16-bit TIFF": Kind(by_opencv(".tif", deep(RGB)), RGB),
    "PBM": Kind(encoded(BITS, "PPM"), SPLIT),
    "ASCII PBM": Kind(ascii_samples("P1", 1 - SPLIT[:, :, 0] // 255, gap=""), SPLIT),
    "PGM": Kind(encoded(Drawn(GREY).convert("L"), "PPM"), GREY),
    "PGM with a white of 63": Kind(netpbm("P5\n# camera\n64 48\n63\n", X.astype(np.uint8)), whiteness(X, 63)),
    "PGM with a white of 1000": Kind(netpbm("P5 64 48 1000\n", (X * 15).astype(">u2")), whiteness(X * 15, 1000), 1),
    "16-bit PGM": Kind(netpbm("P5 64 48 65535\n", (X * 1024 + 7).astype(">u2")), GREY),
    "ASCII PGM": Kind(ascii_samples("P2", GREY[:, :, 0], "255"), GREY),
    "ASCII PGM with a white of 63": Kind(ascii_samples("P2", X, "63"), whiteness(X, 63)),
    "PPM": Kind(encoded(RGB, "PPM"), RGB),
    "16-bit PPM": Kind(netpbm("P6 64 48 65535\n", deep(RGB).astype(">u2")), RGB),
    "ASCII PPM": Kind(ascii_samples("P3", RGB, "255"), RGB),
    "GIF": Kind(encoded(PALETTE, "GIF"), FOUR),
    "grey GIF": Kind(encoded(Drawn(GREY).convert("L"), "GIF"), GREY),
    "transparent GIF": Kind(with_hole("GIF"), HOLE),
    "animated GIF": Kind(frames("GIF", FOUR), FOUR),
}  # fmt: skip
