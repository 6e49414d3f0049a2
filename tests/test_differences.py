"""Differences of two embedders on the same pairs: a naive loop over people, what pairing is worth, words."""

import numpy as np
import pytest

from tests.test_bootstrap import drawn_pairs, drawn_people
from utils.bootstrap import bootstrap
from utils.differences import Difference, difference_table, differences
from utils.metrics import verify


def test_differences_are_those_of_a_naive_loop_over_people():
    one, same, fold = drawn_pairs(200)
    other = np.clip(one + np.random.default_rng(5).normal(0, 0.2, len(one)), 0, 4)
    people = drawn_people(same, people=30)
    names, random, apart = np.unique(people), np.random.default_rng(7), []
    for _ in range(40):
        drawn = [names[i] for i in random.integers(len(names), size=len(names))]
        times = [drawn.count(a) if a == b else drawn.count(a) * drawn.count(b) for a, b in people]
        ours, theirs = (verify(*(np.repeat(x, times) for x in (d, same, fold))) for d in (one, other))
        apart.append((ours.accuracy_mean - theirs.accuracy_mean, ours.eer - theirs.eer))
    found = differences(one, other, same, fold, people, replicates=40, seed=7)
    wholes = verify(one, same, fold), verify(other, same, fold)
    for place, (name, whole) in enumerate((("accuracy_mean", "accuracy_mean"), ("eer", "eer"))):
        low, high = np.quantile([pair[place] for pair in apart], (0.025, 0.975))
        assert found[name] == pytest.approx((*(getattr(result, whole) for result in wholes), low, high))


def test_embedders_that_err_on_the_same_pairs_are_told_apart_where_their_own_intervals_overlap():
    one, same, fold = drawn_pairs(3000, gap=0.8)
    people = drawn_people(same, 400)
    worse = np.clip(one + np.random.default_rng(1).normal(0, 0.07, len(one)), 0, 4)
    found = differences(one, worse, same, fold, people, 200)
    mine, its = (bootstrap(d, same, fold, people, 200).figures["auc"] for d in (one, worse))
    assert mine[0] < its[1]  # two intervals beside each other do not tell
    assert found["auc"].verdict() == "better"
    assert found["auc"].high - found["auc"].low < 0.5 * (mine[1] - mine[0])
    turned = differences(worse, one, same, fold, people, 200)["auc"]
    assert turned.verdict() == "worse"
    assert (turned.low, turned.high) == pytest.approx((-found["auc"].high, -found["auc"].low))
    itself = differences(one, one, same, fold, people, 40)
    assert {(each.low, each.high, each.verdict()) for each in itself.values()} == {(0.0, 0.0, "not told apart")}


def test_equally_good_embedders_are_seldom_told_apart():
    """Of 40 pairs of embedders that differ by nothing but noise, about two may be told apart at 95%."""
    told = 0
    for seed in range(40):
        one, same, fold = drawn_pairs(600, gap=0.6, seed=seed)
        people, random = drawn_people(same, 120, seed), np.random.default_rng(100 + seed)
        noisy = (np.clip(one + random.normal(0, 0.2, len(one)), 0, 4) for _ in range(2))
        told += differences(*noisy, same, fold, people, 60)["auc"].verdict() != "not told apart"
    assert told <= 6


def test_words_say_who_is_better():
    found = {"accuracy_mean": Difference(0.9, 0.8, 0.05, 0.15), "eer": Difference(0.1, 0.2, -0.15, -0.05)}
    lines = difference_table(found)
    assert lines[1].split() == ["accuracy", "0.9000", "0.8000", "+0.1000", "(+0.0500", "..", "+0.1500)", "better"]
    assert lines[2].endswith("-0.1000  (-0.1500 .. -0.0500)  better")  # fewer errors
    assert Difference(0.1, 0.2, -0.15, 0.01).verdict(True) == "not told apart"
    assert Difference(0.2, 0.1, 0.05, 0.15).verdict(True) == "worse"
    assert max(map(len, difference_table(found | {"val_1e-3": Difference(0.1, 0.2, -0.15, 0.01)}))) <= 80
