"""Verification while training: on people held out of it, and on LFW where a folder is given."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from utils.annotations import Annotations
from utils.bootstrap import bootstrap
from utils.embedder import Embedder, Flip
from utils.files import FileInMemory
from utils.images import ImageError, read_image
from utils.metrics import RATES, Verification, check_pairs, rate_name, squared_distances, verify
from utils.pairs import FOLDS, PairSet, read_pairs
from utils.random_pairs import random_pairs
from utils.settings import UserError
from utils.terminal import say


def verification_sets(
    held_out: Annotations, val_pairs: int, lfw: tuple[str, str] | None, seed: int
) -> dict[str, PairSet]:
    """Returns what is measured after each epoch: people held out, and `lfw` (folder, list of pairs) if given.

    Raises UserError where LFW's pairs or their images are missing, or cannot be read.
    """
    sets = {}
    if held_out.number_of_people and val_pairs:
        pairs = held_out_pairs(held_out, val_pairs, seed)
        mine, others = np.count_nonzero(pairs.same), np.count_nonzero(~pairs.same)
        if mine + others >= 2 * FOLDS and mine and others:
            sets["held_out"] = pairs
        else:
            found = f"{mine} pairs of one person and {others} of two"
            say(f"no validation: the {held_out.number_of_people} people held out give {found}, too few")
    if lfw:
        folder, pairs_file = lfw
        sets["lfw"] = read_pairs(pairs_file, folder)
        if problem := next(filter(None, _problems(sets["lfw"])), ""):
            raise UserError(problem)  # not after the first epoch
        check_pairs(sets["lfw"].same, sets["lfw"].fold)
    return sets


def held_out_pairs(annotations: Annotations, number: int, seed: int) -> PairSet:
    """Returns `number` random pairs of the people, half of them same, in ten folds; or as many as there are."""
    labels = annotations.labels
    counts = np.bincount(labels).astype(np.int64)
    same_pairs = int((counts * (counts - 1) // 2).sum())
    different_pairs = len(labels) * (len(labels) - 1) // 2 - same_pairs
    half = min(number // 2, same_pairs, different_pairs)
    first, second, same = random_pairs(labels, 2 * half, 0.5, seed)
    fold = np.empty(len(same), np.int64)
    for kind in (True, False):
        fold[same == kind] = np.arange((same == kind).sum()) % FOLDS
    rows, places = np.unique(np.concatenate([first, second]), return_inverse=True)  # only these are embedded
    first, second = places.reshape(2, -1)
    paths = [annotations.path(row) for row in rows.tolist()]
    return readable(PairSet(images=paths, first=first, second=second, same=same, fold=fold, people=labels[rows]))


def readable(pairs: PairSet) -> PairSet:
    """Returns the pairs whose images can be read, all of which are tried, and says which cannot."""
    problems = _problems(pairs)
    bad = np.array([bool(problem) for problem in problems], bool)
    if not bad.any():
        return pairs
    first = next(filter(None, problems))
    say(f"held out: {bad.sum():,} of {len(bad):,} photos cannot be read, their pairs are left out; the first: {first}")
    kept, places = ~(bad[pairs.first] | bad[pairs.second]), np.cumsum(~bad) - 1
    return PairSet(
        images=[image for image, problem in zip(pairs.images, problems, strict=True) if not problem],
        first=places[pairs.first[kept]],
        second=places[pairs.second[kept]],
        same=pairs.same[kept],
        fold=pairs.fold[kept],
        people=pairs.people[~bad],
    )


def _problems(pairs: PairSet) -> list[str]:
    """Returns why each image cannot be read; empty where it can."""

    def problem(source: str | FileInMemory) -> str:
        try:
            read_image(source)
        except ImageError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        return list(pool.map(problem, pairs.images))


def measure(embedder: Embedder, pairs: PairSet) -> Verification:
    """Returns the figures of an embedder on pairs; raises ImageError where an image cannot be read."""
    return verify(distances_of(embedder, pairs), pairs.same, pairs.fold)


def distances_of(embedder: Embedder, pairs: PairSet, flip: Flip = "none", progress: str | None = None) -> np.ndarray:
    """Returns the pairs' squared distances (N,), 0..4; a name for `progress` shows a bar.

    Raises ImageError where an image cannot be read.
    """
    embeddings = embedder.embed_files(pairs.images, flip, progress)
    return squared_distances(embeddings[pairs.first], embeddings[pairs.second])


def summary_intervals(distances: np.ndarray, pairs: PairSet) -> dict[str, list[float]]:
    """Returns the 95% intervals [low, high] of what `summary` returns; none of a figure that no draw moves."""
    found = bootstrap(distances, pairs.same, pairs.fold, pairs.people_of_pairs()).figures
    rates = {f"val_at_far_{rate_name(rate)}": f"val_{rate_name(rate)}" for rate in RATES}
    names = {"accuracy": "accuracy_mean", "auc": "auc"} | rates
    return {name: list(found[key]) for name, key in names.items() if key in found}


def summary(result: Verification) -> dict[str, float]:
    """Returns the figures that are kept after each epoch; rates that the pairs cannot resolve are left out."""
    rates = {f"val_at_far_{rate_name(rate)}": val for rate, val in result.val.items() if math.isfinite(val)}
    return {"accuracy": result.accuracy_mean, "auc": result.auc} | rates
