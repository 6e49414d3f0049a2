"""Millions of short texts as rows of one blob of bytes: no string per row, and every operation on whole arrays."""

import dataclasses
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from utils.settings import UserError

WORD = 8  # bytes that are compared at once; a blob has as many zeros behind its last row
_BLOCK = 1 << 18  # rows at once (in bytes of text: 64 times as many), so that temporaries stay small beside the blob
_NEWLINE, _RETURN = b"\n\r"


@dataclasses.dataclass(frozen=True, eq=False)
class TextRows:
    """Row k is `text[begin[k]:end[k]]`, as bytes."""

    text: NDArray[np.uint8]
    begin: NDArray[np.int64]  # (N,)
    end: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.begin)

    def __getitem__(self, row: int) -> str:
        """Returns the row as a file name: bytes that are not UTF-8 become surrogates, as the operating system's do."""
        return os.fsdecode(self.text[self.begin[row] : self.end[row]].tobytes())

    def take(self, rows: NDArray[np.integer]) -> "TextRows":
        """Returns `rows` in the order given, in the same blob."""
        return TextRows(self.text, self.begin[rows], self.end[rows])

    def repeats(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns (first, second), each (M,): for every row that was there before, the row before it that is equal."""
        hashes = self._hashes()
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        alike = np.flatnonzero(hashes[1:] == hashes[:-1])
        first, second = order[alike], order[alike + 1]
        same = self._same(first, second)
        return first[same], second[same]

    def _hashes(self) -> NDArray[np.uint64]:
        """Returns (N,): equal rows have equal hashes; others hardly ever do (`_same` looks)."""
        hashes = (self.end - self.begin).astype(np.uint64)
        for start in range(0, len(self), _BLOCK):
            block = hashes[start : start + _BLOCK]
            for rows, words in _words(self.text, self.begin[start : start + _BLOCK], self.end[start : start + _BLOCK]):
                mixed = (block[rows] ^ words) * np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
                block[rows] = mixed ^ (mixed >> np.uint64(29))
        return hashes

    def _same(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns (M,): whether rows `first` (M,) and `second` (M,) are equal, byte for byte."""
        same = (self.end - self.begin)[first] == (self.end - self.begin)[second]
        pairs = np.flatnonzero(same)
        sides = (_words(self.text, self.begin[side[pairs]], self.end[side[pairs]]) for side in (first, second))
        for (rows, left), (_, right) in zip(*sides, strict=True):
            same[pairs[rows[left != right]]] = False
        return same


def _words(
    text: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Yields (rows that go on, their next 8 bytes, zeros past the end), until every row is at its end."""
    words = np.ndarray((len(text) - WORD + 1,), "<u8", buffer=text.data, strides=(1,))  # one at every byte
    rows, at, left = np.arange(len(begin)), begin, end - begin
    while len(rows):
        going = left > 0
        rows, at, left = rows[going], at[going], left[going]
        spare = np.uint64(8) * np.maximum(WORD - left, 0).astype(np.uint64)
        yield rows, words[at] & (np.uint64(0xFFFFFFFFFFFFFFFF) >> spare)
        at, left = at + WORD, left - WORD


def read_lines(path: str | os.PathLike[str]) -> TextRows:
    """Returns the lines of a file, without line ends (LF or CRLF), byte-order mark and blank lines at its end.

    Raises UserError for UTF-16, which PowerShell's `>` writes.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        text = np.zeros(size + WORD, np.uint8)
        size = file.readinto(text[:size].data)
    if text[:2].tobytes() in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{os.fspath(path)} is UTF-16; UTF-8 is expected (PowerShell: Out-File -Encoding utf8)")
    while size and text[size - 1] in (_NEWLINE, _RETURN):
        size -= 1
    block = 64 * _BLOCK
    found = [np.flatnonzero(text[i : min(i + block, size)] == _NEWLINE) + i for i in range(0, size, block)]
    end = np.concatenate([*found, [size]]) if size else np.zeros(0, np.int64)
    begin = np.concatenate(([3 if text[:3].tobytes() == b"\xef\xbb\xbf" else 0], end[:-1] + 1))[: len(end)]
    end -= (end > begin) & (text[end - 1] == _RETURN)
    return TextRows(text, begin, end)
