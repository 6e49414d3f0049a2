"""Where ordinary scores end and findings begin, read off the scores themselves: no constant belongs to one embedder.

Most photos carry the right label and most pairs of people are two people, so the bulk of the scores is ordinary. Its
upper tail is fitted through three quantiles of the bulk, as survival = half * exp(-(x / scale) ** shape) above the
median (a stretched exponential: shape 1 is the exponential, 2 the normal tail), and extended to where the findings
are. A cut is then the lowest score above which the ordinary explain no more than the share allowed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]

BULK = (0.5, 0.75, 0.9)  # quantiles that wrong labels hardly touch, where they are a few in a hundred


class Tail(NamedTuple):
    """The upper tail of the ordinary scores."""

    median: float
    scale: float
    shape: float

    def above(self, score: Scores) -> Scores:
        """Returns the share of the ordinary above each score (for scores above the median)."""
        beyond = np.maximum(np.asarray(score, np.float64) - self.median, 0.0)
        return 0.5 * np.exp(-((beyond / self.scale) ** self.shape))


def fit_tail(quantiles: Scores, levels: tuple[float, float, float] = BULK) -> Tail:
    """Returns the tail through three quantiles (3,) of the ordinary scores; the first level is 0.5."""
    median = float(quantiles[0])
    near, far = (max(float(q) - median, 1e-9) for q in quantiles[1:])
    depth = [np.log(0.5 / (1 - level)) for level in levels[1:]]
    shape = float(np.clip(np.log(depth[1] / depth[0]) / np.log(max(far / near, 1.0 + 1e-6)), 0.5, 3.0))
    return Tail(median, far / depth[1] ** (1 / shape), shape)


def bulk_quantiles(scores: Scores, wrong: Scores, share: float) -> NDArray[np.float64]:
    """Returns the BULK quantiles (3,) of the right ones among scores (N,), of which `share` are like wrong (M,)."""
    grid = np.quantile(scores, np.linspace(0.2, 0.999, 800))
    every = np.searchsorted(np.sort(scores), grid, side="right") / len(scores)
    among_wrong = np.searchsorted(np.sort(wrong), grid, side="right") / len(wrong)
    right = np.maximum.accumulate(np.clip((every - share * among_wrong) / (1 - share), 0, 1))
    return np.interp(BULK, right, grid)


def share_of_wrong(scores: Scores, wrong: Scores) -> float:
    """Returns the share of scores (N,) that come from the distribution of `wrong` (M,), at most a half.

    Above its upper quantiles nearly nothing is right (Storey 2002, the roles exchanged); the least estimate counts.
    """
    upper = (0.5, 0.3, 0.2)
    return min(0.5, *(float(np.mean(scores > np.quantile(wrong, 1 - part))) / part for part in upper))


def cut(candidates: Scores, tail: Tail, number: float, precision: float) -> float:
    """Returns the lowest of the candidates (K,) from which on `precision` of those found are no ordinary ones.

    `number` is how many ordinary scores there are; infinity is returned where no cut keeps the promise. The candidates
    must hold every score above the cut.
    """
    ordered = -np.sort(-np.asarray(candidates, np.float64))
    expected = number * tail.above(ordered)
    kept = np.flatnonzero(1 - expected / np.arange(1, len(ordered) + 1) >= precision)
    kept = kept[ordered[kept] > tail.median]
    return float(ordered[kept[-1]]) if len(kept) else float("inf")
