"""95% intervals of verification figures: people are drawn again, not only pairs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.metrics import SortedPairs, Verification, measure, point_at, rate_name, sort_pairs, whole_curve
from utils.settings import UserError

FEWEST_REPLICATES = 40  # of which 2.5% are one
BAND_RATES = np.geomspace(1e-4, 0.999, 80)  # false-accept rates at which the ROC curve gets its band


@dataclass(frozen=True)
class Intervals:
    """95% intervals: figure -> (low, high), and VAL's band along the ROC curve."""

    figures: dict[str, tuple[float, float]]
    band_far: np.ndarray  # (M,) false-accept rates
    band_low: np.ndarray  # (M,) VAL
    band_high: np.ndarray  # (M,) VAL


def check_replicates(number: int) -> None:
    """Raises UserError for a number of bootstrap replicates that has no 2.5% and 97.5% quantile: 0 is none at all."""
    if number and number < FEWEST_REPLICATES:
        raise UserError(f"--bootstrap is 0, or {FEWEST_REPLICATES} or more; received {number}")


def figures(result: Verification) -> dict[str, float]:
    """Returns the figures that get an interval, by name (a rate that the pairs cannot resolve has none)."""
    names = ("accuracy_mean", "auc", "eer", "threshold")
    counts = ("true_positives", "true_negatives", "false_positives", "false_negatives")
    found = {name: float(getattr(result, name)) for name in names + counts}
    return found | {f"val_{rate_name(rate)}": value for rate, value in result.val.items() if not np.isnan(value)}


def bootstrap(
    distances: np.ndarray,
    same: np.ndarray,
    fold: np.ndarray,
    people: np.ndarray,
    replicates: int = 1000,
    seed: int = 0,
) -> Intervals:
    """Returns percentile intervals (2.5% to 97.5%) of the figures of N pairs; `people` int (N,2) names both of a pair.

    A replicate draws as many people as there are, with replacement. A pair of one person weighs as often as that
    person was drawn; a pair of two people the product of both (Snijders and Borgatti 1999 resample the nodes of a
    network so). Pairs that share a person thus stand and fall together. It errs on the wide side for pairs that share
    nobody (Owen 2007, "The pigeonhole bootstrap"), and is right where people recur in many pairs.

    Where every pair is right no draw is wrong: the other end of a share of 0 or 1 is then the rule of three over people
    (Hanley and Lippman-Hand 1983), and what else does not move (AUC, EER, counts) has no interval.

    Every replicate computes each figure as `verify` does, with weights: its accuracy is the mean over folds, each at
    the threshold picked on the other folds of that replicate (copies of a pair stay in one fold). Threshold and counts
    are those of the replicate's best accuracy; counts are scaled to the true numbers of same and different pairs.
    """
    pairs = sort_pairs(distances, same, fold)
    found: dict[str, list[float]] = {}
    band = []
    for weights in draws(pairs, people, replicates, seed):
        for name, value in figures(measure(pairs, weights)).items():
            found.setdefault(name, []).append(value)
        replicate = whole_curve(pairs, weights)
        band.append(replicate.val[point_at(replicate, BAND_RATES)])
    if not band:
        return Intervals({}, BAND_RATES[:0], BAND_RATES[:0], BAND_RATES[:0])
    number, mine = len(np.unique(people)), len(np.unique(people[np.asarray(same, bool)]))
    ends = {name: _interval(values) for name, values in found.items()}
    independent = {name: number if name == "accuracy_mean" else mine for name in ends if name[:3] in ("acc", "val")}
    ends |= {name: opened(ends[name], people) for name, people in independent.items()}
    return Intervals(
        {name: (low, high) for name, (low, high) in ends.items() if low < high}, BAND_RATES, *_interval(band)
    )


def draws(pairs: SortedPairs, people: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the weights (N,) of sorted pairs in each replicate; `people` int (N,2) as they were before sorting.

    Whom a replicate draws depends on the seed alone: of two embedders on the same pairs it draws the same people.
    """
    _, index = np.unique(people, return_inverse=True)
    first, second = index.reshape(-1, 2)[pairs.order].T
    number = int(index.max()) + 1
    random = np.random.default_rng(seed)
    for _ in range(replicates):
        drawn = np.bincount(random.integers(number, size=number), minlength=number).astype(np.float64)
        weights = np.where(first == second, drawn[first], drawn[first] * drawn[second])
        kinds, folds = pairs.same[weights > 0], pairs.fold[weights > 0]
        if kinds.all() or not kinds.any() or (folds == folds[0]).all():
            continue  # a handful of people: this draw left pairs of one kind or of one fold
        yield weights


def opened(span: tuple[float, float], independent: int) -> tuple[float, float]:
    """Returns a share's interval; where it is 0 or 1 alone, with the end that the rule of three over so many gives."""
    reach = min(1.0, 3 / independent)
    return {(0.0, 0.0): (0.0, reach), (1.0, 1.0): (1 - reach, 1.0)}.get(span, span)


def _interval(values: list[Any]) -> Any:
    """Returns the 2.5% and the 97.5% quantile over replicates."""
    low, high = np.quantile(np.array(values), (0.025, 0.975), axis=0)
    return (low, high) if np.ndim(low) else (float(low), float(high))
