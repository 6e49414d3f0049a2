"""What a face is compared with: one vector a person made of all their photos, or every photo."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.identities import unit
from utils.metrics import LARGEST_DISTANCE
from utils.settings import choose

KINDS = {
    "mean": "the mean of a person's unit vectors",
    "quality": "their mean, each counting by its photo's quality",
    "all": "every photo by itself: the nearest one counts",
}


class Templates(NamedTuple):
    """P vectors and whose each of them is."""

    names: list[str]  # P, a person's name as often as they have vectors
    vectors: NDArray[np.float32]  # (P,D) of unit length
    lengths: NDArray[np.float32]  # (P,) of the means before they were brought to unit length; 1 for a single photo


def templates(
    names: Mapping[int, str],
    people: NDArray[np.integer],
    vectors: NDArray[np.float32],
    weights: NDArray[np.floating],
    how: str = "mean",
) -> Templates:
    """Returns the templates of photos (N,D) of unit length, in the order of their people's numbers.

    Args:
        names: number of a person -> name.
        people: (N,) the number of each photo's person.
        weights: (N,) 0..1, the quality of each photo; who has nothing but zeros gets the plain mean.
        how: one of KINDS.
    """
    choose(KINDS, how, "kind of template")
    order = np.argsort(people, kind="stable")
    people = people[order]
    if how == "all" or not len(order):
        return Templates([names[p] for p in people.tolist()], vectors[order], np.ones(len(order), np.float32))
    starts = np.flatnonzero(np.diff(people, prepend=people[0] - 1))
    counted = np.ones(len(order), np.float32) if how == "mean" else _without_zeros(weights[order], starts)
    sums = np.add.reduceat(vectors[order] * counted[:, None], starts)
    lengths = np.linalg.norm(sums, axis=1) / np.add.reduceat(counted, starts)
    return Templates([names[person] for person in people[starts].tolist()], unit(sums), lengths)


def as_between_photos(
    distances: NDArray[np.floating], lengths: NDArray[np.floating], strangers: float
) -> NDArray[np.float64]:
    """Returns the squared distances (...) to templates as distances between two photos that strangers reach as often.

    Embeddings of all people share a part: their mean m, with m.m the cosine of strangers. The mean of a person's
    photos keeps that part while what differs from photo to photo cancels, so that brought to unit length it has more of
    it, and is nearer to everybody. With L, the mean's length before, the part of the template that is the person's
    has the length sqrt(L^2 - m.m), and a photo's sqrt(1 - m.m); a stranger's cosine, less m.m, is as that part is long.

    Args:
        lengths: (...) of the templates, as in `Templates`.
        strangers: squared distance of two strangers' photos, at the median.
    """
    shared = shared_part(strangers)
    own = np.maximum(np.asarray(lengths, np.float64) ** 2 - shared, 1e-3 * (1 - shared))
    cosines = shared + ((1 - np.asarray(distances, np.float64) / 2) * lengths - shared) * np.sqrt((1 - shared) / own)
    return np.clip(2 - 2 * cosines, 0.0, LARGEST_DISTANCE)


def shared_part(strangers: float) -> float:
    """Returns the cosine of two strangers, of their squared distance at the median; 0 where they share nothing."""
    return max(0.0, 1 - strangers / 2)


def _without_zeros(weights: NDArray[np.floating], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the weights (N,), but ones for who has zeros only; people begin at `starts` (P,)."""
    counts = np.diff(starts, append=len(weights))
    none = np.repeat(np.maximum.reduceat(weights, starts) <= 0, counts)
    return np.where(none, 1.0, weights).astype(np.float32)
