"""The bytes of a photo: of a file of its own, or of one inside a shard, which is a plain tar (pack.py writes them).

A photo in a shard is named `out/shard-00003.tar:1536:4301/ann/1.jpg`: the shard, where the photo's bytes begin in it,
how many they are, and the name of the member. So the annotation file is the index, and there is no other to load, to
lose or to mistake; fairseq's manifests name what lies in a zip in the same manner (path:offset:length).
"""

import os
import re
import stat
import threading
from functools import lru_cache
from typing import NamedTuple

from utils.files import read_json
from utils.image_headers import PIXEL_LIMIT, Refused
from utils.settings import UserError

BYTE_LIMIT = 1 << 30  # more than PIXEL_LIMIT pixels of 16 bit take, uncompressed
BLOCK = 512  # bytes: a tar's header, and what its members are padded to (POSIX.1-1988, ustar)
PACKED = "packed.json"  # beside shards: how long each of them is, and what they were made of
SHARDS_OPEN = 128  # at once; macOS lets a process open 256 files

_MEMBER = re.compile(r"(.+?\.tar):([0-9]{1,15}):([0-9]{1,15})/(.*)", re.DOTALL)
_lock = threading.Lock()


class Member(NamedTuple):
    """Where a photo lies that is no file of its own."""

    shard: str  # path of the tar
    offset: int  # of its first byte, behind the member's header
    size: int  # bytes
    name: str  # in the tar


def member_of(path: str) -> Member | None:
    """Returns which member of which shard a path names; None for the path of a file."""
    found = _MEMBER.fullmatch(path) if ".tar:" in path else None
    return Member(found[1], int(found[2]), int(found[3]), found[4]) if found else None


def shard_name(number: int) -> str:
    """Returns the file name of a shard, counted from 0."""
    return f"shard-{number:05d}.tar"


def shard_damage(folder: str) -> str:
    """Returns which of the shards that were packed into `folder` is missing or not as long as it was; "": none.

    Raises UserError where the list of them cannot be read.
    """
    mark = os.path.join(folder, PACKED)
    if not os.path.isfile(mark):
        return ""
    packed = read_json(mark)
    lengths = packed.get("shards") if isinstance(packed, dict) else None
    if not isinstance(lengths, list) or not all(isinstance(length, int) for length in lengths):
        raise UserError(f"{mark} does not say how long the shards are; python pack.py writes it")
    for number, length in enumerate(lengths):
        path = os.path.join(folder, shard_name(number))
        found = f"{os.path.getsize(path):,} bytes" if os.path.isfile(path) else "no file"
        if found != f"{length:,} bytes":
            return f"{path}: {found}, {length:,} bytes were packed; copy it again, or pack the photos again"
    return ""


def photo_status(path: str) -> tuple[int, int]:
    """Returns a photo's size in bytes and when it, or its shard, was changed (ns since 1970).

    Raises OSError where there is no such file, Refused for what is no file.
    """
    member = member_of(path)
    status = os.stat(member.shard if member else path)
    if stat.S_ISDIR(status.st_mode):
        raise Refused("is a folder, not a photo")
    if not stat.S_ISREG(status.st_mode):
        raise Refused("is not a file")  # reading a pipe or a device may never end
    return member.size if member else status.st_size, status.st_mtime_ns


def photo_bytes(path: str) -> bytes:
    """Returns what is in a photo's file; any number of threads may call it.

    Raises OSError for what cannot be opened or read, Refused, which says why, for a folder, a photo over BYTE_LIMIT, a
    shard that is cut, and one whose header at that place is not this member's.
    """
    member = member_of(path)
    size = member.size if member else photo_status(path)[0]
    if size > BYTE_LIMIT:
        raise Refused(f"has {size:,} bytes, more than a photo of {PIXEL_LIMIT:,} pixels takes")
    if member:
        return _member_bytes(member)
    # Python opens the file: cv2.imread cannot open names beyond ASCII on Windows
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _member_bytes(member: Member) -> bytes:
    """Reads the header too, in the same go: a shard that was written anew, or cut, never gives another's photo."""
    if member.offset < BLOCK:
        raise Refused("lies nowhere in its shard: a header comes before a photo")
    data = _open_shard(member.shard).read(BLOCK + member.size, member.offset - BLOCK)
    if len(data) < BLOCK + member.size:
        raise Refused(f"is cut off: its shard ends at byte {member.offset - BLOCK + len(data):,} or before")
    name, size = data[:100].partition(b"\0")[0], data[124:135]
    if name != os.fsencode(member.name)[:100] or size != b"%011o" % member.size:
        raise Refused("is not at this place: shard and annotation file do not belong together")
    return data[BLOCK:]


class _Shard:
    """An open shard; it is closed when nobody holds it, so never while another thread reads."""

    def __init__(self, path: str):
        self.descriptor = -1
        # a pipe of that name must not be waited for; reading it then says that it cannot be done
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def read(self, size: int, offset: int) -> bytes:
        """Returns `size` bytes from `offset` on, fewer only where the file ends."""
        data = _read_at(self.descriptor, size, offset)
        while len(data) < size and (more := _read_at(self.descriptor, size - len(data), offset + len(data))):
            data += more
        return data


def _read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Not a memory map: a page of it that is missing holds up all threads, and one that cannot be read kills Python."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with _lock:  # Windows
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


@lru_cache(SHARDS_OPEN)
def _open_shard(path: str) -> _Shard:
    return _Shard(path)
