"""Negatives drawn at random: which, how often, and what the loss makes of them."""

import keras
import numpy as np
import pytest

from nets.losses import METRIC_LOSSES
from nets.mining import drawn_negatives, relations
from tests.network.plain_losses import LABELS, average, clustered, distance, pairs


def test_drawn_negatives_violate_and_all_that_do_are_drawn_equally_often():
    labels = LABELS[:9]
    embeddings = clustered(labels, 2.0)
    distances = np.array([[distance(a, b) for b in embeddings] for a in embeddings], "float32")
    seed = keras.random.SeedGenerator(1)
    different = relations(labels)[1]
    draws = [drawn_negatives(distances, different, 0.2, seed) for _ in range(200)]
    chosen, found = (np.stack([np.asarray(draw[k]) for draw in draws]) for k in (0, 1))
    numbers = []
    for a, p, negatives in pairs(labels):
        allowed = [n for n in negatives if distances[a, n] < distances[a, p] + 0.2]
        assert (found[:, a, p] == bool(allowed)).all()
        numbers.append(len(allowed))
        if allowed:
            counts = np.bincount(chosen[:, a, p], minlength=len(labels))
            assert set(np.flatnonzero(counts)) == set(allowed)
            expected = 200 / len(allowed)
            assert np.abs(counts[allowed] - expected).max() < 5 * np.sqrt(expected)
    assert min(numbers) < 2 < max(numbers)


def test_the_pairs_of_an_anchor_draw_each_their_own_negative():
    labels = np.array([0, 0, 0, *range(1, 40)], "int32")
    different = relations(labels)[1]
    chosen, _ = drawn_negatives(np.zeros((42, 42), "float32"), different, 1.0, keras.random.SeedGenerator(3))
    assert int(chosen[0, 1]) != int(chosen[0, 2])


@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_any_violating_is_the_loop_over_what_it_drew(margin):
    embeddings = clustered(LABELS, 0.7)
    distances = np.array([[distance(a, b) for b in embeddings] for a in embeddings], "float32")
    chosen, found = (np.asarray(c) for c in drawn_negatives(distances, relations(LABELS)[1], margin, 7))
    terms = [distances[a, p] - distances[a, chosen[a, p]] + margin if found[a, p] else 0.0 for a, p, _ in pairs(LABELS)]
    got = METRIC_LOSSES["any_violating"](LABELS, embeddings, margin, seed=7)
    assert [float(f) for f in got] == pytest.approx(average(terms), abs=2e-5)
