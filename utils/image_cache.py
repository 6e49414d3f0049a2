"""What was once worked out of an image file, kept between runs: a row an image, found by its path, size and date."""

import hashlib
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.files import written_whole
from utils.image_headers import Refused
from utils.photo_files import photo_status

Keys = NDArray[np.uint64]


def image_keys(paths: Iterable[str]) -> Keys:
    """Returns (N,): a number for each file's absolute path, size and time of change; 0 where there is no file."""
    return np.array([_key(path) for path in paths], np.uint64)


def _key(path: str) -> int:
    try:
        size, changed = photo_status(path)
    except (OSError, ValueError, Refused):  # ValueError: a zero byte in the name
        return 0
    text = os.fsencode(os.path.abspath(path)) + f"|{size}|{changed}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


class ImageCache:
    """Rows of one dtype and shape by image key; a file that is missing, damaged or of another kind is an empty cache.

    Two images of a million get the same key once in 30 million runs.
    """

    def __init__(self, path: str | os.PathLike[str], dtype: Any, shape: tuple[int, ...] = ()):
        self.path = Path(path)
        self.keys = np.zeros(0, np.uint64)
        self.rows: NDArray[Any] = np.zeros((0, *shape), dtype)
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                keys, rows = stored["keys"], stored["rows"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return
        if rows.dtype == self.rows.dtype and rows.shape == (len(keys), *shape) and keys.dtype == np.uint64:
            self.keys, self.rows = keys, rows

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """Returns (N,): which stored row each key has, or -1."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[at] == keys) & (keys != 0), at, -1)

    def add(self, keys: Keys, rows: NDArray[Any]) -> None:
        """Puts rows (N, ...) under their keys (N,), and writes the file whole."""
        every = np.concatenate([keys, self.keys])  # a new row replaces the old one of its key
        self.keys, first = np.unique(every, return_index=True)
        self.rows = np.concatenate([rows, self.rows])[first]
        with written_whole(self.path) as temporary:
            np.savez(temporary, keys=self.keys, rows=self.rows)
