"""Equal and nearly equal fingerprints among millions: sorting and buckets, never every pair."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Rows = NDArray[np.int64]

BITS = 64  # of a word
SHARED = 2  # blocks of bits that near fingerprints must have in common: fewer tables with 1, smaller buckets with 2
CROWD = 32  # later neighbours in a bucket that a fingerprint is compared with; near ones that are enough of them


def first_equal(words: Words) -> Rows:
    """Returns (N,): the first row that equals each row of words (N,W); its own number where it is the first."""
    if not len(words):
        return np.zeros(0, np.int64)
    order = np.lexsort(words.T[::-1])  # stable: equal rows keep their order
    starts = np.ones(len(words), bool)
    starts[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    first = np.empty(len(words), np.int64)
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(words)), 0))]
    return first


def distances(first: Words, second: Words) -> NDArray[np.int64]:
    """Returns (M,): in how many bits the rows of two (M,W) differ."""
    return np.bitwise_count(first ^ second).sum(axis=1, dtype=np.int64)


def near_pairs(words: Words, radius: int) -> tuple[Rows, Rows, NDArray[np.int64]]:
    """Returns (first, second, distance), each (M,): rows of words (N,W) that differ in at most `radius` bits.

    The bits are cut into radius + 2 blocks: rows within the radius agree in two of them at least, so that every pair
    lies together in a bucket of one of the tables (multi-index hashing, Norouzi et al. 2012, arXiv:1307.2982). Equal
    rows are one: each is paired with the first of them. In a bucket of more than CROWD rows only neighbours in sorted
    order are compared, and who has met CROWD near ones meets only the next one further on, so that time and memory
    stay linear: a crowd of near ones is still joined, but some of its pairs are left out.
    """
    first = first_equal(words)
    copies = np.flatnonzero(first != np.arange(len(words)))
    rows = np.flatnonzero(first == np.arange(len(words)))
    rows = rows[np.lexsort(words[rows].T[::-1])] if len(rows) else rows
    kept = words[rows]
    found = [(first[copies], copies, np.zeros(len(copies), np.int64))]
    met, seen = np.zeros(len(rows), np.int64), np.zeros(0, np.int64)
    for mask in _masks(words.shape[1] * BITS, radius):
        one, two, distance = _near_in_buckets(kept, met >= CROWD, mask, radius)
        codes = one * np.int64(len(rows)) + two
        new = np.flatnonzero(~_in_sorted(codes, seen))
        seen = np.sort(np.concatenate([seen, codes[new]]))
        met += np.bincount(one[new], minlength=len(rows)) + np.bincount(two[new], minlength=len(rows))
        found.append((rows[one[new]], rows[two[new]], distance[new]))
    one, two, distance = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.minimum(one, two), np.maximum(one, two), distance


def _near_in_buckets(
    words: Words, crowded: NDArray[np.bool_], mask: Words, radius: int
) -> tuple[Rows, Rows, NDArray[np.int64]]:
    """Returns (first, second, distance), each (M,): near rows of words (N,W) that agree in the bits of mask (W,)."""
    found = [(np.zeros(0, np.int64),) * 3]
    for one, two in _neighbours(_keys(words & mask), crowded):
        distance = distances(words[one], words[two])
        near = np.flatnonzero(distance <= radius)
        found.append((np.minimum(one[near], two[near]), np.maximum(one[near], two[near]), distance[near]))
    first, second, distance = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return first, second, distance


def _in_sorted(values: Rows, ordered: Rows) -> NDArray[np.bool_]:
    """Returns (M,): whether each value is among the sorted ones (K,)."""
    at = np.searchsorted(ordered, values)
    return (at < len(ordered)) & (ordered[np.minimum(at, len(ordered) - 1)] == values) if len(ordered) else at < 0


def _masks(bits: int, radius: int) -> Iterator[Words]:
    """Yields (W,): the bits of two blocks, for every two of the radius + 2."""
    block = np.arange(bits) * (radius + SHARED) // bits
    for chosen in combinations(range(radius + SHARED), SHARED):
        yield np.packbits(np.isin(block, chosen)).view(">u8").astype(np.uint64)


def _keys(words: Words) -> Words:
    """Returns (N,): one number a row; equal rows have equal numbers, and others hardly ever."""
    keys = np.zeros(len(words), np.uint64)
    for column in words.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
        keys ^= keys >> np.uint64(29)
    return keys


def _neighbours(keys: Words, crowded: NDArray[np.bool_]) -> Iterator[tuple[Rows, Rows]]:
    """Yields (first, second): rows with equal keys, at 1, 2, ... CROWD places from each other in their bucket.

    Crowded rows (N,) are only the first of the next one.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    places = np.flatnonzero(ordered[1:] == ordered[:-1])
    for step in range(1, CROWD + 1):
        if not len(places):
            return
        yield order[places], order[places + step]
        places = places[(places + step + 1 < len(keys)) & ~crowded[order[places]]]
        places = places[ordered[places] == ordered[places + step + 1]]


def groups(number: int, first: Rows, second: Rows) -> Rows:
    """Returns (number,): the least row that each row is joined with by the pairs (first, second), over any steps."""
    root = np.arange(number)
    while True:
        least = np.minimum(root[first], root[second])
        before = root.copy()
        np.minimum.at(root, root[first], least)
        np.minimum.at(root, root[second], least)
        while (root != root[root]).any():
            root = root[root]
        if (root == before).all():
            return root
