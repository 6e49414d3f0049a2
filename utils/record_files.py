"""MXNet's record files (`train.rec`: CASIA-WebFace, MS1M, Glint360K), read without MXNet.

The format, from dmlc-core (include/dmlc/recordio.h, src/recordio.cc) and MXNet (python/mxnet/recordio.py, `pack`), all
numbers little-endian:
- a part is uint32 0xced7230a, uint32 (3 bits flag, 29 bits length), the bytes, and zeros up to a multiple of 4;
- a record is one part of flag 0; or, where its content holds that magic number at a multiple of 4, parts of flag 1, 2,
  ..., 2, 3, between which the magic number was left out;
- its content is uint32 n, float32 label, uint64 id, uint64 id2; then n float32, the label where n > 0; then an image.
InsightFace's first record has no image but two labels, the numbers where the records of the images and of the people
end; a person's record (behind all images) has none either, but the range of its images. `train.idx` has a line
`number offset` a record; what is read here from the beginning to the end needs it only to see that nothing is missing.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from utils.settings import UserError

MAGIC = b"\x0a\x23\xd7\xce"
PEOPLE_LIMIT = 10_000_000  # labels; WebFace260M has 4 million, and float32 counts exactly to 16 million
_PART = struct.Struct("<4sI")
_HEADER = struct.Struct("<If16x")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp", b"GIF8": ".gif"}


class Record(NamedTuple):
    """One record: which it is, where it ends, who is on its image, and the image as it was encoded."""

    number: int  # from 0 in the file
    end: int  # bytes
    label: int  # the person
    image: bytes  # empty in the records that tell of ranges
    suffix: str  # of the image's kind; empty where its kind is not known


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Yields the records in their order; raises UserError, with the byte, where the file is damaged or cut."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb", buffering=1 << 20) as file:
            at = number = 0
            while at < size:
                content, end = _content(path, file, at, size)
                yield _record(path, content, at, (number, end))
                at, number = end, number + 1
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def check_index(path: str | os.PathLike[str], records: int) -> None:
    """Raises UserError where `train.idx` beside `train.rec` names another number of records than were found."""
    index = os.path.splitext(path)[0] + ".idx"
    if not os.path.isfile(index):
        return
    with open(index, "rb") as file:
        named = sum(1 for line in file if line.strip())
    if named != records:
        raise UserError(f"{path} has {records:,} records, {index} names {named:,}: one of the two is not whole")


def _content(path: str | os.PathLike[str], file: BinaryIO, begin: int, size: int) -> tuple[bytes, int]:
    """Returns the content of the record that begins at byte `begin`, and where it ends."""
    parts: list[bytes] = []
    at, flag = begin, _MIDDLE
    while flag in (_FIRST, _MIDDLE):
        magic, word = _PART.unpack(_read(path, file, at, _PART.size, size))
        if magic != MAGIC:
            raise _damaged(path, at, f"a record begins with {MAGIC.hex()}, here stands {magic.hex()}")
        flag, length = word >> 29, word & 0x1FFFFFFF
        if flag not in ((_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)):
            raise _damaged(path, at, f"a part of kind {flag} does not belong here")
        data = _read(path, file, at + _PART.size, length + -length % 4, size)
        parts.append(data[:length])
        at += _PART.size + len(data)
    return MAGIC.join(parts), at


def _read(path: str | os.PathLike[str], file: BinaryIO, at: int, length: int, size: int) -> bytes:
    """Reads on; what the file does not have is not asked for, so that a wild length takes no memory."""
    if at + length > size:
        raise _damaged(path, at, f"{length:,} bytes are expected here, the file has {size - at:,} more")
    data = file.read(length)
    if len(data) < length:
        raise _damaged(path, at, "the file became shorter while it was read")
    return data


def _record(path: str | os.PathLike[str], content: bytes, at: int, place: tuple[int, int]) -> Record:
    number, end = place
    if len(content) < _HEADER.size:
        raise _damaged(path, at, f"a record of {len(content)} bytes has no header")
    labels, label = _HEADER.unpack_from(content)
    image_at = _HEADER.size + 4 * labels
    if image_at > len(content):
        raise _damaged(path, at, f"a record of {len(content):,} bytes has no place for {labels:,} labels")
    image = content[image_at:]
    if not image:
        return Record(number, end, -1, b"", "")
    if labels:
        (label,) = struct.unpack_from("<f", content, _HEADER.size)
    if not 0 <= label < PEOPLE_LIMIT or label != int(label):  # nan fails the comparison
        raise _damaged(path, at, f"label {label:g}; a whole number from 0 to {PEOPLE_LIMIT - 1:,} is expected")
    return Record(number, end, int(label), image, _suffix(image))


def _suffix(image: bytes) -> str:
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for start, suffix in _SUFFIXES.items() if image.startswith(start)), "")


def _damaged(path: str | os.PathLike[str], at: int, why: str) -> UserError:
    return UserError(f"{path} is damaged or no record file, at byte {at:,}: {why}")
