"""Distances to probabilities and rates: against scikit-learn, against counting, and there and back."""

import json

import numpy as np
import pytest

from utils.calibration import Calibration, Method, even_weights, one_to_many
from utils.settings import UserError


def drawn(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Distances (N,) whose true log odds are a line, 10 - 10 d: normal, of one variance; three strangers a same one."""
    rng = np.random.default_rng(seed)
    same = np.arange(number) % 4 == 0
    return np.clip(rng.normal(np.where(same, 0.75, 1.25), np.sqrt(0.05)), 0, 4), same


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_probability_is_the_true_one_at_even_odds(method: Method) -> None:
    """Three times as many strangers change nothing: both kinds weigh alike."""
    calibration = Calibration.fit(*drawn(80_000), people=500, method=method)
    at = np.linspace(0.5, 1.5, 21)
    true = 1 / (1 + np.exp(-(10 - 10 * at)))
    assert np.abs(calibration.probability(at) - true).max() < 0.04
    assert (np.diff(calibration.probability(np.linspace(0, 4, 400))) <= 0).all()


def test_platt_is_the_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    distances, same = drawn(4_000)
    model = LogisticRegression(C=np.inf, class_weight="balanced").fit(distances[:, None], same)
    found = Calibration.fit(distances, same, 50, "platt").probability(distances)
    # Platt's targets are not quite 0 and 1, and there are 1,000 same pairs
    assert np.abs(found - model.predict_proba(distances[:, None])[:, 1]).max() < 0.01


def test_isotonic_stays_below_certainty_where_pairs_are_few() -> None:
    distances = np.concatenate((np.linspace(0.1, 0.5, 40), np.linspace(1.0, 1.5, 40)))
    same = np.arange(80) < 40
    probability = Calibration.fit(distances, same, 10, "isotonic").probability([0.0, 4.0])
    assert probability == pytest.approx([41 / 42, 1 / 42])
    platt = Calibration.fit(distances, same, 10, "platt").probability([0.0, 0.75, 4.0])
    assert 0.9999 > platt[0] > 0.97 > platt[1] > 0.03 > platt[2] > 0


def test_isotonic_ends_are_those_of_the_kind_that_is_not_there() -> None:
    """Beyond 60 same pairs and 3,000 different ones no end is surer than the few same pairs let it be."""
    random = np.random.default_rng(0)
    distances = np.concatenate((random.normal(0.7, 0.1, 60), random.normal(1.6, 0.1, 3000)))
    near, far = Calibration.fit(distances, np.arange(3060) < 60, 100, "isotonic").probability([0.0, 4.0])
    assert (near, far) == pytest.approx((1 - 1 / 3002, 1 / 62))


@pytest.mark.parametrize(("odd", "kind"), [(0.0, False), (3.9, True)])
def test_one_pair_of_the_other_kind_at_an_end_changes_little_between_the_ends(odd: float, kind: bool) -> None:
    """One photo under two names, or a crop of a wall: of the other pairs it says nothing."""
    random = np.random.default_rng(0)
    distances = np.concatenate((random.normal(0.6, 0.2, 2000), random.normal(1.8, 0.2, 20_000))).clip(0.05, 3.5)
    same, at = np.arange(22_000) < 2000, [0.4, 0.8, 1.0, 1.5, 2.0]
    clean = Calibration.fit(distances, same, 100, "isotonic").probability(at)
    found = Calibration.fit(np.append(distances, odd), np.append(same, kind), 100, "isotonic").probability(at)
    assert found == pytest.approx(clean, abs=2e-3)
    assert found[0] > 0.998
    assert found[-1] < 0.002


def test_isotonic_ends_that_few_pairs_reach_are_less_sure() -> None:
    """One same pair in a hundred is nearer than the nearest stranger: that is no reason to be sure by all strangers."""
    same, others = np.concatenate((np.linspace(0.1, 0.2, 10), np.linspace(0.5, 1.5, 990))), np.linspace(0.4, 2.5, 4000)
    fitted = Calibration.fit(np.append(same, others), np.arange(5000) < 1000, 50, "isotonic")
    near = fitted.probability([0.0])[0]
    assert near == pytest.approx(0.01 / (0.01 + 1 / 4001), rel=1e-6)


def test_platt_is_fitted_to_its_end_where_the_kinds_hardly_meet() -> None:
    random = np.random.default_rng(0)
    mine, others = random.normal(0.4, 0.15, 2000).clip(0), random.normal(1.9, 0.2, 20_000)
    distances, same = np.concatenate((mine, others)), np.arange(22_000) < 2000
    (_, start), (_, end) = Calibration.fit(distances, same, 50, "platt").log_odds
    weights = np.where(same, 1 / 2000, 1 / 20_000)
    target = np.where(same, 2001 / 2002, 1 / 20_002)
    probability = 1 / (1 + np.exp(-(start + (end - start) / 4 * distances)))
    excess = weights * (probability - target)  # the loss's gradient: 0 at its end
    assert abs(excess.sum()) < 1e-7
    assert abs((excess * distances).sum()) < 1e-7


def test_distances_that_many_pairs_share_are_no_slope() -> None:
    random = np.random.default_rng(0)
    mine, others = np.full(200, 0.3), np.sort(random.uniform(0.5, 2.0, 4000))
    others[800:2000] = others[800]
    calibration = Calibration.fit(np.append(mine, others), np.arange(4200) < 200, 1000)
    shared = others[800]
    assert calibration.val([0.29, 0.3, 1.0]).tolist() == [0.0, 1.0, 1.0]
    below, there = calibration.far([shared - 1e-6, shared])  # true: 0.2 and 0.5; a table
    assert below < 0.21
    assert there > 0.5 / 1.34


def test_strangers_at_one_distance_are_refused() -> None:
    distances, same = np.full(200, 2.0), np.arange(200) < 100
    distances[same] = np.linspace(0.1, 0.5, 100)
    distances[np.flatnonzero(~same)[:45]] = np.linspace(2.1, 3.0, 45)  # the farther ones may differ
    with pytest.raises(UserError, match=r"half of the strangers' pairs are at one distance, 2\.000"):
        Calibration.fit(distances, same, 20)


def test_rates_are_counted() -> None:
    distances, same = drawn(40_000)
    assert Calibration.fit(distances, same, 100).finest_rate == pytest.approx(10 / 4_950)  # pairs of people
    calibration = Calibration.fit(distances, same, 1_000)
    assert calibration.finest_rate == pytest.approx(10 / 30_000)
    for at in (0.6, 0.8, 1.0, 1.2):
        assert calibration.far([at])[0] == pytest.approx((distances[~same] <= at).mean(), rel=0.05)
        assert calibration.val([at])[0] == pytest.approx((distances[same] <= at).mean(), abs=0.005)
    assert calibration.far([4.0])[0] == calibration.val([4.0])[0] == 1
    assert calibration.val([0.0])[0] == 0


def test_the_tail_below_what_pairs_show_is_a_continuation() -> None:
    """Strangers are normal here, so that the true tail is known: within a factor of three, 30 times below."""
    from scipy.stats import norm

    calibration = Calibration.fit(*drawn(80_000), people=500)
    for rate in (1e-2, 1e-3, 1e-4, 1e-5):
        at = calibration.distance_at(rate)
        assert calibration.far([at])[0] == pytest.approx(rate, rel=1e-6)
        true = norm.cdf(at, 1.25, np.sqrt(0.05))
        assert rate / 3 < true < rate * 3
    falling = calibration.far(np.linspace(0, 1.0, 200))
    assert (np.diff(falling) >= 0).all()
    assert calibration.distance_at(0) == 0.0
    assert 0 < calibration.distance_at(1e-300) < 1e-3


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_card_holds_everything(method: Method) -> None:
    calibration = Calibration.fit(*drawn(4_000), people=30, method=method)
    card = calibration.into_card({"sha256": "a", "crop": 1.0})
    read = Calibration.of_card(json.loads(json.dumps(card)))
    assert read == calibration
    assert len(json.dumps(card["calibration"])) < 20_000
    assert Calibration.of_card(card | {"sha256": "of other weights"}) is None
    assert Calibration.of_card({"sha256": "a"}) is None


@pytest.mark.parametrize("broken", [{"far": 3}, {"true_accepts": [[1]]}, {"log_odds": [[0, "x"]]}, {"people": None}])
def test_a_card_that_cannot_be_read_is_said(broken: dict[str, object]) -> None:
    card = Calibration.fit(*drawn(4_000), people=30).into_card({"sha256": "a"})
    damaged = card["calibration"] | broken
    if "far" in broken:
        del damaged["false_accepts"]
    with pytest.raises(UserError, match=r"calibrate\.py"):
        Calibration.of_card(card | {"calibration": damaged})


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(UserError, match="received 19 and 60"):
        Calibration.fit(np.linspace(0, 2, 79), np.arange(79) < 19, 4)
    few = Calibration.fit(np.linspace(0, 2, 80), np.arange(80) < 20, 4)  # four people are six pairs
    assert 0 < few.distance_at(1e-3) < few.distance_at(few.finest_rate)


def test_one_to_many() -> None:
    assert one_to_many(0.01, 1) == one_to_many(0.01, 0) == pytest.approx(0.01)
    one = one_to_many(0.01, 1000)
    assert 1 - (1 - one) ** 1000 == pytest.approx(0.01)
    assert one_to_many(1e-9, 10**6) == pytest.approx(1e-15, rel=1e-6)  # where 1 - (1 - f) would have no digits left


def test_both_kinds_weigh_a_half() -> None:
    same = np.array([True, False, False, False])
    assert even_weights(same) == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])


def test_distances_that_say_nothing_leave_even_odds():
    """By chance the same pairs are the farther ones: nearness must not speak against a person."""
    distances = np.concatenate([np.linspace(1.0, 3.0, 30), np.linspace(0.5, 2.5, 30)])
    found = Calibration.fit(distances, np.arange(60) < 30, 8, "platt")
    assert found.probability([0.0, 1.0, 4.0]) == pytest.approx([0.5, 0.5, 0.5])
    isotonic = Calibration.fit(distances, np.arange(60) < 30, 8, "isotonic")
    assert (np.diff(isotonic.probability(np.linspace(0, 4, 50))) <= 1e-12).all()
