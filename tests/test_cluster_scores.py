"""B-cubed and pairwise scores against a naive loop, a worked example and what must hold."""

import numpy as np
import pytest

from utils.cluster_scores import Scores, b_cubed, pairwise


def naive(groups: np.ndarray, people: np.ndarray) -> tuple[Scores, Scores]:
    """Returns (pairwise, b_cubed), photo by photo."""
    number = len(groups)
    together = [[i == j or (groups[i] == groups[j] and groups[i] >= 0) for j in range(number)] for i in range(number)]
    same = [[people[i] == people[j] for j in range(number)] for i in range(number)]
    pairs = [(together[i][j], same[i][j]) for i in range(number) for j in range(i)]
    both = sum(a and b for a, b in pairs)
    shares = [[sum(a and b for a, b in zip(together[i], same[i], strict=True)) for i in range(number)]] * 2
    sizes = [[sum(row) for row in table] for table in (together, same)]
    means = [float(np.mean(np.divide(share, size))) for share, size in zip(shares, sizes, strict=True)]
    return Scores(both / sum(a for a, _ in pairs), both / sum(b for _, b in pairs)), Scores(*means)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_a_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, people = rng.integers(-1, 7, 60), rng.integers(0, 9, 60)
    pairs, cubed = naive(groups, people)
    assert np.allclose(pairwise(groups, people), pairs)
    assert np.allclose(b_cubed(groups, people), cubed)


def test_the_example_of_amigo_and_others() -> None:
    """Two people mixed in one group: 3 + 2 photos, and one of each apart."""
    found = b_cubed(np.array([0, 0, 0, 0, 0, 1, 2]), np.array([5, 5, 5, 8, 8, 5, 8]))
    assert found.precision == pytest.approx((3 * 3 / 5 + 2 * 2 / 5 + 2) / 7)
    assert found.recall == pytest.approx((3 * 3 / 4 + 1 / 4 + 2 * 2 / 3 + 1 / 3) / 7)
    assert found.f == pytest.approx(2 / (1 / found.precision + 1 / found.recall))


def test_scikit_learn_counts_the_same_pairs() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    groups, people = rng.integers(0, 20, 500), rng.integers(0, 30, 500)
    (_, wrong), (missed, right) = metrics.cluster.pair_confusion_matrix(people, groups)
    assert np.allclose(pairwise(groups, people), (right / (right + wrong), right / (right + missed)))


def test_perfect_nothing_and_everything() -> None:
    people = np.array([3, 3, 7, 7, 7, 9])
    for scores in (pairwise(people, people), b_cubed(people + 40, people)):
        assert scores == (1, 1)
        assert scores.f == 1
    alone = np.full(6, -1)
    assert pairwise(alone, people) == (1, 0)
    assert pairwise(alone, people).f == 0
    assert b_cubed(alone, people) == pytest.approx((1, 3 / 6))
    assert b_cubed(np.zeros(6, int), people).recall == 1
    empty = np.zeros(0, int)
    assert pairwise(empty, empty) == (1, 1)
    assert b_cubed(alone[:1], people[:1]) == (1, 1)


def test_order_and_names_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    groups, people = rng.integers(0, 5, 80), rng.integers(0, 6, 80)
    order, names = rng.permutation(80), rng.permutation(5) * 1000
    for score in (pairwise, b_cubed):
        assert np.allclose(score(names[groups][order], people[order]), score(groups, people))
