"""The nearest of a million vectors: every one is compared, in blocks; past that, FAISS's lists of neighbours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.metrics import LARGEST_DISTANCE
from utils.settings import UserError

Vectors = NDArray[np.floating]

BLOCK = 1 << 24  # products that are in memory at once: 64 MiB
QUERIES = 64  # that are compared together
SPARE = 8  # candidates beyond those asked for: float32 orders by products that are right to 1e-6, float64 has the word
PROBED = 64  # of FAISS's lists, those that are looked through for a query


def nearest(queries: Vectors, vectors: Vectors, k: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the k nearest of `vectors` (N,D) to each of `queries` (Q,D): rows (Q,k) and squared distances (Q,k).

    All vectors are of unit length. By rising distance, of equal ones the first row first; k is N where that is less.
    """
    k = min(k, len(vectors))
    queries = np.asarray(queries, np.float32)
    rows, distances = np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k))
    for first in range(0, len(queries), QUERIES) if k else ():
        part = queries[first : first + QUERIES]
        step = max(1024, BLOCK // len(part))
        found = [_best(part, vectors, start, step, k + SPARE) for start in range(0, len(vectors), step)]
        here = slice(first, first + len(part))
        rows[here], distances[here] = _exact(part, vectors, np.concatenate(found, axis=1), k)
    return rows, distances


def _best(queries: Vectors, vectors: Vectors, start: int, step: int, number: int) -> NDArray[np.int64]:
    """Returns (Q,number): the rows of largest product within `step` rows from `start` on."""
    block = np.asarray(vectors[start : start + step], np.float32)
    # of one query a matrix times a vector: twice as fast as a matrix of one row times a matrix
    products = (block @ queries[0])[None] if len(queries) == 1 else queries @ block.T
    number, every = min(number, len(block)), np.arange(len(queries))
    found = np.empty((len(queries), number), np.int64)
    for place in range(number):  # for a few, faster than any sorting: argmax reads 10 numbers a nanosecond
        found[:, place] = products.argmax(axis=1)
        products[every, found[:, place]] = -np.inf
    return found + start


def _exact(
    queries: Vectors, vectors: Vectors, candidates: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the k nearest of each query's candidates (Q,C), by distances of float64; -1 is none, as far as can be."""
    found = np.sort(candidates, axis=1)  # so that the first row is first where distances are equal
    candidates = np.maximum(found, 0)
    difference = np.asarray(vectors[candidates], np.float64) - np.asarray(queries, np.float64)[:, None]
    distances = np.clip(np.einsum("qcd,qcd->qc", difference, difference), 0.0, LARGEST_DISTANCE)
    distances[found < 0] = LARGEST_DISTANCE
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(distances, order, axis=1)


class NeighbourLists:
    """The same search for many millions: FAISS's inverted lists find candidates, which are then compared exactly.

    It misses some: how many, and what it costs to build, is in docs/use.md. It lives in memory only: on a disk it would
    be a second place from which removed people had to go.
    """

    def __init__(self, vectors: NDArray[np.float32], lists: int = 0):
        faiss = _faiss()
        self.vectors = vectors  # float32 (N,D), contiguous
        number = lists or max(1, min(65_536, int(4 * len(vectors) ** 0.5), len(vectors) // 40))
        self._index: Any = faiss.index_factory(self.vectors.shape[1], f"IVF{number},SQ8", faiss.METRIC_INNER_PRODUCT)
        drawn = np.random.default_rng(0).permutation(len(vectors))[: 40 * number]
        self._index.train(self.vectors[drawn])
        self._index.add(self.vectors)
        self._index.nprobe = PROBED

    def nearest(self, queries: Vectors, k: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns as `nearest` does, the nearest of those that the lists hold."""
        k = min(k, len(self.vectors))
        queries = np.ascontiguousarray(queries, np.float32)
        candidates = self._index.search(queries, min(len(self.vectors), k + SPARE))[1]
        rows, distances = _exact(queries, self.vectors, candidates, k)
        return rows, distances


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise UserError("--search faiss needs FAISS: pip install faiss-cpu") from None
    return faiss
