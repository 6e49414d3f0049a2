"""Verification of pairs: accuracy over folds, VAL at a false-accept rate, AUC, EER and the thresholds.

Distances are squared Euclidean between unit vectors, 0..4. A pair is accepted (called the same person) when its
distance is *below* the threshold, as in davidsandberg/facenet. All figures are exact: there is no grid of thresholds.
Weights of pairs (1 each by default) let the bootstrap (utils/bootstrap.py) compute the same figures.
"""

from dataclasses import dataclass

import numpy as np

from utils.settings import UserError

RATES = (1e-2, 1e-3)  # false-accept rates at which VAL is given and thresholds are stored
LARGEST_DISTANCE = 4.0


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the squared Euclidean distances between the rows of a and b (N,D): float64 (N,), clipped to 0..4."""
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    return np.clip(np.einsum("nd,nd->n", difference, difference), 0.0, LARGEST_DISTANCE)


def check_finite(*embeddings: np.ndarray) -> None:
    """Raises UserError for vectors (N,D) that are not numbers."""
    for vectors in embeddings:
        wrong = np.count_nonzero(~np.isfinite(vectors).all(axis=1))
        if wrong:
            raise UserError(f"{wrong:,} of {len(vectors):,} embeddings are not numbers: NaN or infinity")


def check_pairs(same: np.ndarray, fold: np.ndarray) -> None:
    """Raises UserError where pairs, same (N,) bool, in folds (N,), are of one kind or in one fold."""
    if not same.any() or same.all():
        raise UserError(f"verification needs same and different pairs; received {same.sum():,} and {(~same).sum():,}")
    if len(np.unique(fold)) < 2:
        raise UserError("verification needs two folds or more: one to pick a threshold on, one to score; received 1")


def rate_name(rate: float) -> str:
    """Returns how a false-accept rate is written, to three digits: 0.001 is '1e-3', 0.0015 '1.5e-3'."""
    return np.format_float_scientific(float(f"{rate:.3g}"), trim="-", exp_digits=1)


@dataclass(frozen=True)
class SortedPairs:
    """N pairs in ascending order of distance; `order` (N,) says which pair of the input each of them is."""

    distances: np.ndarray  # float64 (N,)
    same: np.ndarray  # bool (N,)
    fold: np.ndarray  # int (N,), 0..F-1
    order: np.ndarray  # int (N,)


@dataclass(frozen=True)
class Curve:
    """What is accepted while the threshold rises past K distinct distances: K + 1 points, from no pair to all pairs."""

    distances: np.ndarray  # (K,) ascending; point k accepts the first k of them
    true_accepts: np.ndarray  # (K + 1,) weight of the accepted same pairs
    false_accepts: np.ndarray  # (K + 1,) weight of the accepted different pairs

    @property
    def val(self) -> np.ndarray:
        """True-accept rate (VAL, TAR) at each point."""
        return self.true_accepts / self.true_accepts[-1]

    @property
    def far(self) -> np.ndarray:
        """False-accept rate at each point."""
        return self.false_accepts / self.false_accepts[-1]


@dataclass(frozen=True)
class Verification:
    """The figures of one set of pairs; NaN where too few different pairs resolve a false-accept rate."""

    accuracy_mean: float  # over folds; the threshold of a fold is picked on the other folds
    accuracy_std: float  # standard deviation over folds (population, as facenet and InsightFace print it)
    threshold: float  # the one of highest accuracy over all pairs; the four counts below are taken at it
    auc: float  # area under the ROC curve
    eer: float  # where false accepts and false rejects are equally frequent
    val: dict[float, float]  # false-accept rate asked for -> share of same pairs accepted there
    far: dict[float, float]  # false-accept rate asked for -> the one measured (at most as large)
    thresholds: dict[str, dict[str, float]]  # best_accuracy, far_1e-2, ... -> threshold, far, val; no unresolved rate
    true_positives: float
    true_negatives: float
    false_positives: float
    false_negatives: float


def sort_pairs(distances: np.ndarray, same: np.ndarray, fold: np.ndarray) -> SortedPairs:
    """Sorts pairs by distance; raises UserError where nothing can be measured with them."""
    distances, same = np.asarray(distances, np.float64), np.asarray(same, bool)
    wrong = int(np.count_nonzero(~np.isfinite(distances)))
    if wrong:
        raise UserError(
            f"{wrong:,} of {len(distances):,} distances are not numbers: the embedder gives NaN or infinity"
        )
    check_pairs(same, fold)
    _, fold = np.unique(fold, return_inverse=True)
    order = np.argsort(distances, kind="stable")
    return SortedPairs(distances[order], same[order], fold[order], order)


def verify(distances: np.ndarray, same: np.ndarray, fold: np.ndarray) -> Verification:
    """Returns the figures of N pairs: distances (N,) 0..4, same bool (N,), fold int (N,)."""
    return measure(sort_pairs(distances, same, fold))


def measure(pairs: SortedPairs, weights: np.ndarray | None = None) -> Verification:
    """Returns the figures of sorted pairs, each counted `weights` (N,) times (in the order of `pairs`; 0: left out)."""
    weights = np.ones(len(pairs.distances)) if weights is None else weights
    whole = whole_curve(pairs, weights)
    accuracies = fold_accuracies(pairs, weights)
    best = best_point(whole)
    points = {"best_accuracy": (midpoint(whole, best), best)}
    same, different = np.count_nonzero(pairs.same), np.count_nonzero(~pairs.same)
    val, far = {}, {}
    for rate in RATES:
        val[rate] = far[rate] = float("nan")
        if different * rate > 1 - 1e-9:  # else not even one false accept is allowed: any figure would be an accident
            point = int(point_at(whole, rate))
            points[f"far_{rate_name(rate)}"] = last_accepted(whole, point)
            val[rate], far[rate] = float(whole.val[point]), float(whole.far[point])
    true_accepted = same * whole.true_accepts[best] / whole.true_accepts[-1]
    false_accepted = different * whole.false_accepts[best] / whole.false_accepts[-1]
    return Verification(
        accuracy_mean=float(np.mean(accuracies)),
        accuracy_std=float(np.std(accuracies)),
        threshold=points["best_accuracy"][0],
        auc=area_under_curve(whole),
        eer=equal_error_rate(whole),
        val=val,
        far=far,
        thresholds={
            name: {"threshold": threshold, "far": float(whole.far[point]), "val": float(whole.val[point])}
            for name, (threshold, point) in points.items()
        },
        true_positives=float(true_accepted),
        true_negatives=float(different - false_accepted),
        false_positives=float(false_accepted),
        false_negatives=float(same - true_accepted),
    )


def whole_curve(pairs: SortedPairs, weights: np.ndarray) -> Curve:
    """Returns the curve of all pairs that have weight."""
    counted = weights > 0
    return curve(pairs.distances[counted], pairs.same[counted], weights[counted])


def curve(distances: np.ndarray, same: np.ndarray, weights: np.ndarray) -> Curve:
    """Returns the curve of pairs in ascending order of distance; pairs at one distance are accepted together.

    Weights are above 0: a pair that is not there moves no threshold.
    """
    last = np.flatnonzero(np.append(distances[1:] > distances[:-1], True))
    accepted = np.cumsum(weights)[last]
    true_accepts = np.cumsum(weights * same)[last]
    return Curve(distances[last], np.append(0.0, true_accepts), np.append(0.0, accepted - true_accepts))


def best_point(curve: Curve) -> int:
    """Returns the point of highest accuracy; of equal ones the first, with the fewest false accepts."""
    return int(np.argmax(curve.true_accepts - curve.false_accepts))


def midpoint(curve: Curve, point: int) -> float:
    """Returns the threshold in the middle between the last accepted and the first rejected distance of a point.

    What stands before the first distance is 0, what stands behind the last a little over 4 (all are accepted).
    """
    accepted = curve.distances[point - 1] if point > 0 else 0.0
    rejected = curve.distances[point] if point < len(curve.distances) else LARGEST_DISTANCE + 1e-6
    middle = (accepted + rejected) / 2
    return float(middle if middle > accepted else rejected)  # neighbouring floats have no middle


def fold_accuracies(pairs: SortedPairs, weights: np.ndarray) -> np.ndarray:
    """Returns the accuracy of each fold (F,), at the threshold of highest accuracy on all other folds.

    Folds without weight, or with all of it, are left out (both occur in the bootstrap of small sets only).
    """
    counted = weights > 0
    distances, same, folds, weights = (
        pairs.distances[counted],
        pairs.same[counted],
        pairs.fold[counted],
        weights[counted],
    )
    accuracies = []
    for fold in range(int(pairs.fold.max()) + 1):
        scored = folds == fold
        if not scored.any() or scored.all():
            continue
        others = ~scored
        rest = curve(distances[others], same[others], weights[others])
        right = (distances[scored] < midpoint(rest, best_point(rest))) == same[scored]
        accuracies.append(np.average(right, weights=weights[scored]))
    return np.array(accuracies)


def point_at(curve: Curve, rate: float | np.ndarray) -> np.ndarray:
    """Returns the last point whose false-accept rate is at most `rate` (below 1).

    The largest threshold with that rate is the first distance it rejects, `curve.distances[point]`: a different pair's.
    So tied different pairs are rejected together, and the measured rate is never above the one asked for.
    """
    allowed = np.asarray(rate) * curve.false_accepts[-1] + 1e-9  # 0.29 * 100 is 28.999999999999996
    return np.searchsorted(curve.false_accepts, allowed, side="right") - 1


def last_accepted(curve: Curve, point: int) -> tuple[float, int]:
    """Returns the distance of the last different pair that a point accepts, and the point that this threshold has.

    It is the threshold to keep. Where a point accepts k different pairs of n, a new one falls below the k-th of them
    with probability k / (n + 1), but below the one that follows, the point's own threshold, with (k + 1) / (n + 1).
    Where it accepts none, because several lie at the nearest distance, that distance is kept, below which none lies.
    """
    if not curve.false_accepts[point]:
        return float(curve.distances[point]), point
    before = max(0, int(np.searchsorted(curve.false_accepts, curve.false_accepts[point], side="left")) - 1)
    return float(curve.distances[before]), before


def area_under_curve(curve: Curve) -> float:
    """Returns the chance that a same pair is nearer than a different pair, ties counting half (Mann-Whitney)."""
    val, far = curve.val, curve.far
    return float(np.sum(np.diff(far) * (val[1:] + val[:-1]) / 2))


def equal_error_rate(curve: Curve) -> float:
    """Returns the rate where the ROC curve (points joined by straight lines) meets FAR = 1 - VAL."""
    excess = curve.far + curve.val - 1  # rises from -1 to 1, strictly
    after = int(np.argmax(excess >= 0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    return float(curve.far[before] + share * (curve.far[after] - curve.far[before]))
