"""What a student is to imitate, made of a teacher's embeddings (N,D), float16 of unit length; rows of 0 have none."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from utils.cropping import Box
from utils.metrics import squared_distances, verify
from utils.random_pairs import random_pairs
from utils.settings import UserError

BLOCK = 1 << 16  # rows at once: a million in float32 would be half a gigabyte


class Change(NamedTuple):
    """What is made of a teacher's unit vectors: less an offset, laid on directions, at unit length again."""

    offset: np.ndarray  # (E,) float32
    directions: np.ndarray | None = None  # (E, D) float32; None: D is E

    def of(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns float16 `(N, D)`, in blocks of rows; rows of 0 stay 0."""
        changed = []
        for rows in _blocks(embeddings):
            found = rows - self.offset
            found = (found if self.directions is None else found @ self.directions) * rows.any(axis=1, keepdims=True)
            changed.append((found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)).astype(np.float16))
        return np.concatenate(changed)


class Views(NamedTuple):
    """How targets come of a teacher that is shown the images as they are varied, in each step."""

    box: Box  # the part of a photo that it sees
    change: Change


def spreading(embeddings: np.ndarray, share: float = 0.7) -> Change:
    """Returns the change that takes `share` of the mean off.

    What all faces have in common is most of some teachers' vectors (of dlib's 0.91), and a student would learn that
    first; without it distances between people are larger. At 1 the mean is 0.
    """
    return Change(share * _mean(embeddings))


def narrowing(embeddings: np.ndarray, width: int) -> Change:
    """Returns the change to the `width` directions of largest variance.

    So a teacher of 512 numbers teaches an embedder of 128 by `imitation`. Distances are the best that so few numbers
    can keep (principal components; Hotelling 1933), less the mean. Raises UserError where there are fewer numbers.
    """
    if width > embeddings.shape[1]:
        raise UserError(f"the teacher's embeddings have {embeddings.shape[1]} numbers; received {width}, which is more")
    mean, scatter = _mean(embeddings), np.zeros((embeddings.shape[1],) * 2)
    for rows in _blocks(embeddings):
        difference = rows[rows.any(axis=1)] - mean
        scatter += difference.T @ difference
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :width].astype(np.float32)  # the largest come last
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
    return Change(mean, directions * np.sign(largest))  # else a sign of its own in each run


def quality(embeddings: np.ndarray, labels: np.ndarray, number: int = 6000, seed: int = 0) -> float:
    """Returns the AUC of a teacher on random pairs of the people (labels (N,), -1: nobody) it is to teach.

    Near 0.5 it is shown the wrong part of the photos; what it does not tell apart, its student will not learn. NaN
    where there are hardly any pairs.
    """
    known = np.flatnonzero((labels >= 0) & embeddings.any(axis=1))
    counts = np.bincount(labels[known]).astype(np.int64)
    half = min(number // 2, int((counts * (counts - 1) // 2).sum()))
    if half < 10:
        return float("nan")
    first, second, same = random_pairs(labels[known], 2 * half, 0.5, seed)
    distances = squared_distances(embeddings[known[first]], embeddings[known[second]])
    return verify(distances, same, np.arange(len(same)) % 2).auc


def _mean(embeddings: np.ndarray) -> np.ndarray:
    total = sum(rows.sum(axis=0, dtype=np.float64) for rows in _blocks(embeddings))
    return (total / max(1, int(embeddings.any(axis=1).sum()))).astype(np.float32)


def _blocks(embeddings: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(embeddings), BLOCK):
        yield embeddings[start : start + BLOCK].astype(np.float32)
