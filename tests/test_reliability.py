"""How calibration is measured: against a loop over bins, on probabilities that are right and on some that are not."""

import numpy as np
import pytest

from utils.calibration import even_weights
from utils.reliability import (
    PeoplePairs,
    _error_of_right_ones,
    bins,
    calibrated,
    calibration_error,
    check_people,
    cross_validated,
    people_pairs,
    reliability,
)
from utils.settings import UserError


def crowd(people: int, photos: int, spread: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (people * photos, 8) about a random centre each, and their labels."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(people, 8)), photos, axis=0)
    vectors += spread * rng.normal(size=vectors.shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.repeat(np.arange(people), photos)


def test_the_error_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    predicted, same = np.append(rng.random(500), (0.0, 1.0)), np.append(rng.random(500) < 0.3, (False, True))
    weights = even_weights(same)
    expected = 0.0
    for place in range(15):
        inside = (predicted >= place / 15) & (predicted < (place + 1) / 15) | ((place == 14) & (predicted == 1))
        mass = weights[inside].sum()
        mean, share = ((weights * values)[inside].sum() / mass for values in (predicted, same))
        expected += mass * abs(mean - share)
    assert calibration_error(predicted, same, weights) == pytest.approx(expected)
    assert bins(predicted, same, weights)[0].sum() == pytest.approx(1)


def pairs_of_probability(predicted: np.ndarray, seed: int = 1) -> PeoplePairs:
    """Pairs that are of one person as often as is said, among 100 people."""
    rng = np.random.default_rng(seed)
    same = rng.random(len(predicted)) < predicted
    first, second = rng.integers(0, 50, len(predicted)), rng.integers(50, 100, len(predicted))
    return PeoplePairs(predicted, same, np.stack((first, np.where(same, first, second)), axis=1))


def test_right_probabilities_have_next_to_no_error_and_wrong_ones_theirs() -> None:
    predicted = np.random.default_rng(0).random(20_000)
    right = reliability(predicted, pairs_of_probability(predicted), replicates=100)
    assert right.interval[0] < 0.005
    assert right.interval[0] <= right.ece <= right.interval[1] < 0.03
    bold = reliability(np.where(predicted > 0.5, 1.0, 0.0), pairs_of_probability(predicted), replicates=100)
    assert bold.interval[0] < 0.25 < bold.interval[1]  # a quarter of either half is something else
    assert bold.ece == pytest.approx(0.25, abs=0.02)
    assert bold.log_loss > right.log_loss


def test_drawn_pairs_are_what_they_say() -> None:
    vectors, labels = crowd(30, 4)
    pairs = people_pairs(vectors, labels, most=(100, 400))
    assert (pairs.same.sum(), (~pairs.same).sum()) == (100, 400)
    assert (pairs.same == (pairs.people[:, 0] == pairs.people[:, 1])).all()
    assert pairs.distances[pairs.same].mean() < pairs.distances[~pairs.same].mean()
    every = people_pairs(vectors, labels)
    assert (every.same.sum(), len(every.same)) == (30 * 6, 120 * 119 // 2)


def test_each_method_is_scored_on_people_it_was_not_fitted_to() -> None:
    vectors, labels = crowd(120, 6)
    found = cross_validated(vectors, labels)
    assert set(found) == {"platt", "isotonic"}
    for one in found.values():
        assert one.ece < 0.08
        assert one.log_loss < np.log(2)  # what a half for all would have
    about = calibrated(vectors, labels, data="drawn", flip="none")
    assert (about.people, about.about) == (120, {"data": "drawn", "flip": "none"})


@pytest.mark.parametrize(("people", "photos"), [(5, 1), (1, 5)])
def test_pairs_of_one_kind_only_are_refused(people: int, photos: int) -> None:
    with pytest.raises(UserError, match=f"{people * photos} photos of {people} people"):
        people_pairs(*crowd(people, photos))


def test_too_few_people_to_hold_some_back() -> None:
    with pytest.raises(UserError, match="9 people: 10"):
        cross_validated(*crowd(9, 5))
    with pytest.raises(UserError, match="4 of 12 people have two photos: 5 at least"):
        check_people(np.append(np.arange(12), np.arange(4)))
    check_people(np.append(np.arange(12), np.arange(5)))


def test_people_with_two_photos_are_dealt_over_all_folds() -> None:
    """25 people with five photos among 300 with one: dealt at random, a fold would soon have none of them."""
    vectors, labels = crowd(325, 5)
    kept = (labels < 25) | (np.arange(len(labels)) % 5 == 0)
    for seed in range(3):
        assert set(cross_validated(vectors[kept], labels[kept], seed)) == {"platt", "isotonic"}


def test_too_few_pairs_in_four_fifths_are_said_as_such() -> None:
    with pytest.raises(UserError, match="four fifths of the people have 17 pairs of a kind"):
        cross_validated(*crowd(22, 2))


def test_right_probabilities_reach_down_to_no_error() -> None:
    random = np.random.default_rng(0)
    predicted = random.uniform(0.01, 0.99, 4000)
    for seed in range(1, 5):  # not 0: that drew the probabilities
        found = reliability(predicted, pairs_of_probability(predicted, seed), replicates=50)
        assert found.interval[0] == 0.0
        assert found.interval[1] > found.ece


@pytest.mark.parametrize("seed", [3, 17])  # whose intervals end by either rule
def test_the_interval_is_that_of_a_loop_over_draws_of_people(seed: int) -> None:
    rng = np.random.default_rng(seed)
    same = np.arange(600) < 60
    predicted = np.where(same, rng.uniform(0.3, 1.0, 600), rng.uniform(0.0, 0.9, 600))
    first, second = rng.integers(0, 20, 600), rng.integers(20, 40, 600)
    pairs = PeoplePairs(predicted, same, np.stack((first, np.where(same, first, second)), axis=1))
    draws, errors = np.random.default_rng(5), []
    names, index = np.unique(pairs.people, return_inverse=True)
    for _ in range(40):
        drawn = np.bincount(draws.integers(len(names), size=len(names)), minlength=len(names))
        at = drawn[index.reshape(-1, 2)]
        rows = np.repeat(np.arange(600), np.where(same, at[:, 0], at[:, 0] * at[:, 1]))
        errors.append(calibration_error(predicted[rows], same[rows], even_weights(same[rows])))
    error = calibration_error(predicted, same, even_weights(same))
    low, middle, high = np.quantile(errors, (0.025, 0.5, 0.975))
    found = reliability(predicted, pairs, replicates=40, seed=5)
    expected = min(error, max(0.0, 2 * error - high)), max(2 * error - low, error + high - middle)
    assert found.interval == pytest.approx(expected)
    assert 0 < found.interval[0] < found.ece


def test_each_fold_is_scored_by_what_the_others_were_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[set[int]] = []

    def seen(embeddings: np.ndarray, labels: np.ndarray, *rest: object) -> PeoplePairs:
        drawn.append(set(labels.tolist()))
        return people_pairs(embeddings, labels, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("utils.reliability.people_pairs", seen)
    monkeypatch.setattr("utils.reliability.reliability", lambda predicted, pairs: pairs)
    cross_validated(*crowd(30, 4))
    fitted, scored = drawn[::2], drawn[1::2]
    assert [one | other for one, other in zip(fitted, scored, strict=True)] == [set(range(30))] * 5
    assert sorted(person for people in scored for person in people) == list(range(30))
    assert not any(one & other for one, other in zip(fitted, scored, strict=True))


def test_right_probabilities_err_as_samples_with_as_few_same_pairs_do() -> None:
    """Of 4,000 pairs 400 are of one person, and probabilities are at even odds."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(60):
        same, drawn = np.arange(4000) < 400, rng.random(4000)
        predicted = np.where(same, np.sqrt(drawn), 1 - np.sqrt(drawn))  # of same pairs 2 p, of different ones 2 (1 - p)
        errors.append(calibration_error(predicted, same, even_weights(same)))
    assert _error_of_right_ones(predicted, same, rng) == pytest.approx(np.quantile(errors, 0.95), rel=0.25)


def test_replicates_without_a_kind_of_pairs_are_left_out() -> None:
    predicted, same = np.array([0.9, 0.8, 0.3, 0.2]), np.array([True, True, False, False])
    pairs = PeoplePairs(predicted, same, np.array([[0, 0], [1, 1], [0, 1], [1, 2]]))
    found = reliability(predicted, pairs, replicates=40)
    assert 0 <= found.interval[0] <= found.ece <= found.interval[1]


def test_embeddings_that_are_not_numbers_are_refused() -> None:
    vectors, labels = crowd(3, 2)
    vectors[1, 4] = np.nan
    with pytest.raises(UserError, match="1 of 6 embeddings are not numbers"):
        people_pairs(vectors, labels)
