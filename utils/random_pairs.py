"""Random pairs of images for verification, drawn from labels."""

import math

import numpy as np

from utils.settings import UserError


def random_pairs(
    labels: np.ndarray, number: int, same_ratio: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws `number` different pairs of N images: (first (number,), second (number,), same (number,)), shuffled.

    labels int (N,) says who is on each image; `same_ratio` is the share of same pairs. Same pairs are spread over as
    many people as there are, so that nobody with hundreds of photos fills the set; different pairs are drawn evenly
    from all of them. No image meets itself, no pair occurs twice, and nothing is tried again: ranks of pairs are drawn
    without replacement and turned into pairs. Raises UserError where there are fewer pairs than asked for.
    """
    if number < 2 or not 0 < same_ratio < 1:
        raise UserError(
            f"random pairs take a number >= 2 and a same_ratio between 0 and 1; received {number}, {same_ratio}"
        )
    rows = np.argsort(labels, kind="stable")
    _, counts = np.unique(labels, return_counts=True)
    wanted_same = min(max(round(number * same_ratio), 1), number - 1)
    random = np.random.default_rng(seed)
    same = _same_pairs(counts, wanted_same, random)
    different = _different_pairs(counts, number - wanted_same, random)
    order = random.permutation(number)
    first, second = rows[np.concatenate([same, different], axis=1)][:, order]
    return first, second, (np.arange(number) < wanted_same)[order]


def _same_pairs(counts: np.ndarray, wanted: int, random: np.random.Generator) -> np.ndarray:
    """Returns int (2,wanted): rows of the images sorted by person, each two of one person."""
    starts = np.cumsum(counts) - counts
    capacity = counts * (counts - 1) // 2
    _check_enough("same", int(capacity.sum()), wanted, counts)
    shares = _even_shares(capacity, wanted, random)
    person = np.repeat(np.arange(len(counts)), shares)
    rank = np.concatenate([random.choice(capacity[p], shares[p], replace=False) for p in np.flatnonzero(shares)])
    # Rank r of a person's pairs (i < j): 0 is (0,1), 1 is (0,2), 2 is (1,2), 3 is (0,3): j (j - 1) / 2 + i.
    later = np.array([(1 + math.isqrt(8 * r + 1)) // 2 for r in rank.tolist()], np.int64)
    earlier = rank - later * (later - 1) // 2
    return starts[person] + np.stack([earlier, later])


def _even_shares(capacity: np.ndarray, wanted: int, random: np.random.Generator) -> np.ndarray:
    """Returns how many of `wanted` pairs each person gives: as equal as their capacities (P,) allow."""
    low, high = 0, int(capacity.max())  # the largest level at which min(capacity, level) sums to at most `wanted`
    while low < high:
        level = (low + high + 1) // 2
        low, high = (level, high) if np.minimum(capacity, level).sum() <= wanted else (low, level - 1)
    shares = np.minimum(capacity, low)
    more = random.permutation(np.flatnonzero(capacity > low))[: wanted - int(shares.sum())]
    shares[more] += 1
    return shares


def _different_pairs(counts: np.ndarray, wanted: int, random: np.random.Generator) -> np.ndarray:
    """Returns int (2,wanted): rows of the images sorted by person, each two of two people."""
    number = int(counts.sum())
    end = np.repeat(np.cumsum(counts), counts)  # where the block of each row's person ends: its partners begin there
    before = np.cumsum(number - end) - (number - end)
    total = int((number - end).sum())
    _check_enough("different", total, wanted, counts)
    rank = random.choice(total, wanted, replace=False)
    first = np.searchsorted(before, rank, side="right") - 1
    return np.stack([first, end[first] + rank - before[first]])


def _check_enough(kind: str, there: int, wanted: int, counts: np.ndarray) -> None:
    if there < wanted:
        raise UserError(
            f"{wanted:,} {kind} pairs were asked for; {counts.sum():,} images of {len(counts):,} people give {there:,}"
        )
