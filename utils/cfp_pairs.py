"""CFP's own protocol: Celebrities in Frontal-Profile (Sengupta et al., WACV 2016), 10 folds of 350 + 350 pairs.

`Protocol/Pair_list_F.txt` and `Pair_list_P.txt` number the frontal and the profile images from 1 (`7
../Data/Images/001/frontal/07.jpg`); `Protocol/Split/FP/01..10/same.txt` and `diff.txt` hold a pair a line, `i,j`: in
`FP` a frontal and a profile image, in `FF` two frontal ones.
"""

import os

import numpy as np

from utils.list_pairs import Row, bad_line, pairs_of_rows
from utils.pair_set import PairSet
from utils.settings import UserError

LISTS = {"FF": ("F", "F"), "FP": ("F", "P")}  # the lists that the first and the second number of a pair point into


def read_cfp(path: str, folder: str, skip_missing: bool) -> PairSet:
    """Reads CFP's folder `Protocol` (frontal with profile), or its `Split/FP` or `Split/FF`.

    Images are `<folder>/<person>/<frontal|profile>/<number>`: CFP's own `Data/Images`, or crops in its layout.
    `folder` may also be CFP's root. Raises UserError where something is missing or is not as above.
    """
    protocol, kind = _find_protocol(path)
    lists = {name: _read_list(os.path.join(protocol, f"Pair_list_{name}.txt")) for name in sorted({*LISTS[kind]})}
    first, second = (lists[name] for name in LISTS[kind])
    rows, folds = [], []
    split = os.path.join(protocol, "Split", kind)
    for fold, name in enumerate(sorted(os.listdir(split)) if os.path.isdir(split) else []):
        for file, same in (("same.txt", True), ("diff.txt", False)):
            pairs = _read_pairs(os.path.join(split, name, file), len(first), len(second))
            rows += [Row(first[a - 1], second[b - 1], same) for a, b in pairs]
            folds += [fold] * len(pairs)
    if not rows:
        raise UserError(f"{split} holds no pairs; expected folders 01 to 10 with same.txt and diff.txt")
    inner = os.path.join(folder, "Data", "Images")
    folder = inner if os.path.isdir(inner) else folder
    return pairs_of_rows(rows, np.array(folds), (path, folder), skip_missing, _person)


def _find_protocol(path: str) -> tuple[str, str]:
    """Returns (folder with the two lists, "FF" or "FP") for any of CFP's folders."""
    path = os.path.abspath(path)
    for protocol in (path, os.path.join(path, "Protocol"), os.path.dirname(os.path.dirname(path))):
        if os.path.isfile(os.path.join(protocol, "Pair_list_F.txt")):
            inner = os.path.basename(path) if os.path.basename(os.path.dirname(path)) == "Split" else "FP"
            if inner not in LISTS:
                raise UserError(f"{path} is no split of CFP; choose from {', '.join(LISTS)}")
            return protocol, inner
    raise UserError(f"{path} is a folder without Pair_list_F.txt; expected CFP's Protocol folder, or a file of pairs")


def _read_list(path: str) -> list[str]:
    """Returns the images of a list, as `<person>/<view>/<file>`."""
    names: list[str] = []
    for number, fields in _lines(path, None):
        parts = fields[-1].replace("\\", "/").split("/")
        if len(fields) != 2 or fields[0] != str(len(names) + 1) or len(parts) < 3 or ".." in parts[-3:]:
            expected = f"'{len(names) + 1} ../Data/Images/001/frontal/01.jpg' or the like"
            raise bad_line(path, (number, fields), expected)
        names.append("/".join(parts[-3:]))
    return names


def _read_pairs(path: str, firsts: int, seconds: int) -> list[tuple[int, int]]:
    """Returns the numbers of the pairs' images, 1..firsts and 1..seconds."""
    pairs = []
    for number, fields in _lines(path, ","):
        if len(fields) == 2 and all(field.strip().isdecimal() for field in fields):
            a, b = int(fields[0]), int(fields[1])
            if 1 <= a <= firsts and 1 <= b <= seconds:
                pairs.append((a, b))
                continue
        raise bad_line(path, (number, fields), f"'i,j' with numbers from 1 to {firsts} and 1 to {seconds}")
    return pairs


def _lines(path: str, separator: str | None) -> list[tuple[int, list[str]]]:
    """Returns (number, fields) of the lines that are not empty."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; expected CFP's Protocol folder, whole") from error
    return [(number, line.strip().split(separator)) for number, line in enumerate(lines, start=1) if line.strip()]


def _person(path: str) -> str:
    return os.path.dirname(os.path.dirname(path))
