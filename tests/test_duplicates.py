"""Equal and near fingerprints: against every pair compared, and where buckets would explode."""

import time

import numpy as np
import pytest

from utils.duplicates import CROWD, distances, first_equal, groups, near_pairs


def changed(words: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a copy with up to `most` bits of each row turned."""
    copy = words.copy()
    for row in copy:
        for bit in rng.choice(128, rng.integers(0, most + 1), replace=False):
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return copy


def every_near_pair(words: np.ndarray, radius: int) -> dict[tuple[int, int], int]:
    found = {}
    for i in range(len(words)):
        for j in range(i + 1, len(words)):
            distance = sum(int(a ^ b).bit_count() for a, b in zip(words[i], words[j], strict=True))
            if distance <= radius:
                found[i, j] = distance
    return found


@pytest.mark.parametrize("radius", [0, 3, 10])
def test_near_pairs_equal_those_of_comparing_all(radius: int) -> None:
    rng = np.random.default_rng(radius)
    words = rng.integers(0, 2**64, (120, 2), dtype=np.uint64)
    words = np.concatenate([words, changed(words, radius + 3, rng)])[rng.permutation(240)]
    first, second, distance = near_pairs(words, radius)
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), distance.tolist(), strict=True))
    assert found == every_near_pair(words, radius)
    assert len(first) == len(found) > 3


def test_all_pairs_of_a_few_near_ones_are_found() -> None:
    """Seven in a bucket: each is compared with those one, two, ... six places further on."""
    rng = np.random.default_rng(0)
    words = np.repeat(rng.integers(0, 2**64, (9, 2), dtype=np.uint64), 7, axis=0)
    words ^= np.uint64(1) << (np.arange(63, dtype=np.uint64)[:, None] % np.uint64(7))  # two bits turned, of each else
    first, second, distance = near_pairs(words, 10)
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), distance.tolist(), strict=True))
    assert found == every_near_pair(words, 10)
    assert len(first) == 9 * 21


def test_equal_rows_are_paired_with_the_first() -> None:
    words = np.array([[5, 1], [7, 7], [5, 1], [5, 2], [5, 1], [7, 7]], np.uint64)
    assert first_equal(words).tolist() == [0, 1, 0, 3, 0, 1]
    first, second, distance = near_pairs(words, 0)
    assert sorted(zip(first.tolist(), second.tolist(), distance.tolist(), strict=True)) == [
        (0, 2, 0),
        (0, 4, 0),
        (1, 5, 0),
    ]
    for empty in (first_equal(words[:0]), near_pairs(words[:0], 3)[0]):
        assert len(empty) == 0
    assert distances(words[:1], words[3:4]).tolist() == [2]


def test_groups_join_over_several_steps() -> None:
    rng = np.random.default_rng(0)
    chain = rng.permutation(200)
    root = groups(250, chain[:-1], chain[1:])
    assert (root[:200] == 0).all()
    assert root[200:].tolist() == list(range(200, 250))
    assert groups(3, np.zeros(0, int), np.zeros(0, int)).tolist() == [0, 1, 2]


def test_many_equal_images_and_crowds_take_linear_time() -> None:
    """Compared all with all, 200,000 rows would take hours and hundreds of gigabytes."""
    began = time.perf_counter()
    black = np.zeros((200_000, 2), np.uint64)
    first, second, _ = near_pairs(black, 10)
    assert len(first) == 199_999
    assert (groups(len(black), first, second) == 0).all()
    rng = np.random.default_rng(0)
    crowd = changed(np.zeros((3_000, 2), np.uint64), 4, rng)  # all within 8 bits of each other
    first, second, _ = near_pairs(crowd, 10)
    assert len(first) < 4 * CROWD * len(crowd)
    roots = groups(len(crowd), first, second)
    assert np.bincount(roots).max() > 0.9 * len(crowd)
    assert time.perf_counter() - began < 20
