"""Writes pairs of photos in the form of LFW's pairs.txt (utils/pairs.py reads it)."""

import os
from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from utils.files import write_text
from utils.pairs import FOLDS
from utils.settings import UserError


def write_pairs(path: str | os.PathLike[str], names: Sequence[str], images: int, pairs: int, seed: int) -> None:
    """Writes `pairs` of people who have images 1..`images` each: 10 folds, half same and half different, none twice.

    From 20 people on nobody is in two folds, as in LFW. Raises UserError where there are too few different pairs.
    """
    in_fold = pairs // (2 * FOLDS)  # of each kind
    if pairs < 2 * FOLDS or pairs % (2 * FOLDS) or seed < 0:
        expected = f"a multiple of {2 * FOLDS} ({FOLDS} folds of same and different) and a seed from 0 on"
        raise UserError(f"cannot draw {pairs} pairs with seed {seed}: {expected} are expected")
    rng = np.random.default_rng(seed)
    people = [names[k] for k in rng.permutation(len(names))]
    groups = [people[fold::FOLDS] for fold in range(FOLDS)] if len(people) >= 2 * FOLDS else [people]
    number = in_fold * FOLDS // len(groups)
    same = [pair for group in groups for pair in _distinct_pairs(group, images, number, True, rng)]
    different = [pair for group in groups for pair in _distinct_pairs(group, images, number, False, rng)]
    lines = [f"{FOLDS}\t{in_fold}"]
    for fold in range(FOLDS):
        rows = slice(fold * in_fold, (fold + 1) * in_fold)
        lines += [f"{a}\t{i}\t{j}" for a, _, i, j in same[rows]]
        lines += [f"{a}\t{i}\t{b}\t{j}" for a, b, i, j in different[rows]]
    write_text(path, "\n".join(lines) + "\n")


def _distinct_pairs(
    people: list[str], images: int, number: int, same: bool, rng: np.random.Generator
) -> list[tuple[str, str, int, int]]:
    """Returns `number` of (person, other person, image, other image), no pair twice."""
    numbers = range(1, images + 1)
    of_people = [(person, person) for person in people] if same else list(combinations(people, 2))
    of_images = list(combinations(numbers, 2) if same else product(numbers, repeat=2))
    total = len(of_people) * len(of_images)
    if total < number:
        kind = "one person" if same else "two people"
        raise UserError(f"{number} pairs of {kind} are wanted: {len(people)} people with {images} images have {total}")
    chosen = rng.choice(total, number, replace=False).tolist()
    return [(*of_people[k // len(of_images)], *of_images[k % len(of_images)]) for k in chosen]
