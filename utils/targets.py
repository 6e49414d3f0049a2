"""What a student is to imitate, made of a teacher's embeddings (N,D), float16 of unit length; rows of 0 have none."""

from collections.abc import Callable, Iterator

import numpy as np

from utils.metrics import squared_distances, verify
from utils.random_pairs import random_pairs
from utils.settings import UserError

BLOCK = 1 << 16  # rows at once: a million in float32 would be half a gigabyte


def spread(embeddings: np.ndarray, share: float = 0.7) -> np.ndarray:
    """Returns the embeddings less `share` of their mean, at unit length again, float16 `(N, D)`.

    What all faces have in common is most of some teachers' vectors (of dlib's 0.91), and a student would learn that
    first; without it distances between people are larger. At 1 the mean is 0.
    """
    mean = _mean(embeddings)
    return _each(embeddings, lambda rows: rows - share * mean)


def narrowed(embeddings: np.ndarray, width: int) -> np.ndarray:
    """Returns the embeddings on their `width` directions of largest variance, at unit length, float16 `(N, width)`.

    So a teacher of 512 numbers teaches an embedder of 128 by `imitation`. Distances are the best that so few numbers
    can keep (principal components; Hotelling 1933), less the mean. Raises UserError where there are fewer numbers.
    """
    if width > embeddings.shape[1]:
        raise UserError(f"the teacher's embeddings have {embeddings.shape[1]} numbers; received {width}, which is more")
    mean, scatter = _mean(embeddings), np.zeros((embeddings.shape[1],) * 2)
    for rows in _blocks(embeddings):
        difference = rows[rows.any(axis=1)] - mean
        scatter += difference.T @ difference
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :width].astype(np.float32)  # eigh: the largest come last
    return _each(embeddings, lambda rows: (rows - mean) @ directions)


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


def _each(embeddings: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Returns unit vectors of what `change` makes of blocks of rows, float16; rows of 0 stay 0."""
    changed = []
    for rows in _blocks(embeddings):
        found = change(rows) * rows.any(axis=1, keepdims=True)
        changed.append((found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)).astype(np.float16))
    return np.concatenate(changed)


def _blocks(embeddings: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(embeddings), BLOCK):
        yield embeddings[start : start + BLOCK].astype(np.float32)
