"""Pair sets for verification: of a list, an InsightFace `.bin`, CFP's Protocol folder, or random pairs of a folder."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.bin_pairs import is_bin, read_bin
from utils.cfp_pairs import read_cfp
from utils.list_pairs import read_list
from utils.pair_set import FOLDS, LFW_PAIRS, PairSet, pair_set
from utils.people_folder import PeopleFolder
from utils.random_pairs import random_pairs

__all__ = ["FOLDS", "LFW_PAIRS", "PairSet", "folder_pairs", "random_pairs", "read_pairs"]

LISTED = "model_data/lfw_pairs.txt"  # LFW's own pairs, in the project


class _Reader(NamedTuple):
    recognises: Callable[[str], bool]  # path -> whether it is of this kind
    read: Callable[[str, str, bool], PairSet]  # path, folder of the images, skip_missing


READERS = (  # the first that recognises a path reads it
    _Reader(recognises=os.path.isdir, read=read_cfp),
    _Reader(recognises=is_bin, read=lambda path, folder, skip_missing: read_bin(path)),
    _Reader(recognises=lambda path: True, read=read_list),
)


def read_pairs(
    pairs_file: str | os.PathLike[str], folder: str | os.PathLike[str], skip_missing: bool = False
) -> PairSet:
    """Reads pairs with their images in `folder`, whatever the images' suffixes are.

    pairs_file: LFW's pairs.txt (it begins with `10 300`), lines of `path path 0|1`, CALFW's or CPLFW's list, a `.bin`
    of InsightFace (holds its images; `folder` is not used), or CFP's folder `Protocol`, `Protocol/Split/FF` or
    `Protocol/Split/FP`. Raises UserError for a missing file or folder, a bad line (with its number), a damaged file
    and missing images (`skip_missing` leaves out the pairs that need them).
    """
    path = os.fspath(pairs_file)
    if path == LISTED and not os.path.exists(path):  # called from another folder than the project's
        path = os.fspath(Path(__file__).parents[1] / LISTED)
    reader = next(reader for reader in READERS if reader.recognises(path))
    return reader.read(path, os.fspath(folder), skip_missing)


def folder_pairs(folder: str | os.PathLike[str], number: int, same_ratio: float, seed: int) -> PairSet:
    """Draws random pairs from a folder of people (one folder each); raises UserError where it cannot give as many."""
    files, labels = [], []
    for label, (person, photos) in enumerate(PeopleFolder(folder)):
        files += [os.path.join(folder, person, photo) for photo in photos]
        labels += [label] * len(photos)
    first, second, same = random_pairs(np.array(labels, np.int64), number, same_ratio, seed)
    return pair_set([(files[a], files[b]) for a, b in zip(first, second, strict=True)], same.tolist(), None)
