"""From a distance to a probability, and to the shares of strangers and of same pairs: measured once, kept in the card.

Measured on people the embedder was not trained on (calibrate.py). Everything is a short table with straight lines
between its points, so that use needs NumPy only. Distances are squared Euclidean between unit vectors, 0..4.
"""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from utils.metrics import LARGEST_DISTANCE
from utils.settings import UserError
from utils.tails import Tail, fit_tail

Numbers = NDArray[np.float64]
Points = tuple[tuple[float, float], ...]
Method = Literal["platt", "isotonic"]

FEWEST = 20  # pairs of each kind
RESOLVED = 10  # false accepts, of as many pairs of people, on which a measured rate rests; below it, the tail counts
STEPS_A_DECADE = 8  # of the table of false-accept rates
TABLES = ("log_odds", "false_accepts", "true_accepts")
KNOTS = 200  # of the isotonic curve, at most


@dataclass(frozen=True)
class Calibration:
    """What distances mean for one embedder."""

    method: Method
    people: int
    same_pairs: int
    different_pairs: int
    log_odds: Points  # (distance, log odds of the same person at even odds before)
    false_accepts: Points  # (distance, share of strangers at or below it), from the finest measured rate to 1
    true_accepts: Points  # (distance, share of same pairs at or below it)
    about: dict[str, Any] = field(default_factory=dict)  # data, date, flip, ece, …: whatever the card should say

    @classmethod
    def fit(cls, distances: ArrayLike, same: ArrayLike, people: int, method: Method = "isotonic") -> "Calibration":
        """Fits N pairs of `people` people: distances (N,) 0..4, same bool (N,).

        Both kinds weigh alike (even odds), however many there are of each. Platt 1999 ("Probabilistic outputs for
        support vector machines"): log odds are a line, which never rises; isotonic (Zadrozny and Elkan 2002): they only
        ever fall.
        Raises UserError for too few pairs, or strangers who are (nearly) all at one distance.
        """
        distances, same = np.asarray(distances, np.float64), np.asarray(same, bool)
        mine, others = np.sort(distances[same]), np.sort(distances[~same])
        if min(len(mine), len(others)) < FEWEST:
            raise UserError(
                f"a calibration takes {FEWEST} pairs of one person and {FEWEST} of two at least;"
                f" received {len(mine):,} and {len(others):,}"
            )
        if others[0] == others[len(others) // 2]:
            raise UserError(
                f"half of the strangers' pairs are at one distance, {others[0]:.3f}: no distance tells them apart"
            )
        fitted = _platt(distances, same) if method == "platt" else _isotonic(distances, same)
        finest = min(0.25, RESOLVED / min(len(others), max(1, people * (people - 1) // 2)))
        return cls(method, people, len(mine), len(others), fitted, _far(others, finest), _val(mine))

    @property
    def finest_rate(self) -> float:
        """The smallest false-accept rate that was measured; smaller ones are extrapolated."""
        return self.false_accepts[0][1]

    @cached_property
    def _tail(self) -> Tail:
        """Strangers' nearness: through the median, the finest measured rate, and the rate between them."""
        rates = (0.5, float(np.sqrt(0.5 * self.finest_rate)), self.finest_rate)
        quantiles = nearness([self._measured_distance(rate) for rate in rates])
        return fit_tail(quantiles, (0.5, 1 - rates[1], 1 - rates[2]))

    def probability(self, distances: ArrayLike) -> Numbers:
        """Returns (N,): the probability that two photos show the same person, were both answers as likely before."""
        return _sigmoid(_between(self.log_odds, distances))

    def far(self, distances: ArrayLike) -> Numbers:
        """Returns (N,): the share of strangers at or below each distance; extrapolated under `finest_rate`."""
        distances = np.asarray(distances, np.float64)
        at, rates = np.array(self.false_accepts).T
        measured = np.exp(np.interp(distances, at, np.log(rates)))
        return np.where(distances < at[0], np.minimum(rates[0], self._tail.above(nearness(distances))), measured)

    def val(self, distances: ArrayLike) -> Numbers:
        """Returns (N,): the share of same pairs at or below each distance."""
        return _between(self.true_accepts, distances)

    def distance_at(self, far: float) -> float:
        """Returns the threshold with that false-accept rate (extrapolated under `finest_rate`; 0 accepts nobody)."""
        if far <= 0:
            return 0.0
        if far >= self.finest_rate:
            return self._measured_distance(far)
        median, scale, shape = self._tail
        return float(np.exp(-(median + scale * np.log(0.5 / far) ** (1 / shape))))

    def _measured_distance(self, far: float) -> float:
        at, rates = np.array(self.false_accepts).T
        return float(np.interp(np.log(far), np.log(rates), at))

    def as_json(self) -> dict[str, Any]:
        """Returns what the card holds."""
        return dataclasses.asdict(self)

    def into_card(self, card: dict[str, Any]) -> dict[str, Any]:
        """Returns an embedder's card with this calibration, tied to its weights by their SHA-256."""
        return card | {"calibration": self.as_json() | {"sha256": card["sha256"]}}

    @classmethod
    def of_card(cls, card: dict[str, Any]) -> "Calibration | None":
        """Returns an embedder's calibration; None where the card has none, or one of other weights.

        Raises UserError where it is damaged.
        """
        stored = card.get("calibration")
        if not isinstance(stored, dict) or stored.get("sha256") != card.get("sha256"):
            return None
        try:
            odds, false, true = (tuple((float(x), float(y)) for x, y in stored[name]) for name in TABLES)
            people, same, different = (int(stored[name]) for name in ("people", "same_pairs", "different_pairs"))
            about = dict(stored.get("about", {}))
            return cls(stored["method"], people, same, different, odds, false, true, about)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the card's calibration cannot be read ({error}); python calibrate.py makes it") from error


def one_to_many(far_of_search: float, templates: int) -> float:
    """Returns the false-accept rate of one comparison, at which a search over so many templates has the rate asked for.

    1 - (1 - f) ** (1 / N), as if comparisons were independent.
    """
    return float(-np.expm1(np.log1p(-far_of_search) / max(1, templates)))


def even_weights(same: NDArray[np.bool_]) -> Numbers:
    """Returns (N,), summing to 1: both kinds of pairs weigh a half."""
    mine = int(np.count_nonzero(same))
    return np.where(same, 0.5 / max(1, mine), 0.5 / max(1, len(same) - mine))


def nearness(distances: ArrayLike) -> Numbers:
    """Returns -log(distance): strangers' distances end at 0, their logarithms do not, and have a smooth tail."""
    return -np.log(np.maximum(np.asarray(distances, np.float64), 1e-12))


def _sigmoid(log_odds: Numbers) -> Numbers:
    return np.exp(-np.logaddexp(0.0, -log_odds))


def _between(points: Points, at: ArrayLike) -> Numbers:
    x, y = np.array(points).T
    return np.interp(np.asarray(at, np.float64), x, y)


def _far(others: Numbers, finest: float) -> Points:
    """Returns the table of strangers' sorted distances, evenly spaced in the logarithm of the rate."""
    rates = np.geomspace(finest, 1.0, 2 + int(-np.log10(finest) * STEPS_A_DECADE))
    return _rising(np.quantile(others, rates, method="inverted_cdf"), rates)


def _val(mine: Numbers) -> Points:
    shares = np.concatenate(([0.0], np.linspace(0, 1, 102)[1:-1], [1.0]))
    at = np.quantile(mine, shares)
    return ((float(np.nextafter(at[0], -1.0)), 0.0), *_rising(at, shares)) if at[1] == at[0] else _rising(at, shares)


def _rising(at: Numbers, values: Numbers) -> Points:
    """Returns points with distinct distances; of equal distances the last, where all of them are accepted.

    Just below a distance that many pairs share there is a point with what is accepted without them.
    """
    last = np.flatnonzero(np.append(np.diff(at) > 0, True))
    points: list[tuple[float, float]] = []
    for before, place in zip((-1, *last[:-1].tolist()), last.tolist(), strict=True):
        if points and place > before + 1:
            points.append((float(np.nextafter(at[place], 0.0)), float(values[before])))
        points.append((float(at[place]), float(values[place])))
    return tuple(points)


def _platt(distances: Numbers, same: NDArray[np.bool_]) -> Points:
    """Returns a line through log odds; targets are Platt's (n + 1) / (n + 2) and 1 / (n + 2): its slope has an end.

    Where it would rise with the distance (a network that has learnt nothing, few pairs), it is even odds everywhere.
    """
    from sklearn.linear_model import LogisticRegression

    mine, others = np.count_nonzero(same), np.count_nonzero(~same)
    twice = np.concatenate((distances, distances))[:, None]  # each pair as what it is, and a little as what it is not
    share = np.where(same, (mine + 1) / (mine + 2), 1 / (others + 2))
    weights = even_weights(same) * len(same)
    # lbfgs, by its usual tolerance, stops early where the two kinds hardly meet: 16 for a slope of 21
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8).fit(
        twice,
        np.repeat((True, False), len(same)),
        np.concatenate((weights * share, weights * (1 - share))),
    )
    slope, start = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope > 0:
        slope = start = 0.0
    return ((0.0, start), (LARGEST_DISTANCE, start + slope * LARGEST_DISTANCE))


def _isotonic(distances: Numbers, same: NDArray[np.bool_]) -> Points:
    """Returns the falling curve of least squares; its ends stop where the pairs stop to show more.

    Of n different pairs none lay where the curve is 1: one more would have been there in 1 of n + 2 (rule of
    succession), beside the share of the same pairs that did; so with the same pairs, where it is 0. Between the ends
    it stays as it is: a single pair of the other kind at an end (one photo under two names) says little of the rest.
    """
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(increasing=False).fit(distances, same, even_weights(same))
    curve = model.predict(distances)
    ends = (same, curve == 1), (~same, curve == 0)
    most, not_least = (_sure(float(np.mean(there[kind])), int(np.count_nonzero(~kind))) for kind, there in ends)
    between = curve[(curve > 0) & (curve < 1)]
    most, least = max(most, between.max(initial=0.0)), min(1 - not_least, between.min(initial=1.0))
    probabilities = np.clip(model.y_thresholds_, least, most)
    kept = np.unique(np.linspace(0, len(probabilities) - 1, KNOTS).round().astype(int))
    log_odds = np.log(probabilities) - np.log1p(-probabilities)
    return tuple(zip(model.X_thresholds_[kept].tolist(), log_odds[kept].tolist(), strict=True))


def _sure(share: float, others: int) -> float:
    """Returns the probability, at even odds, of the kind of which such a share lay where none of so many others did."""
    unseen = 1 / (others + 1)  # odds: one more of n + 2, or none
    return max(share, unseen) / (max(share, unseen) + unseen)
