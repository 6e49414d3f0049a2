"""Whether two embedders differ on the same pairs, beyond what the choice of people can do."""

from typing import NamedTuple

import numpy as np

from utils.bootstrap import draws, figures
from utils.metrics import RATES, measure, rate_name, sort_pairs

FIGURES = {"accuracy": "accuracy_mean"} | {f"VAL at FAR {rate_name(rate)}": f"val_{rate_name(rate)}" for rate in RATES}
FIGURES |= {"AUC": "auc", "EER": "eer"}
LESS_IS_BETTER = {"eer"}


class Difference(NamedTuple):
    """A figure of one embedder and of another, and the 95% interval of the first less the second."""

    one: float
    other: float
    low: float
    high: float

    def verdict(self, less_is_better: bool = False) -> str:
        """Returns whether the first is better, in words: an interval that holds 0 does not tell."""
        if self.low <= 0 <= self.high:
            return "not told apart"
        return "worse" if (self.low > 0) == less_is_better else "better"


def differences(
    one: np.ndarray,
    other: np.ndarray,
    same: np.ndarray,
    fold: np.ndarray,
    people: np.ndarray,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Returns figures of two embedders by name, with percentile intervals (2.5% to 97.5%) of what lies between them.

    one, other: their squared distances (N,) of the same N pairs; same, fold, people as `utils.bootstrap.bootstrap` has
    them. Each replicate draws people as there, the same ones for both: what makes a set easy or hard is so the same for
    both, and the interval is narrower than two intervals beside each other let one think.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13, on paired samples.
    """
    ours, theirs = (sort_pairs(distances, same, fold) for distances in (one, other))
    wholes = figures(measure(ours)), figures(measure(theirs))
    found: dict[str, list[float]] = {name: [] for name in FIGURES.values() if name in wholes[0]}
    both = (draws(pairs, people, replicates, seed) for pairs in (ours, theirs))
    for mine, its in zip(*both, strict=True):
        drawn, others = figures(measure(ours, mine)), figures(measure(theirs, its))
        for name, values in found.items():
            values.append(drawn[name] - others[name])
    ends = {name: np.quantile(values, (0.025, 0.975)).tolist() for name, values in found.items() if values}
    return {name: Difference(wholes[0][name], wholes[1][name], *span) for name, span in ends.items()}


def difference_table(found: dict[str, Difference]) -> list[str]:
    """Returns the differences as lines of at most 80 columns."""
    lines = [f"{'':<17}{'this':>7}{'other':>8}  this less other, 95% interval"]
    for label, name in FIGURES.items():
        if name in found:
            one, other, low, high = found[name]
            span = f"{one - other:+.4f}  ({low:+.4f} .. {high:+.4f})"
            lines.append(f"{label:<17}{one:>7.4f}{other:>8.4f}  {span}  {found[name].verdict(name in LESS_IS_BETTER)}")
    return lines
