"""Groups of photos that show one person: neighbours within a cut first, then one of three ways to group them.

Distances are squared Euclidean between unit vectors. Nothing holds a number for every pair of photos: neighbours are
found in blocks of products, and each photo keeps its NEAREST at most, so that memory grows with the photos only.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.identities import Vectors, unit
from utils.settings import choose
from utils.terminal import progress_bar

Labels = NDArray[np.int64]

ALONE = -1
BLOCK = 2048, 8192  # photos whose products with other photos are in memory together: 64 MiB
NEAREST = 64  # neighbours that each of two photos keeps at most, where more are within the cut
ROUNDS = 20  # of Chinese whispers; it settles in fewer


class Edges(NamedTuple):
    """Pairs of photos within the cut, each once: first < second."""

    first: NDArray[np.int32]  # (E,)
    second: NDArray[np.int32]  # (E,)
    distance: NDArray[np.float32]  # (E,) squared


def group(embeddings: Vectors, cut: float, method: str = "average", progress: str | None = None) -> Labels:
    """Returns (N,): 0, 1, ... for the groups, the largest first, and -1 for what fits nowhere.

    Args:
        embeddings: (N,D) of unit length, float16 or float32.
        cut: the squared distance up to which two photos may show one person.
        method: one of METHODS.
        progress: a name shows a bar while neighbours are looked for.

    Raises:
        UserError: no such method.
    """
    join = choose(METHODS, method, "method of grouping").join
    vectors = unit(embeddings)
    return _by_size(join(vectors, neighbours(vectors, cut, NEAREST, progress), cut))


def neighbours(vectors: NDArray[np.float32], cut: float, nearest: int = NEAREST, progress: str | None = None) -> Edges:
    """Returns the pairs of unit vectors (N,D) within the cut; of crowds those among the `nearest` of one of the two."""
    kept, waiting, waiting_pairs = Edges(*_empty()), list[Edges](), 0
    rows, columns = BLOCK
    with progress_bar(total=len(vectors), desc=progress, disable=progress is None, unit=" faces") as bar:
        for top in range(0, len(vectors), rows):
            for left in range(top, len(vectors), columns):
                found = _near(vectors, top, left, cut)
                waiting, waiting_pairs = [*waiting, found], waiting_pairs + len(found.first)
                if waiting_pairs > nearest * (len(vectors) + rows):
                    kept, waiting, waiting_pairs = _nearest([kept, *waiting], len(vectors), nearest), [], 0
            bar.update(min(rows, len(vectors) - top))
    return _nearest([kept, *waiting], len(vectors), nearest)


def _empty() -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)


def _near(vectors: NDArray[np.float32], top: int, left: int, cut: float) -> Edges:
    """Returns the pairs within the cut of one block, its first photo above its second one's."""
    products = vectors[top : top + BLOCK[0]] @ vectors[left : left + BLOCK[1]].T
    near = np.flatnonzero(products >= 1 - cut / 2)  # of two dimensions, nonzero takes a hundred times as long
    first, second = np.divmod(near, products.shape[1])
    distance = np.maximum(2 - 2 * products.ravel()[near], 0)
    once = top + first < left + second
    return Edges((top + first[once]).astype(np.int32), (left + second[once]).astype(np.int32), distance[once])


def _nearest(parts: list[Edges], photos: int, nearest: int) -> Edges:
    """Returns the edges that are among the `nearest` of either photo."""
    first, second, distance = zip(*parts, strict=True)
    edges = Edges(np.concatenate(first), np.concatenate(second), np.concatenate(distance))
    ends = np.concatenate([edges.first, edges.second])
    counts = np.bincount(ends, minlength=photos)
    if not len(ends) or counts.max() <= nearest:
        return edges
    order = np.lexsort((np.tile(edges.distance, 2), ends))
    rank = np.arange(len(ends)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.zeros(len(edges.first), bool)
    kept[order[rank < nearest] % len(edges.first)] = True
    return Edges(edges.first[kept], edges.second[kept], edges.distance[kept])


def average(vectors: NDArray[np.float32], edges: Edges, cut: float) -> Labels:
    """Returns (N,): average linkage, joined while the mean squared distance between two groups is within the cut.

    That mean is 2 - 2 (sum a . sum b) / (photos of a * photos of b): a sum a group says it, no table of pairs. Groups
    that are each other's nearest are joined in one round, which gives the same tree as one after the other
    (Sumengen et al. 2021, arXiv:2105.11653). Two groups within the cut hold a pair within the cut, so that the edges
    are all that need be looked at; the result is exact, but for photos with more than NEAREST neighbours.
    """
    root, sums, photos = np.arange(len(vectors)), vectors.copy(), np.ones(len(vectors))
    first, second = edges.first.astype(np.int64), edges.second.astype(np.int64)
    distance = edges.distance.astype(np.float64)
    while len(first):
        joined, into = _mutual(first, second, distance, len(vectors))
        root[joined] = into
        np.add.at(sums, into, sums[joined])
        photos[into] += photos[joined]
        moved = np.zeros(len(vectors), bool)
        moved[joined] = moved[into] = True
        changed = moved[first] | moved[second]
        first, second = root[first], root[second]
        first, second = np.minimum(first, second), np.maximum(first, second)
        _, once = np.unique(first * len(vectors) + second, return_index=True)
        once = once[first[once] != second[once]]
        first, second, distance, changed = first[once], second[once], distance[once], changed[once]
        for rows in np.array_split(np.flatnonzero(changed), 1 + changed.sum() // BLOCK[1]):
            products = np.einsum("nd,nd->n", sums[first[rows]], sums[second[rows]], dtype=np.float64)
            distance[rows] = 2 - 2 * products / (photos[first[rows]] * photos[second[rows]])
        near = distance <= cut
        first, second, distance = first[near], second[near], distance[near]
    while (root != root[root]).any():
        root = root[root]
    return root


def _mutual(first: Labels, second: Labels, distance: NDArray[np.float64], groups: int) -> tuple[Labels, Labels]:
    """Returns (joined, into), each (M,): the pairs of groups of which each is the other's nearest."""
    order = np.lexsort((second, first, distance))[::-1]
    best = np.full(groups, -1)
    best[first[order]] = order  # of several, the last one counts: the nearest
    other = np.full(groups, -1)
    other[second[order]] = order
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    nearer = (best < 0) | ((other >= 0) & (rank[other] > rank[best]))
    best = np.where(nearer, other, best)
    pairs = np.flatnonzero((best[first] == np.arange(len(first))) & (best[second] == np.arange(len(first))))
    return second[pairs], first[pairs]


def chinese_whispers(vectors: NDArray[np.float32], edges: Edges, cut: float) -> Labels:
    """Returns (N,): each photo takes, in turns, the label that weighs most among its neighbours (Biemann 2006).

    Weights are cosines, as in davidsandberg/facenet; the turns are drawn with a fixed seed.
    """
    number = len(vectors)
    ends = np.concatenate([edges.first, edges.second])
    order = np.argsort(ends, kind="stable")
    others = np.concatenate([edges.second, edges.first])[order]
    weights = (1 - np.tile(edges.distance, 2)[order] / 2).astype(np.float64)
    starts = np.append(0, np.cumsum(np.bincount(ends, minlength=number)))
    labels, turns = np.arange(number), np.random.default_rng(0)
    for _ in range(ROUNDS):
        before = labels.copy()
        for photo in turns.permutation(np.flatnonzero(np.diff(starts))).tolist():
            near = slice(starts[photo], starts[photo + 1])
            heard, which = np.unique(labels[others[near]], return_inverse=True)
            labels[photo] = heard[np.argmax(np.bincount(which, weights[near]))]
        if (labels == before).all():
            break
    return labels


class Method(NamedTuple):
    """A way to group, and the share of strangers within the cut that suits it."""

    join: Callable[[NDArray[np.float32], Edges, float], Labels]
    rate: Callable[[int], float]  # photos -> false-accept rate of the cut


# Chosen on people of `train`, for B-cubed F at 1,200 to 55,000 photos (docs/use.md): a mean over many pairs is not led
# astray by more photos, a chain of single pairs is, so that it may meet half a stranger a photo, however many there are
METHODS = {
    "average": Method(average, lambda photos: 1e-3),
    "chinese_whispers": Method(chinese_whispers, lambda photos: 0.5 / max(1, photos)),
}


def assign(embeddings: Vectors, known: Vectors, labels: Labels, cut: float) -> Labels:
    """Returns (M,): the group of each new photo, -1 where the mean squared distance to none is within the cut.

    embeddings (M,D) and known (N,D) are of unit length; labels (N,) say which group each known one is in, or -1. This
    is average linkage's measure, of one photo and a group as it was: the new ones do not change it.
    """
    groups, which = np.unique(labels[labels >= 0], return_inverse=True)
    found = np.full(len(embeddings), ALONE)
    if not len(groups):
        return found
    means = _means(known[labels >= 0], which)
    for first in range(0, len(embeddings), BLOCK[0]):
        products = unit(embeddings[first : first + BLOCK[0]]) @ means.T
        best = products.argmax(axis=1)
        near = 2 - 2 * products[np.arange(len(best)), best] <= cut
        found[first : first + BLOCK[0]][near] = groups[best[near]]
    return found


def distances_to_groups(embeddings: Vectors, labels: Labels) -> NDArray[np.float32]:
    """Returns (N,): the mean squared distance of each photo to its group, itself left out; NaN for those alone."""
    found = np.full(len(labels), np.nan, np.float32)
    rows = np.flatnonzero(labels >= 0)
    _, which, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    vectors, others = unit(embeddings[rows]), counts[which] - 1
    products = np.einsum("nd,nd->n", vectors, _means(vectors, which)[which]) * counts[which] - 1
    found[rows] = np.where(others > 0, 2 - 2 * products / np.maximum(others, 1), 0.0)
    return found


def _means(vectors: Vectors, which: NDArray[np.integer]) -> NDArray[np.float32]:
    """Returns (G,D): the mean unit vector of each group; which (N,) is 0..G-1 without gaps."""
    sums = np.zeros((which.max(initial=-1) + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, which, unit(vectors))
    sums /= np.bincount(which).astype(np.float32)[:, None]
    return sums


def _by_size(labels: Labels) -> Labels:
    """Returns labels (N,) numbered by falling size, ties by their first photo; those of one photo become -1."""
    found, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    counts[(found == ALONE) | (counts < 2)] = 0
    order = np.lexsort((first, -counts))
    number = np.empty(len(found), np.int64)
    number[order] = np.arange(len(found))
    return np.where(counts > 0, number, ALONE)[inverse]
