"""What embeddings say about labels: photos nearer to someone else, and people who look like one.

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
SAMPLE = 100_000  # photos that are compared with everybody in any case
STRANGERS = 200_000  # labels drawn at random, to see what a wrong one looks like
PAIRS = 2_000_000  # pairs of people drawn at random, to see what strangers look like
NEIGHBOURS = 3  # people kept as the most alike of each


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Of N photos: squared distances to the centre of the person's other photos, and to the nearest other person.

    `own` is NaN where a person has one photo; `other` also where nobody looked.
    `as_wrong` (M,) is what `own - other` would be, were the label drawn at random.
    """

    own: NDArray[np.float32]  # (N,)
    other: NDArray[np.float32]  # (N,)
    nearest: NDArray[np.int32]  # (N,) label of the nearest other person, -1 where nobody looked
    drawn: NDArray[np.bool_]  # (N,) photos drawn at random, in which the distribution of scores shows
    as_wrong: NDArray[np.float32]  # (M,)

    @property
    def score(self) -> NDArray[np.float32]:
        """(N,): positive where somebody else is nearer than the photo's own person; NaN where nobody looked."""
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

    The common mean of all embeddings stays in, and the own centre is a plain mean: benchmarks/audit.py shows what is
    found otherwise. Comparing with all others takes nearly all of the time, so that of many photos only SAMPLE drawn
    ones are, and the half that is farther from its own centre.
    """
    sums = sums_by_label(embeddings, labels, people)
    centres, counts = unit(sums), np.bincount(labels, minlength=people)
    to_own, to_stranger = _own_and_stranger(embeddings, labels, sums, counts, seed)
    known = np.isfinite(to_own)
    drawn = known & (np.random.default_rng(seed).random(len(labels)) < SAMPLE / max(1, len(labels)))
    middle = np.median(to_own[known]) if known.any() else 0.0
    rows = np.flatnonzero(drawn | (known & (to_own <= middle)))
    to_other, nearest = np.full(len(labels), np.nan, np.float32), np.full(len(labels), -1, np.int32)
    step = max(16, min(4096, BLOCK_NUMBERS // max(1, people)))
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        here = np.arange(len(part))
        cosines = unit(embeddings[part]) @ centres.T
        if (counts == 0).any():
            cosines[:, counts == 0] = -8.0  # nobody; still above the own person
        cosines[here, labels[part]] = -9.0
        nearest[part] = cosines.argmax(axis=1)
        to_other[part] = cosines[here, nearest[part]]
    # the photo's right person would be one of the others
    as_wrong = 2 * (np.fmax(to_own, to_other) - to_stranger)
    return Contrasts(2 - 2 * to_own, 2 - 2 * to_other, nearest, drawn, as_wrong[np.isfinite(as_wrong)])


def _own_and_stranger(
    embeddings: Vectors, labels: NDArray[np.integer], sums: NDArray[np.float32], counts: NDArray[np.integer], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the cosines (N,) with the person's other photos' centre, and with a person drawn at random (or NaN)."""
    rng = np.random.default_rng(seed)
    own, stranger = np.full(len(labels), np.nan, np.float32), np.full(len(labels), np.nan, np.float32)
    share = min(1.0, STRANGERS / max(1, len(labels)))
    for first in range(0, len(labels), ROWS):
        label, block = labels[first : first + ROWS], unit(embeddings[first : first + ROWS])
        rows = np.flatnonzero(counts[label] > 1)
        own[first + rows] = np.einsum("nd,nd->n", block[rows], unit(sums[label[rows]] - block[rows]))
        drawn = (label + rng.integers(1, max(2, len(counts)), len(label))) % len(counts)
        rows = rows[(counts[drawn[rows]] > 0) & (drawn[rows] != label[rows]) & (rng.random(len(rows)) < share)]
        stranger[first + rows] = np.einsum("nd,nd->n", block[rows], unit(sums[drawn[rows]]))
    return own, stranger


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
    present = _somebody(first)[left] & _somebody(other)[right] & (score > -9)
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
    one, two = np.flatnonzero(_somebody(first)), np.flatnonzero(_somebody(other))
    found = [np.zeros(0, np.float32)]
    if len(one) and len(two) > 1:
        for _ in range(0, min(PAIRS, 4 * len(one) * len(two)), ROWS):
            a, b = rng.choice(one, ROWS), rng.choice(two, ROWS)
            differ = np.not_equal(a, b) if second is None else np.ones(ROWS, bool)
            found.append(np.einsum("nd,nd->n", first[a[differ]], other[b[differ]]))
    return np.concatenate(found)


def _somebody(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns (P,): which rows (P,D) are not zero."""
    return np.any(vectors != 0, axis=1)
