"""Pairs from text: LFW's pairs.txt, lines of `path path 0|1`, and the two-line pairs of CALFW and CPLFW."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.image_names import find_images, missing_images
from utils.pair_set import PairSet, pair_set
from utils.settings import UserError

_Line = tuple[int, list[str]]  # number in the file, fields


class Row(NamedTuple):
    """A pair as a list names it."""

    first: str  # path relative to the folder, with or without its suffix
    second: str
    same: bool


def read_list(pairs_file: str, folder: str, skip_missing: bool) -> PairSet:
    """Reads LFW's pairs.txt (it begins with `10 300`), lines of `path path 0|1`, or CALFW's and CPLFW's lists.

    Fields are separated by tabs (names may then hold spaces) or by spaces. A list without folds is cut into ten.
    Raises UserError for a missing file or folder, a bad line (with its number) and missing images.
    """
    lines = _lines(pairs_file)
    header = lines[0][1]
    fold = None
    person_of: Callable[[str], str] = os.path.dirname
    if len(header) <= 2 and all(field.isdecimal() for field in header):
        rows = [_lfw_row(pairs_file, line) for line in lines[1:]]
        fold = _declared_folds([int(field) for field in header], len(rows))
    elif len(header) == 2 and header[1].isdecimal():
        rows, person_of = _two_line_rows(pairs_file, lines), _person_in_name
    else:
        rows = [_list_row(pairs_file, line) for line in lines]
    if not rows:
        raise UserError(f"{pairs_file} has a first line and no pairs behind it")
    return pairs_of_rows(rows, fold, (pairs_file, folder), skip_missing, person_of)


def pairs_of_rows(
    rows: list[Row],
    fold: np.ndarray | None,
    where: tuple[str, str],
    skip_missing: bool,
    person_of: Callable[[str], str],
) -> PairSet:
    """Finds the images of `rows`; `where` is the list and the folder. Raises UserError where images are missing
    (`skip_missing` leaves out the pairs that need them, unless none is left)."""
    pairs_file, folder = where
    if not os.path.isdir(folder):
        raise UserError(f"{folder} is not a folder; expected the folder with the images that {pairs_file} names")
    found = find_images(sorted({name for row in rows for name in row[:2]}), folder)
    missing = sorted(name for name, path in found.items() if path is None)
    present = np.array([found[row.first] is not None and found[row.second] is not None for row in rows], bool)
    if missing and not skip_missing:
        raise UserError(
            f"{missing_images(missing, len(found), folder)} (eval_lfw.py --skip_missing leaves their pairs out)"
        )
    if not present.any():
        raise UserError(f"no pair of {pairs_file} is left: {missing_images(missing, len(found), folder)}")
    kept = [row for row, there in zip(rows, present.tolist(), strict=True) if there]
    files = [(found[row.first] or "", found[row.second] or "") for row in kept]
    fold = None if fold is None else fold[present]
    return pair_set(files, [row.same for row in kept], fold, int((~present).sum()), person_of)


def _lines(pairs_file: str) -> list[_Line]:
    """Returns the lines that are not empty."""
    try:
        text = Path(pairs_file).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"cannot read the pairs in {pairs_file}: {error.strerror}") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise UserError(f"{pairs_file} is empty; expected LFW's pairs.txt or lines of 'path path 0|1'")
    return [(number, line.split("\t") if "\t" in line else line.split()) for number, line in lines]


def _lfw_row(pairs_file: str, line: _Line) -> Row:
    """Turns `name 1 2` (same) or `name 1 other_name 2` (different) into a row."""
    fields = line[1]
    same = len(fields) == 3
    four = [*fields[:2], fields[0], fields[2]] if same else fields
    if len(four) != 4 or not four[1].isdecimal() or not four[3].isdecimal():
        raise bad_line(pairs_file, line, "'name 1 2' or 'name 1 other_name 2' as in LFW's pairs.txt")
    if not same and four[0] == four[2]:
        raise bad_line(pairs_file, line, "two names in a different pair")
    first, second = (f"{name}/{name}_{int(image):04d}" for name, image in (four[:2], four[2:]))
    if first == second:
        raise bad_line(pairs_file, line, "two images, not one twice")
    return Row(first, second, same)


def _list_row(pairs_file: str, line: _Line) -> Row:
    fields = line[1]
    if len(fields) != 3 or fields[2] not in ("0", "1"):
        expected = (
            "'path path 0|1', with tabs between where a path holds a space (LFW's pairs.txt begins with '10 300')"
        )
        raise bad_line(pairs_file, line, expected)
    if fields[0] == fields[1]:
        raise bad_line(pairs_file, line, "two images, not one twice")
    return Row(os.path.normpath(fields[0]), os.path.normpath(fields[1]), fields[2] == "1")


def _two_line_rows(pairs_file: str, lines: list[_Line]) -> list[Row]:
    """CALFW, CPLFW: `file label` on two lines a pair, the same label on both; 0: different people, else the same.

    (CALFW's labels of same pairs are 1..10, but its different pairs have no fold, so ten are cut as elsewhere.)
    """
    for line in lines:
        if len(line[1]) != 2 or not line[1][1].isdecimal():
            raise bad_line(pairs_file, line, "'file label' on two lines a pair, as in CALFW and CPLFW")
    if len(lines) % 2:
        raise UserError(f"{pairs_file} has {len(lines):,} lines; expected two a pair ('file label' each)")
    rows = []
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        if first[1][1] != second[1][1] or first[1][0] == second[1][0]:
            raise bad_line(pairs_file, second, f"another file with the label of the line before, {first[1][1]}")
        rows.append(Row(os.path.normpath(first[1][0]), os.path.normpath(second[1][0]), first[1][1] != "0"))
    return rows


def _person_in_name(path: str) -> str:
    """Returns who is on `Carl_Reiner_0001.jpg`: CALFW's and CPLFW's images lie in one folder."""
    return os.path.splitext(path)[0].rpartition("_")[0]


def bad_line(pairs_file: str, line: _Line, expected: str) -> UserError:
    """Returns the error that names a line, what it is, and what was `expected`."""
    return UserError(f"{pairs_file} line {line[0]}: received '{' '.join(line[1])}', expected {expected}")


def _declared_folds(header: list[int], number: int) -> np.ndarray | None:
    """Returns the fold of each of `number` pairs, or None where the file has no folds.

    `10 300`: 10 folds, each 300 same pairs and then 300 different ones (pairs.txt). `1100` with 2,200 lines: same
    pairs, then as many different ones, no folds (pairsDevTrain.txt). `10` with other lines: 10 folds,
    as equal as can be.
    """
    if len(header) == 2:
        fold = np.arange(number) // max(2 * header[1], 1)
    else:
        folds = 1 if number == 2 * header[0] else max(1, min(header[0], number))
        fold = np.arange(number) * folds // max(number, 1)
    return fold if number and fold[-1] > 0 else None
