"""What every reader of pairs gives: images, pairs of them, folds, and who is on each image."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from utils.files import FileInMemory

FOLDS = 10
JOINED = "for the intervals, images joined by same pairs are one person"
LFW_PAIRS = 300  # same pairs, and different pairs, in each of LFW's ten folds


@dataclass(frozen=True)
class PairSet:
    """N pairs of M images; each image stands in `images` once, however many pairs name it."""

    images: Sequence[str | FileInMemory]  # M paths, or files inside another one
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


def pair_set(
    files: Sequence[tuple[str, str]],
    same: Sequence[bool],
    fold: np.ndarray | None,
    left_out: int = 0,
    person_of: Callable[[str], str] = os.path.dirname,
) -> PairSet:
    """Returns the pairs of paths `files`; a set without folds (None) is cut into ten.

    `person_of(path)` names who is on an image: their folder. Where that makes two different people one, only the pairs
    say who is who (`joined`).
    """
    images = sorted({file for pair in files for file in pair})
    index = {file: i for i, file in enumerate(images)}
    pairs = np.array([(index[a], index[b]) for a, b in files], np.int64)
    is_same = np.array(same, bool)
    people = np.unique([person_of(file) for file in images], return_inverse=True)[1]
    one_person = people[pairs[:, 0]] == people[pairs[:, 1]]
    remarks = [remark(is_same, fold)]
    if np.any(one_person & ~is_same):
        people = joined(pairs[is_same, 0], pairs[is_same, 1], len(images))
        remarks.append(f"different people share a folder: {JOINED}")
    elif not one_person[is_same].all():
        people = joined(people[pairs[is_same, 0]], people[pairs[is_same, 1]], people.max() + 1)[people]
        remarks.append("one person's photos are in several folders: for the intervals, same pairs join folders")
    folds = stratified_folds(is_same) if fold is None else fold
    text = "; ".join(filter(None, remarks))
    return PairSet(images, pairs[:, 0], pairs[:, 1], is_same, folds, people, text, left_out)


def joined(first: np.ndarray, second: np.ndarray, number: int) -> np.ndarray:
    """Returns int (number,): the group of each of `number` images when each first (N,) and its second are in one."""
    group = list(range(number))

    def root(image: int) -> int:
        while group[image] != image:
            group[image] = group[group[image]]  # halves the way for the next one
            image = group[image]
        return image

    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        group[root(a)] = root(b)
    return np.unique([root(image) for image in range(number)], return_inverse=True)[1]


def stratified_folds(same: np.ndarray) -> np.ndarray:
    """Returns int (N,): ten contiguous folds, the same pairs and the different pairs cut apart from each other."""
    fold = np.empty(len(same), np.int64)
    for kind in (same, ~same):
        number = int(np.count_nonzero(kind))
        fold[kind] = np.arange(number) * FOLDS // max(number, 1)
    return fold


def remark(same: np.ndarray, fold: np.ndarray | None) -> str:
    """Says in what the folds differ from LFW's protocol; empty where they do not. `fold` None: there are none."""
    protocol = "LFW's protocol is 6,000 = 10 x (300 + 300)"
    pairs = f"{len(same):,} pairs ({np.count_nonzero(same):,} same + {np.count_nonzero(~same):,} different)"
    if fold is None:
        return f"{pairs} without folds of their own, cut into {FOLDS}; {protocol}"
    sizes = {(np.count_nonzero(same & (fold == f)), np.count_nonzero(~same & (fold == f))) for f in np.unique(fold)}
    if sizes == {(LFW_PAIRS, LFW_PAIRS)} and len(np.unique(fold)) == FOLDS:
        return ""
    smallest, largest = min(map(sum, sizes)), max(map(sum, sizes))
    return f"{pairs} in {len(np.unique(fold))} folds of {smallest:,} to {largest:,}; {protocol}"
