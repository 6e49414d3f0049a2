"""Intervals: a naive loop over people, seeds, width, speed."""

import numpy as np
import pytest

from utils.bootstrap import bootstrap, check_replicates
from utils.metrics import verify
from utils.settings import UserError


def drawn_pairs(number, gap=0.5, seed=0):
    """Returns (distances, same, fold) that overlap, in ten folds."""
    random = np.random.default_rng(seed)
    same = random.random(number) < 0.45
    distances = np.clip(random.normal(np.where(same, 1.0, 1.0 + gap), 0.3), 0, 4)
    return distances, same, random.permutation(number) % 10


def drawn_people(same, people=150, seed=3):
    """Returns int (N,2): two people of `people` for each pair."""
    first, second = np.random.default_rng(seed).integers(people, size=(2, len(same)))
    return np.stack([first, np.where(same, first, np.where(second == first, (second + 1) % people, second))], axis=1)


def test_bootstrap_is_the_naive_loop_over_people():
    distances, same, fold = drawn_pairs(200)
    people = drawn_people(same, people=30)
    accuracies = []
    random = np.random.default_rng(7)
    names = np.unique(people)
    for _ in range(40):
        drawn = [names[i] for i in random.integers(len(names), size=len(names))]
        times = [drawn.count(a) if a == b else drawn.count(a) * drawn.count(b) for a, b in people]
        accuracies.append(verify(*(np.repeat(x, times) for x in (distances, same, fold))).accuracy_mean)
    found = bootstrap(distances, same, fold, people, replicates=40, seed=7).figures["accuracy_mean"]
    assert found == pytest.approx(tuple(np.quantile(accuracies, (0.025, 0.975))))


def test_bootstrap_intervals_hold_the_figures_and_are_seeded():
    distances, same, fold = drawn_pairs(3000, gap=0.8)
    people = drawn_people(same, 1000)
    result, found = verify(distances, same, fold), bootstrap(distances, same, fold, people, 100, seed=1)
    for name in ("accuracy_mean", "auc", "eer", "threshold", "true_positives", "false_positives"):
        low, high = found.figures[name]
        assert low < getattr(result, name) < high, name
    assert found.figures["val_1e-2"][0] < result.val[1e-2] < found.figures["val_1e-2"][1]
    assert (np.diff(found.band_low) >= 0).all()
    assert (found.band_low <= found.band_high).all()
    assert bootstrap(distances, same, fold, people, 100, seed=1).figures == found.figures
    assert bootstrap(distances, same, fold, people, 100, seed=2).figures != found.figures


def test_people_who_recur_widen_the_interval():
    distances, same, fold = drawn_pairs(2000)
    own = np.repeat(np.arange(2000)[:, None], 2, axis=1)
    shared = own // 100  # 20 people, 100 pairs each; their distances share a shift
    shift = np.random.default_rng(0).normal(0, 0.3, 20)[shared[:, 0]]
    widths = []
    for people in (own, shared):
        low, high = bootstrap(np.clip(distances + shift, 0, 4), same, fold, people, 100).figures["auc"]
        widths.append(high - low)
    assert widths[1] > 1.5 * widths[0]


def test_bootstrap_of_a_few_pairs_leaves_out_what_it_cannot_say():
    distances, same, fold = np.array([0.1, 0.2, 1.0, 1.1]), np.array([True, True, False, False]), np.arange(4) % 2
    people = np.array([[0, 0], [1, 1], [0, 1], [1, 2]])
    found = bootstrap(distances, same, fold, people, 50)
    assert "val_1e-2" not in found.figures
    assert "auc" not in found.figures  # every draw has 1: that is no interval
    assert found.figures["accuracy_mean"][0] < 1
    assert bootstrap(distances, same, fold, people, 0).figures == {}


def test_pairs_without_an_error_have_the_rule_of_three():
    """20 people, each in a same and a different pair, far apart: nothing is seen of the errors that there may be."""
    people = np.arange(20)
    same_people, different_people = np.stack([people, people], 1), np.stack([people, np.roll(people, 1)], 1)
    distances = np.concatenate([np.linspace(0.1, 0.3, 20), np.linspace(1.5, 1.9, 20)])
    same, fold = np.arange(40) < 20, np.arange(40) % 10
    found = bootstrap(distances, same, fold, np.concatenate([same_people, different_people]), 200).figures
    assert found["accuracy_mean"] == pytest.approx((1 - 3 / 20, 1.0))
    assert {"auc", "eer", "true_positives"}.isdisjoint(found)


def test_replicates_are_none_or_so_many_that_one_is_a_fortieth():
    check_replicates(0)
    check_replicates(40)
    with pytest.raises(UserError, match="40 or more; received 39"):
        check_replicates(39)
