"""Pair sets for verification: LFW's pairs.txt, a list of `path path 0|1`, or random pairs of a folder of people."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.annotations import IMAGE_SUFFIXES
from utils.random_pairs import random_pairs
from utils.settings import UserError

FOLDS = 10
LFW_PAIRS = 300  # same pairs, and different pairs, in each of LFW's ten folds


@dataclass(frozen=True)
class PairSet:
    """N pairs of M images; each image stands in `images` once, however many pairs name it."""

    images: list[str]  # (M,) paths
    first: np.ndarray  # int (N,) indices into images
    second: np.ndarray  # int (N,) indices into images
    same: np.ndarray  # bool (N,)
    fold: np.ndarray  # int (N,)
    people: np.ndarray  # int (M,) who is on each image, for the bootstrap
    remark: str = ""  # in what the set differs from LFW's 6,000 = 10 x (300 + 300); empty where it does not
    left_out: int = 0  # pairs without their images (only with skip_missing)

    def people_of_pairs(self) -> np.ndarray:
        """Returns int (N,2): who is on the first and on the second image of each pair."""
        return np.stack([self.people[self.first], self.people[self.second]], axis=1)


class _Row(NamedTuple):
    first: str  # path relative to the folder, with or without its suffix
    second: str
    same: bool


def read_pairs(
    pairs_file: str | os.PathLike[str], folder: str | os.PathLike[str], skip_missing: bool = False
) -> PairSet:
    """Reads LFW's pairs.txt (it begins with `10 300`) or a list of `path path 0|1`, with images in `folder`.

    Fields are separated by tabs (names may then hold spaces) or by spaces. An image is found whatever its suffix is:
    the very file that the list names, else the same name with another image suffix. A list without folds is cut into
    ten. Raises UserError for a missing file or folder, a bad line (with its number) and missing images
    (`skip_missing` leaves out the pairs that need them).
    """
    lines = _lines(pairs_file)
    if not os.path.isdir(folder):
        raise UserError(f"{folder} is not a folder; expected the folder with the images that {pairs_file} names")
    header = lines[0][1]
    if len(header) <= 2 and all(field.isdecimal() for field in header):
        rows = [_lfw_row(pairs_file, number, fields) for number, fields in lines[1:]]
        fold = _declared_folds([int(field) for field in header], len(rows))
    else:
        rows, fold = [_list_row(pairs_file, number, fields) for number, fields in lines], None
    found = _find_images(sorted({name for row in rows for name in row[:2]}), str(folder))
    missing = sorted(name for name, path in found.items() if path is None)
    present = np.array([found[row.first] is not None and found[row.second] is not None for row in rows], bool)
    if missing and not skip_missing:
        raise UserError(f"{_missing(missing, len(found), folder)} (--skip_missing leaves their pairs out)")
    if not present.any():
        raise UserError(f"no pair of {pairs_file} is left: {_missing(missing, len(found), folder)}")
    kept = [row for row, there in zip(rows, present.tolist(), strict=True) if there]
    files = [(found[row.first] or "", found[row.second] or "") for row in kept]
    return _pair_set(files, [row.same for row in kept], None if fold is None else fold[present], int((~present).sum()))


def folder_pairs(folder: str | os.PathLike[str], number: int, same_ratio: float, seed: int) -> PairSet:
    """Draws random pairs from a folder of people (one folder each); raises UserError where it cannot give as many."""
    if not os.path.isdir(folder):
        raise UserError(f"{folder} is not a folder; expected one with a folder of images for each person")
    files, labels = [], []
    people = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    for label, person in enumerate(people):
        images = sorted(entry.path for entry in os.scandir(person) if _is_image(entry.name))
        files += images
        labels += [label] * len(images)
    first, second, same = random_pairs(np.array(labels, np.int64), number, same_ratio, seed)
    return _pair_set([(files[a], files[b]) for a, b in zip(first, second, strict=True)], same.tolist(), None, 0)


def _lines(pairs_file: str | os.PathLike[str]) -> list[tuple[int, list[str]]]:
    """Returns (line number, fields) of each line that is not empty."""
    try:
        text = Path(pairs_file).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"cannot read the pairs in {pairs_file}: {error.strerror}") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise UserError(f"{pairs_file} is empty; expected LFW's pairs.txt or lines of 'path path 0|1'")
    return [(number, line.split("\t") if "\t" in line else line.split()) for number, line in lines]


def _lfw_row(pairs_file: str | os.PathLike[str], number: int, fields: list[str]) -> _Row:
    """Turns `name 1 2` (same) or `name 1 other_name 2` (different) into a row."""
    same = len(fields) == 3
    four = [*fields[:2], fields[0], fields[2]] if same else fields
    if len(four) != 4 or not four[1].isdecimal() or not four[3].isdecimal():
        raise _bad_line(pairs_file, number, fields, "'name 1 2' or 'name 1 other_name 2' as in LFW's pairs.txt")
    if not same and four[0] == four[2]:
        raise _bad_line(pairs_file, number, fields, "two names in a different pair")
    first, second = (f"{name}/{name}_{int(image):04d}" for name, image in (four[:2], four[2:]))
    if first == second:
        raise _bad_line(pairs_file, number, fields, "two images, not one twice")
    return _Row(first, second, same)


def _list_row(pairs_file: str | os.PathLike[str], number: int, fields: list[str]) -> _Row:
    if len(fields) != 3 or fields[2] not in ("0", "1"):
        expected = (
            "'path path 0|1', with tabs between where a path holds a space (LFW's pairs.txt begins with '10 300')"
        )
        raise _bad_line(pairs_file, number, fields, expected)
    if fields[0] == fields[1]:
        raise _bad_line(pairs_file, number, fields, "two images, not one twice")
    return _Row(os.path.normpath(fields[0]), os.path.normpath(fields[1]), fields[2] == "1")


def _bad_line(pairs_file: str | os.PathLike[str], number: int, fields: list[str], expected: str) -> UserError:
    return UserError(f"{pairs_file} line {number}: received '{' '.join(fields)}', expected {expected}")


def _declared_folds(header: list[int], number: int) -> np.ndarray | None:
    """Returns the fold of each of `number` pairs, or None where the file has no folds.

    `10 300`: 10 folds, each 300 same pairs and then 300 different ones (pairs.txt). `1100` with 2,200 lines: same
    pairs, then as many different ones, no folds (pairsDevTrain.txt). `10` with other lines: 10 folds of one length.
    """
    if len(header) == 2:
        length = 2 * header[1]
    else:
        length = number if number == 2 * header[0] else -(-number // max(header[0], 1))
    length = max(length, 1)
    fold = np.arange(number) // length
    return fold if number and fold[-1] > 0 else None


def _find_images(names: list[str], folder: str) -> dict[str, str | None]:
    """Returns name -> path in `folder` (None: not there); each folder that they name is listed once."""
    listings: dict[str, dict[str, str]] = {}
    found = {}
    for name in names:
        parent, file = os.path.split(os.path.join(folder, name))
        if parent not in listings:
            listings[parent] = _listing(parent)
        stem, suffix = os.path.splitext(file)
        listing = listings[parent]
        match = listing.get(file) or (listing.get(stem) if suffix.lower() in IMAGE_SUFFIXES else None)
        found[name] = os.path.join(parent, match) if match else None
    return found


def _listing(folder: str) -> dict[str, str]:
    """Returns file name -> file name and stem -> file name of the images in a folder; empty where there is none."""
    if not os.path.isdir(folder):
        return {}
    files = sorted((entry.name for entry in os.scandir(folder) if _is_image(entry.name)), reverse=True)
    return {os.path.splitext(file)[0]: file for file in files} | {file: file for file in files}


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def _missing(missing: list[str], number: int, folder: str | os.PathLike[str]) -> str:
    names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return f"{len(missing):,} of {number:,} images are not in {folder}: {names}"


def _pair_set(files: Sequence[tuple[str, str]], same: list[bool], fold: np.ndarray | None, left_out: int) -> PairSet:
    images = sorted({file for pair in files for file in pair})
    index = {file: i for i, file in enumerate(images)}
    pairs = np.array([(index[a], index[b]) for a, b in files], np.int64)
    is_same = np.array(same, bool)
    folder_of = np.unique([os.path.dirname(file) for file in images], return_inverse=True)[1]
    in_one_folder = folder_of[pairs[:, 0]] == folder_of[pairs[:, 1]]
    remarks = [_remark(is_same, fold)]
    if np.any(in_one_folder & ~is_same):
        folder_of = np.arange(len(images))
        remarks.append("different people share a folder, so the intervals count each image as its own person")
    folds = _stratified_folds(is_same) if fold is None else fold
    remark = "; ".join(filter(None, remarks))
    return PairSet(images, pairs[:, 0], pairs[:, 1], is_same, folds, folder_of, remark, left_out)


def _stratified_folds(same: np.ndarray) -> np.ndarray:
    """Returns int (N,): ten contiguous folds, the same pairs and the different pairs cut apart from each other."""
    fold = np.empty(len(same), np.int64)
    for kind in (same, ~same):
        number = int(np.count_nonzero(kind))
        fold[kind] = np.arange(number) * FOLDS // max(number, 1)
    return fold


def _remark(same: np.ndarray, fold: np.ndarray | None) -> str:
    """Says in what the folds differ from LFW's protocol."""
    protocol = "LFW's protocol is 6,000 = 10 x (300 + 300)"
    pairs = f"{len(same):,} pairs ({np.count_nonzero(same):,} same + {np.count_nonzero(~same):,} different)"
    if fold is None:
        return f"{pairs} without folds of their own, cut into {FOLDS}; {protocol}"
    sizes = {(np.count_nonzero(same & (fold == f)), np.count_nonzero(~same & (fold == f))) for f in np.unique(fold)}
    if sizes == {(LFW_PAIRS, LFW_PAIRS)} and len(np.unique(fold)) == FOLDS:
        return ""
    smallest, largest = min(map(sum, sizes)), max(map(sum, sizes))
    return f"{pairs} in {len(np.unique(fold))} folds of {smallest:,} to {largest:,}; {protocol}"
