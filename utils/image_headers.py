"""What JPEG, PNG and WebP files say of themselves, read before any pixel is decoded; the damaged are refused here."""

import re
import struct
import zlib
from typing import Literal, NamedTuple

PIXEL_LIMIT = 120_000_000  # a telephone's 108 megapixels pass; more is refused before it is decoded
JPEG_END = b"\xff\xd9"
SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
SCAN_LIMIT = 100  # of a JPEG, where 10 are usual: on 100 megapixels 100 take 8 s, and 1 MB could hold 7,000
EXIF, ORIENTATION = b"Exif\0\0", 0x0112
PNG_PLAIN = {b"IHDR", b"IDAT", b"IEND", b"pHYs", b"gAMA", b"cHRM", b"sRGB"}  # chunks that do not change what is seen


class Refused(Exception):
    """Says of a file, without its name, why it gives no image."""


class Header(NamedTuple):
    """The size as stored, before the orientation (EXIF 2.3: 1 to 8) is applied."""

    width: int  # pixels
    height: int
    decoder: Literal["turbo", "zip", "opencv", "pillow"]  # the fastest that gives the same RGB, and prints nothing
    orientation: int = 1  # where the decoder leaves it to the caller
    compressed: bytes = b""  # the pixels of a PNG


def check_pixels(width: int, height: int) -> None:
    """Raises Refused for no pixels, and for more than PIXEL_LIMIT."""
    if not 0 < width * height <= PIXEL_LIMIT:
        raise Refused(f"has {width} x {height} pixels; the limit is {PIXEL_LIMIT:,} pixels")


def read_header(data: bytes) -> Header | None:
    """Returns the header; None where it is another kind of file, or cannot be read.

    Raises Refused for more pixels than the limit, a missing end, a wrong checksum.
    """
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


def _jpeg_header(data: bytes) -> Header | None:
    """Walks from segment to segment (ITU-T T.81, annex B) to the frame header, past a thumbnail in the EXIF segment."""
    position, orientation = 2, 0
    while data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame header; those three are tables
            bits, height, width, components = struct.unpack_from(">BHHB", data, position + 4)
            if data.rfind(JPEG_END) < position:
                raise Refused("is truncated: its end is missing")
            if _too_many_scans(data, position):
                raise Refused(f"is a JPEG of more than {SCAN_LIMIT} scans: it would only keep the decoder busy")
            plain = marker <= 0xC2 and bits == 8 and components in (1, 3)  # four components are CMYK
            return Header(width, height, "turbo" if plain else "pillow", orientation or 1)
        if marker == 0xE1 and not orientation and data.startswith(EXIF, position + 4):
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            orientation = _orientation(data[position + 4 + len(EXIF) : position + 2 + length])
        # 0xFF before a marker is filling
        position += 1 if marker == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def _too_many_scans(data: bytes, position: int) -> bool:
    """Whether the image whose frame header is at `position` has more than SCAN_LIMIT; phones put films behind it.

    Within a scan an FF is followed by 00, a restart's number or FF; whatever else follows one begins a segment.
    """
    scans = 0
    while scans <= SCAN_LIMIT and (found := SEGMENT.search(data, position)) and found[0] != JPEG_END:
        scans += found[0] == b"\xff\xda"
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return scans > SCAN_LIMIT


def _orientation(exif: bytes) -> int:
    """Returns 1 to 8 of an EXIF segment (a TIFF file of its own); 1 where it does not say."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        if order:
            (directory,) = struct.unpack_from(f"{order}I", exif, 4)
            (entries,) = struct.unpack_from(f"{order}H", exif, directory)
            for entry in range(entries):
                tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, directory + 2 + 12 * entry)
                if tag == ORIENTATION:
                    return value if kind == 3 and 1 <= value <= 8 else 1  # 3: a number of 16 bits
    except struct.error:  # cut, or its offsets lead nowhere
        pass
    return 1


def _png_header(data: bytes) -> Header:
    """Walks from chunk to chunk and checks what the pixels hang on: Pillow does not look at the pixels' checksums."""
    view, position, kind = memoryview(data), 8, b""
    kinds, pixels = set(), []
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, position) if position + 12 <= len(data) else (len(data),)
        kind, end = data[position + 4 : position + 8], position + 8 + length
        if end + 4 > len(data):
            raise Refused("is truncated: its end is missing")
        if kind[0] & 0x20 == 0 and zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise Refused(f"is damaged: the checksum of its {ascii(kind)[2:-1]} is wrong")
        kinds.add(kind)
        if kind == b"IDAT":
            pixels.append(view[position + 8 : end])
        position = end + 4
    width, height, bits, colour, *ways = struct.unpack_from(">IIBBBBB", data, 16)
    # libpng, which OpenCV uses, would write on stderr what it finds wrong behind right checksums
    if bits == 8 and colour in (0, 2) and not any(ways) and kinds <= PNG_PLAIN:  # grey or RGB, not interlaced
        return Header(width, height, "zip", compressed=b"".join(pixels))
    return Header(width, height, "pillow")


def _webp_header(data: bytes) -> Header | None:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    if len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise Refused("is truncated: its end is missing")
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header(width & 0x3FFF, height & 0x3FFF, "opencv")
    if kind == b"VP8L":
        (fields,) = struct.unpack_from("<I", data, 21)  # from the low end: 14 bits width - 1, 14 height - 1, 1 alpha
        return Header((fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1, _webp_decoder(not fields >> 28 & 1))
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Header(width, height, _webp_decoder(not data[20] & 0x12))  # 0x10: alpha, 0x02: animation
    return None


def _webp_decoder(plain: bool) -> Literal["opencv", "pillow"]:
    return "opencv" if plain else "pillow"  # OpenCV drops transparency and chooses among an animation's frames
