"""Writing files so that a crash, a kill or a full disk leaves the last good file in place."""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from utils.people_folder import IMAGE_SUFFIXES
from utils.settings import UserError


class FileInMemory(NamedTuple):
    """A file that lies inside another one (a `.bin` of pairs, a record file): its name for messages, and its bytes."""

    name: str
    data: bytes


def source_name(source: str | os.PathLike[str] | FileInMemory) -> str:
    """Returns what a file, or one inside another, is called."""
    return source.name if isinstance(source, FileInMemory) else os.fspath(source)


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str], private: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`; when the block ends well it is synced and renamed to `path`.

    The temporary name keeps the suffix (`.keras`, `.png`), which some writers look at. Nobody but the user may read a
    `private` file.
    Raises UserError, and leaves `path` as it was, where the file cannot be written (full disk, no permission).
    """
    path = Path(path)
    temporary = path.parent / f".{path.stem[:40]}-{secrets.token_hex(4)}{path.suffix}"  # no longer than a name may be
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"cannot write {path}: it is a {'folder' if path.is_dir() else 'device or a pipe'}")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(0o600 if private else 0o666, exist_ok=False)  # less what the user's umask takes
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path}: {reason}; what was there before is untouched") from error
    finally:
        with contextlib.suppress(OSError):  # no such folder: the error above says it
            temporary.unlink(missing_ok=True)


def refuse_photo(name: str, path: str | os.PathLike[str]) -> None:
    """Raises UserError where a flag `name` has the name of a photo as the place for a text."""
    if os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES:
        raise UserError(f"--{name} {os.fspath(path)} is a photo's name, and a text would be written there")


def write_text(path: str | os.PathLike[str], text: str, private: bool = False) -> None:
    """Writes `text` (UTF-8) whole or not at all."""
    with written_whole(path, private) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_json(path: str | os.PathLike[str], value: Any, private: bool = False) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", private)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Returns the JSON in `path`; raises UserError where it is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error


class FolderLock:
    """Holds a folder against other processes of this machine that do the same, until it is released or they end.

    Where the system has no such locks (Windows, some network disks) it holds nothing.
    Raises UserError where another process has the folder.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._handle = -1
        try:
            import fcntl
        except ImportError:
            return
        self._handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise UserError(f"'{folder}' is being written to by another process: wait for it, or stop it") from None
        except OSError:
            self.release()

    def release(self) -> None:
        """Lets the next one have it."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def __del__(self) -> None:
        self.release()


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of the file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
