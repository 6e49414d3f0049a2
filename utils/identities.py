"""What embeddings say about labels: photos nearer to someone else, two labels that are one person, the same people twice.

Everything is a product of blocks with the few best kept, so that memory grows with the photos and the people, never
with a square. A photo's own centre is made of the person's other photos: it does not vouch for itself. Distances are
squared Euclidean between unit vectors, as everywhere.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating]

BLOCK_NUMBERS = 1 << 25  # float32 numbers of a block of products: 128 MiB
ROWS = 1 << 15  # embeddings that become float32 at once
STRANGERS = 200_000  # labels drawn at random, to see what a wrong one looks like
PAIRS = 2_000_000  # pairs of people drawn at random, to see what strangers look like
NEIGHBOURS = 3  # people kept as the most alike of each


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Of N photos: squared distances to the centre of the person's other photos, and to the nearest other person.

    NaN where a person has one photo. `as_wrong` (M,) is what `own - other` would be, were the label drawn at random.
    """

    own: NDArray[np.float32]  # (N,)
    other: NDArray[np.float32]  # (N,)
    nearest: NDArray[np.int32]  # (N,) label of the nearest other person
    as_wrong: NDArray[np.float32]  # (M,)

    @property
    def score(self) -> NDArray[np.float32]:
        """(N,): positive where somebody else is nearer than the photo's own person."""
        return self.own - self.other


class Likeness(NamedTuple):
    """Pairs of people, the most alike of each, and the likenesses of pairs drawn at random."""

    first: NDArray[np.int64]  # (K,)
    second: NDArray[np.int64]  # (K,)
    score: NDArray[np.float32]  # (K,) about 1 for one person under two labels
    at_random: NDArray[np.float32]  # (M,)


def unit(vectors: Vectors) -> NDArray[np.float32]:
    """Returns vectors (..., D) at length 1; zeros stay zeros."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def sums_by_label(embeddings: Vectors, labels: NDArray[np.integer], people: int) -> NDArray[np.float32]:
    """Returns (people, D): the sum of each person's unit embeddings; labels (N,) are sorted."""
    sums = np.zeros((people, embeddings.shape[1]), np.float32)
    for first in range(0, len(labels), ROWS):
        part = labels[first : first + ROWS]
        starts = np.flatnonzero(np.diff(part, prepend=-1))
        sums[part[starts]] += np.add.reduceat(unit(embeddings[first : first + ROWS]), starts)
    return sums


def contrasts(embeddings: Vectors, labels: NDArray[np.integer], people: int, seed: int = 0) -> Contrasts:
    """Compares each embedding (N,D) with its own person and the nearest other; labels (N,) are sorted, from 0.

    The mean embedding stays in: taking it away first, weighing or trimming the own centre, whitening and a Gaussian
    model of people all found planted wrong labels less well (benchmarks/audit.py, docs/data.md).
    """
    sums = sums_by_label(embeddings, labels, people)
    counts = np.bincount(labels, minlength=people)
    centres = unit(sums)
    absent = np.where(counts == 0, -9.0, 0.0).astype(np.float32)  # a cosine below every other
    own, other = np.full(len(labels), np.nan, np.float32), np.full(len(labels), np.nan, np.float32)
    nearest = np.zeros(len(labels), np.int32)
    wrong = []
    rng = np.random.default_rng(seed)
    share = min(1.0, STRANGERS / max(1, len(labels)))
    step = max(16, min(4096, BLOCK_NUMBERS // max(1, people)))
    for first in range(0, len(labels), step):
        rows = slice(first, min(first + step, len(labels)))
        block, label = unit(embeddings[rows]), labels[rows]
        here = np.arange(len(block))
        cosines = block @ centres.T
        cosines += absent
        strangers = (label + rng.integers(1, max(2, people), len(label))) % people
        to_stranger = cosines[here, strangers]
        to_own = np.einsum("nd,nd->n", block, unit(sums[label] - block))
        cosines[here, label] = -9.0
        nearest[rows] = cosines.argmax(axis=1)
        to_other = cosines[here, nearest[rows]]
        # the photo's right person would then be one of the others
        drawn = (to_stranger > -2) & (counts[label] > 1) & (rng.random(len(label)) < share)
        wrong.append(2 * (np.maximum(to_own, to_other) - to_stranger)[drawn])
        known = counts[label] > 1
        own[rows][known], other[rows][known] = 2 - 2 * to_own[known], 2 - 2 * to_other[known]
    return Contrasts(own, other, nearest, np.concatenate(wrong) if wrong else np.zeros(0, np.float32))


def people_vectors(sums: NDArray[np.float32], counts: NDArray[np.integer]) -> NDArray[np.float32]:
    """Returns (P,D) whose products are likenesses: cosines of centres, less what the photos' scatter takes from them.

    The mean of n unit vectors whose products average w has the squared length (1 + (n - 1) w) / n, and only w of it is
    the person: centres of few photos are farther from each other. Zeros where a person has no photo.
    """
    counts = np.asarray(counts, np.float64)
    several = counts > 1
    length = np.einsum("pd,pd->p", sums, sums, dtype=np.float64)
    inside = (length[several] - counts[several]) / (counts[several] * (counts[several] - 1))
    within = float(np.clip(np.median(inside), 0.05, 1.0)) if several.any() else 1.0
    mean_length = (1 + (counts - 1) * within) / np.maximum(counts, 1)
    scale = np.where(counts > 0, np.sqrt(mean_length / within), 0.0).astype(np.float32)
    return unit(sums) * scale[:, None]


def alike(first: NDArray[np.float32], second: NDArray[np.float32] | None = None, seed: int = 0) -> Likeness:
    """Returns the NEIGHBOURS most alike in `second` (Q,D) of each of `first` (P,D); without `second`, pairs in `first`.

    A pair within `first` is returned once. Rows of zeros (nobody) are in no pair.
    """
    among = second is None
    other = first if second is None else second
    step = max(16, BLOCK_NUMBERS // max(1, len(other)))
    rows, found, scores = [], [], []
    for start in range(0, len(first), step):
        products = first[start : start + step] @ other.T
        here = np.arange(len(products))
        if among:
            products[here, start + here] = -9.0
        for _ in range(min(NEIGHBOURS, len(other))):
            best = products.argmax(axis=1)
            rows.append(start + here)
            found.append(best)
            scores.append(products[here, best].copy())
            products[here, best] = -9.0
    left, right, score = np.concatenate(rows), np.concatenate(found), np.concatenate(scores)
    present = first.any(axis=1)[left] & other.any(axis=1)[right] & (score > -9)
    if among:
        left, right = np.minimum(left, right), np.maximum(left, right)
        once = np.zeros(len(left), bool)
        once[np.unique(left * np.int64(len(first)) + right, return_index=True)[1]] = True
        present &= once
    kept = np.flatnonzero(present)
    kept = kept[np.argsort(-score[kept], kind="stable")]
    return Likeness(left[kept], right[kept], score[kept], _at_random(first, second, seed))


def _at_random(first: NDArray[np.float32], second: NDArray[np.float32] | None, seed: int) -> NDArray[np.float32]:
    """Returns (M,): the likenesses of two people drawn at random."""
    rng = np.random.default_rng(seed)
    other = first if second is None else second
    one, two = np.flatnonzero(first.any(axis=1)), np.flatnonzero(other.any(axis=1))
    found = [np.zeros(0, np.float32)]
    if len(one) and len(two) > 1:
        for _ in range(0, min(PAIRS, 4 * len(one) * len(two)), ROWS):
            a, b = rng.choice(one, ROWS), rng.choice(two, ROWS)
            differ = (a != b) | (second is not None)
            found.append(np.einsum("nd,nd->n", first[a[differ]], other[b[differ]]))
    return np.concatenate(found)
