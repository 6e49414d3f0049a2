"""Unpacks .tar (.gz, .bz2, .xz) and .zip archives that strangers wrote: only plain files, only inside the folder."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import secrets
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Self

from utils.settings import UserError
from utils.terminal import progress_bar

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}  # by first bytes
_DAMAGED = (  # what tarfile and zipfile raise on purpose, and what they stumble over in damaged files
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError),
    *(ValueError, KeyError, IndexError, TypeError, RuntimeError, OverflowError, struct.error),
)
_CHUNK = 1 << 20  # bytes
_LONGEST_HEADER = 1 << 20  # bytes
_LONG_NAMES = (  # kinds of headers that tarfile reads whole into memory
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


class Limits(NamedTuple):
    """What an archive may hold at most; a bomb of some kilobytes unpacks to petabytes."""

    members: int = 100_000
    size: int = 4 << 30  # bytes, all members together


class _Member(NamedTuple):
    name: str
    folder: bool
    content: IO[bytes] | None  # None for a folder


@contextlib.contextmanager
def folder_written_whole(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary folder beside `folder`; when the block ends well it is renamed to `folder`, else removed.

    What a killed run left is removed first. Raises UserError where `folder` is there and not empty, or cannot be
    written.
    """
    folder = Path(folder)
    temporary = folder.parent / f".{folder.name}.part"
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if folder.exists():
            raise UserError(f"{folder} is there already; a new folder is expected")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unpack_archive(archive: str | os.PathLike[str], folder: Path, limits: Limits | None = None) -> int:
    """Unpacks into the empty `folder`, without the one folder that may hold all; returns the number of files.

    Raises UserError for a damaged archive, and for one with a link, a device, a path that is absolute or leaves the
    folder, one name twice, or more than `limits`. Whatever was unpacked until then is the caller's to remove.
    """
    archive, limits = Path(archive), limits or Limits()
    members = files = size = 0
    try:
        with progress_bar(unit=" files", desc=f"unpacking {archive.name}", delay=0.5) as bar:
            for member in filter(_is_wanted, _members(archive, limits)):
                members += 1
                if members > limits.members:
                    raise UserError(f"{archive} is refused: it holds more than {limits.members:,} files and folders")
                path = folder / _safe_name(archive, member.name)
                if member.content is None:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                size += _write(path, member, archive, limits.size - size)
                files += 1
                bar.update()
    except _DAMAGED as error:
        raise UserError(f"{archive} is damaged or no archive: {' '.join(str(error).split())}") from error
    except FileExistsError as error:
        name = os.path.relpath(error.filename, folder)
        raise UserError(f"{archive} is refused: it holds '{name}' twice, or as file and folder") from error
    except OSError as error:
        raise UserError(f"cannot unpack {archive}: {error.strerror or error}") from error
    _lift_single_folder(folder)
    return files


def _is_wanted(member: _Member) -> bool:
    """Whether it is more than what macOS leaves in every archive."""
    *folders, name = member.name.rstrip("/").split("/")
    return "__MACOSX" not in (*folders, name) and not name.startswith("._") and name != ".DS_Store"


def _members(archive: Path, limits: Limits) -> Iterator[_Member]:
    with open(archive, "rb") as file:
        start = file.read(4)
    return _members_of_zip(archive) if start[:2] == b"PK" else _members_of_tar(archive, start[:2], limits)


def _members_of_tar(archive: Path, start: bytes, limits: Limits) -> Iterator[_Member]:
    """Reads the tar from its beginning to its end, so that what follows a refused member is never unpacked."""
    with _OPENERS.get(start, open)(archive, "rb") as packed:  # type: ignore[operator]  # open, with fewer arguments
        headers = 4096 * limits.members  # more than all members' headers take
        stream = _Bounded(packed, archive, limits.size + headers)
        bounded = io.BufferedReader(stream)
        with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Header) as tar:
            for member in tar:
                if not (member.isdir() or member.isreg()) or member.issparse():
                    kind = "a link" if member.islnk() or member.issym() else "no plain file"
                    raise UserError(f"{archive} is refused: {member.name[:80]!r} is {kind}")
                yield _Member(member.name, member.isdir(), None if member.isdir() else tar.extractfile(member))
        while bounded.read(_CHUNK):  # what follows the blocks of zeros that end a tar
            pass
        if stream.tail != bytes(tarfile.BLOCKSIZE):
            raise UserError(f"{archive} is cut: the end of a tar is missing")


class _Header(tarfile.TarInfo):
    """A header of a tar; one that announces a name of more than a megabyte is refused before it is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Returns the header in a block."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _LONG_NAMES and header.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than a number of bytes: headers of a tar may claim any length."""

    def __init__(self, packed: IO[bytes], archive: Path, limit: int) -> None:
        self._packed, self._archive, self._left = packed, archive, limit
        self.tail = b""  # the last block that was read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._packed.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise UserError(f"{self._archive} is refused: it unpacks to more than is allowed")
        buffer[: len(data)] = data
        self.tail = (self.tail + data)[-tarfile.BLOCKSIZE :]
        return len(data)


def _members_of_zip(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "a link" if kind == stat.S_IFLNK else "no plain file"
                raise UserError(f"{archive} is refused: {info.filename[:80]!r} is {what}")
            if info.flag_bits & 1:
                raise UserError(f"{archive} is encrypted; unpack it with its password first")
            if info.is_dir():
                yield _Member(info.filename, True, None)
            else:
                with packed.open(info) as content:
                    yield _Member(info.filename, False, content)


def _safe_name(archive: Path, name: str) -> str:
    """Returns the member's relative path; raises UserError where it could leave the folder on any system."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    bad = name.startswith("/") or ".." in parts or any(c in name for c in "\\\0") or len(parts) > 20
    colon = ":" in name and (os.name == "nt" or name[1:2] == ":")  # a drive, or what Windows writes beside a file
    if bad or colon or any(ord(c) < 32 for c in name):
        raise UserError(f"{archive} is refused: {name[:80]!r} is no path inside the folder")
    return os.path.join(*parts) if parts else "."


def _write(path: Path, member: _Member, archive: Path, limit: int) -> int:
    """Writes a new file and returns its size; raises FileExistsError, and UserError beyond `limit` bytes."""
    size = 0
    assert member.content is not None
    with open(path, "xb") as file:
        while chunk := member.content.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise UserError(f"{archive} is refused: it unpacks to more than is allowed")
            file.write(chunk)
    return size


def _lift_single_folder(folder: Path) -> None:
    """Where all lies in one folder (`lfw/`), puts what is in it one higher."""
    entries = list(folder.iterdir())
    if len(entries) == 1 and entries[0].is_dir():
        inner = entries[0].rename(folder / secrets.token_hex(8))  # a name that none of its own entries has
        for entry in list(inner.iterdir()):
            entry.rename(folder / entry.name)
        inner.rmdir()
