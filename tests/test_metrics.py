"""Verification figures against naive loops, scikit-learn and what must not change."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from utils.metrics import LARGEST_DISTANCE, measure, rate_name, sort_pairs, squared_distances, verify
from utils.settings import UserError


def test_a_threshold_that_accepts_no_stranger_keeps_the_same_pairs() -> None:
    """The two nearest strangers are equally near, and one in a hundred is allowed: none is, at their own distance."""
    distances = np.concatenate((np.linspace(0.1, 0.45, 50), [0.5, 0.5], np.linspace(0.6, 2, 98)))
    result = verify(distances, np.arange(150) < 50, np.arange(150) % 10)
    assert result.val[1e-2] == 1.0
    assert result.thresholds["far_1e-2"] == {"threshold": 0.5, "far": 0.0, "val": 1.0}


def drawn_pairs(number=600, folds=10, seed=0, decimals=None, gap=0.5):
    """Returns (distances, same, fold) that overlap; `decimals` rounds them, which makes ties."""
    random = np.random.default_rng(seed)
    same = random.random(number) < 0.45
    distances = np.clip(random.normal(np.where(same, 1.0, 1.0 + gap), 0.3), 0, 4)
    return distances if decimals is None else distances.round(decimals), same, random.permutation(number) % folds


def naive_accuracy(distances, same, threshold):
    return sum((d < threshold) == s for d, s in zip(distances, same, strict=True)) / len(same)


def naive_threshold(distances, same):
    """The middle between two neighbouring distances where most pairs are right; of equal ones the lowest."""
    ends = sorted({0.0, LARGEST_DISTANCE + 1e-6, *distances.tolist()})
    middles = [(low + high) / 2 for low, high in pairwise(ends)]
    best = max(naive_accuracy(distances, same, m) for m in middles)
    return next(m for m in middles if naive_accuracy(distances, same, m) == best)


def naive_val(distances, same, rate):
    """(threshold, far, val) of the largest different distance whose false-accept rate is at most `rate`."""
    for threshold in sorted(distances[~same].tolist(), reverse=True):
        far = np.mean(distances[~same] < threshold)
        if far <= rate:
            return threshold, far, np.mean(distances[same] < threshold)
    raise AssertionError("the smallest different distance accepts no different pair")


def test_squared_distances_are_two_minus_two_cosines():
    random = np.random.default_rng(0)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in random.normal(size=(2, 50, 128)).astype(np.float32))
    assert np.allclose(squared_distances(a, b), 2 - 2 * np.sum(a * b, axis=1), atol=1e-5)
    assert (squared_distances(a, a) == 0).all()
    assert squared_distances(a, a).dtype == np.float64
    assert squared_distances(a * 1.01, -a * 1.01).max() == 4


@pytest.mark.parametrize("decimals", [None, 2, 1])
def test_accuracy_is_the_naive_loop_over_folds(decimals):
    distances, same, fold = drawn_pairs(150, decimals=decimals)
    accuracies = []
    for f in range(10):
        threshold = naive_threshold(distances[fold != f], same[fold != f])
        accuracies.append(naive_accuracy(distances[fold == f], same[fold == f], threshold))
    result = verify(distances, same, fold)
    assert result.accuracy_mean == pytest.approx(np.mean(accuracies))
    assert result.accuracy_std == pytest.approx(np.std(accuracies))
    assert result.threshold == pytest.approx(naive_threshold(distances, same))


def test_tie_rule_of_the_threshold():
    """Cuts behind 0.2 and behind 0.6 are right 4 of 5 times each: the lower one counts, in the middle of its gap."""
    distances, same = np.array([0.2, 0.4, 0.6, 0.8, 1.0]), np.array([True, False, True, False, False])
    assert verify(distances, same, np.arange(5)).threshold == pytest.approx(0.3)


def test_threshold_where_nobody_or_everybody_is_accepted():
    nobody = verify(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, False, True]), np.arange(4))
    assert (nobody.true_positives, nobody.false_positives, nobody.threshold) == (0, 0, 0.5)
    everybody = verify(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, True, True]), np.arange(4))
    assert (everybody.true_positives, everybody.false_positives) == (3, 1)
    assert everybody.threshold > 3.5
    farthest = verify(np.array([4.0, 4.0, 4.0]), np.array([False, True, True]), np.arange(3))
    assert farthest.threshold > 4
    assert farthest.true_positives == 2


def test_threshold_between_neighbouring_floats_still_divides_them():
    low = 1.0
    high = np.nextafter(low, 2)
    result = verify(np.array([low, low, high, high]), np.array([True, True, False, False]), np.arange(4) % 2)
    assert (result.true_positives, result.false_positives, result.accuracy_mean) == (2, 0, 1)


@pytest.mark.parametrize("decimals", [None, 2, 1])
def test_val_and_threshold_at_a_false_accept_rate(decimals):
    distances, same, fold = drawn_pairs(2500, decimals=decimals, gap=0.8)
    result = verify(distances, same, fold)
    for rate in (1e-2, 1e-3):
        threshold, far, val = naive_val(distances, same, rate)
        assert result.val[rate] == pytest.approx(val)
        assert result.far[rate] == pytest.approx(far)
        assert result.far[rate] <= rate
        stored = result.thresholds[f"far_{rate_name(rate)}"]
        kept = max(distances[~same & (distances < threshold)])  # the last accepted, not the first refused
        below = distances < kept
        assert stored == {"threshold": kept, "far": np.mean(below[~same]), "val": np.mean(below[same])}


def test_a_kept_threshold_has_the_rate_that_was_asked_for_on_new_pairs():
    """Of n strangers the k-th distance lies at the rate k / (n + 1) of all, on average."""
    random, rates = np.random.default_rng(0), []
    for _ in range(400):
        strangers = random.uniform(0.5, 1.5, 100)  # so that the rate below t is t - 0.5
        distances, same = np.append(strangers, [0.1, 0.2]), np.arange(102) >= 100
        rates.append(verify(distances, same, np.arange(102) % 2).thresholds["far_1e-2"]["threshold"] - 0.5)
    assert np.mean(rates) == pytest.approx(1 / 101, abs=0.002)


def test_a_rate_that_the_different_pairs_cannot_resolve_is_not_a_number():
    for different, resolved in ((999, False), (1000, True)):
        same = np.arange(different + 100) < 100
        result = verify(np.where(same, 0.5, 1.5), same, np.arange(len(same)) % 10)
        assert np.isnan(result.val[1e-3]) != resolved
        assert np.isnan(result.far[1e-3]) != resolved
        assert ("far_1e-3" in result.thresholds) == resolved
        assert result.val[1e-2] == 1


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_auc_is_scikit_learns(decimals):
    distances, same, fold = drawn_pairs(decimals=decimals)
    assert verify(distances, same, fold).auc == pytest.approx(roc_auc_score(same, -distances), abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 1])
def test_eer_lies_between_the_rates_around_it(decimals):
    distances, same, fold = drawn_pairs(decimals=decimals)
    eer = verify(distances, same, fold).eer
    thresholds = [0, *np.unique(distances), 5]
    rates = [(np.mean(distances[~same] < t), np.mean(distances[same] >= t)) for t in thresholds]
    before = max(far for far, frr in rates if far <= frr)
    after = min(far for far, frr in rates if far >= frr)
    assert before <= eer <= after
    mirrored = verify(4 - distances, ~same, fold).eer
    assert eer == pytest.approx(mirrored)


def test_confusion_counts_are_taken_at_the_threshold():
    distances, same, fold = drawn_pairs()
    result = verify(distances, same, fold)
    accepted = distances < result.threshold
    assert result.true_positives == np.sum(accepted & same)
    assert result.false_positives == np.sum(accepted & ~same)
    assert result.false_negatives == np.sum(~accepted & same)
    assert result.true_negatives == np.sum(~accepted & ~same)
    stored = result.thresholds["best_accuracy"]
    assert stored["val"] == pytest.approx(result.true_positives / same.sum())
    assert stored["far"] == pytest.approx(result.false_positives / (~same).sum())


def test_order_of_the_pairs_does_not_matter():
    distances, same, fold = drawn_pairs(2500, decimals=2)
    order = np.random.default_rng(1).permutation(len(same))
    one, other = verify(distances, same, fold), verify(distances[order], same[order], fold[order])
    assert one.thresholds == other.thresholds
    assert one.val == other.val
    assert one.accuracy_mean == pytest.approx(other.accuracy_mean)
    assert one.auc == pytest.approx(other.auc)


def test_separable_pairs_are_perfect_and_random_ones_chance():
    same = np.arange(3000) % 2 == 0
    fold = np.arange(3000) // 300
    perfect = verify(np.where(same, 0.5, 1.5), same, fold)
    assert (perfect.accuracy_mean, perfect.accuracy_std, perfect.auc, perfect.eer) == (1, 0, 1, 0)
    assert perfect.val == {1e-2: 1, 1e-3: 1}
    assert perfect.threshold == 1
    chance = verify(np.random.default_rng(0).random(3000), same, fold)
    assert abs(chance.accuracy_mean - 0.5) < 0.03
    assert abs(chance.auc - 0.5) < 0.03
    assert abs(chance.eer - 0.5) < 0.03
    constant = verify(np.ones(3000), same, fold)
    assert (constant.auc, constant.eer, constant.accuracy_mean) == (0.5, 0.5, 0.5)


def test_weights_count_a_pair_as_often_as_repeating_it():
    distances, same, fold = drawn_pairs(400, decimals=2)
    times = np.random.default_rng(2).integers(0, 4, 400)
    repeated = verify(*(np.repeat(x, times) for x in (distances, same, fold)))
    pairs = sort_pairs(distances, same, fold)
    weighted = measure(pairs, times[pairs.order].astype(float))
    assert weighted.accuracy_mean == pytest.approx(repeated.accuracy_mean)
    assert weighted.accuracy_std == pytest.approx(repeated.accuracy_std)
    assert (weighted.threshold, weighted.auc, weighted.eer) == pytest.approx(
        (repeated.threshold, repeated.auc, repeated.eer)
    )
    assert weighted.val[1e-2] == pytest.approx(repeated.val[1e-2])
    rate = repeated.true_positives / (repeated.true_positives + repeated.false_negatives)
    assert weighted.true_positives == pytest.approx(rate * same.sum())  # scaled to the true number of same pairs


def test_what_cannot_be_measured_is_one_line():
    distances, same, fold = drawn_pairs()
    with pytest.raises(UserError, match="1 of 600 distances are not numbers"):
        verify(np.where(np.arange(600) == 3, np.nan, distances), same, fold)
    with pytest.raises(UserError, match="same and different pairs; received 600 and 0"):
        verify(distances, np.ones(600, bool), fold)
    with pytest.raises(UserError, match="two folds"):
        verify(distances, same, np.zeros(600))
