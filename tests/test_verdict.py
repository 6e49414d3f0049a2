"""The words of the verdict: probabilities where there is a calibration, else thresholds."""

import dataclasses
from typing import Any

import pytest

from tests.samples import WEAK
from utils.calibration import Calibration
from utils.verdict import basis, decide, one_in, percent

STRONG = WEAK | {"best_accuracy": {"threshold": 0.7, "far": 0.005, "val": 0.985}}
STRONG["far_1e-2"] = {"threshold": 0.83, "far": 0.0097, "val": 0.99}
SMALL = {"best_accuracy": {"threshold": 0.9, "far": 0.0, "val": 1.0}, "data": "drawn", "pairs": 60}


@pytest.mark.parametrize(
    ("distance", "thresholds", "same", "text"),
    [
        (0.60, WEAK, True, "the same person, at a false-accept rate of 1 in 1,000"),
        (0.61, WEAK, True, "the same person, at a false-accept rate of 1 in 100"),  # accepted is what is below
        (0.82, WEAK, True, "the same person, at a false-accept rate of 1 in 100"),
        (0.83, WEAK, True, "probably the same person, at a false-accept rate of 1 in 8"),
        (1.10, WEAK, False, "different people, at a false-reject rate of 1 in 5"),
        (4.00, WEAK, False, "different people, at a false-reject rate of 1 in 5"),
        (0.60, STRONG, True, "the same person, at a false-accept rate of 1 in 1,000"),
        (0.65, STRONG, True, "the same person, at a false-accept rate of 1 in 200"),
        (0.75, STRONG, True, "the same person, at a false-accept rate of 1 in 100"),
        (0.90, STRONG, False, "different people, at a false-reject rate of 1 in 100"),
        (0.50, SMALL, True, "the same person; no strangers measured were as near"),
        (0.95, SMALL, False, "different people; no photos of one person measured were as far apart"),
        (0.50, None, None, "no verdict without stored thresholds"),
        (0.50, {}, None, "no verdict without stored thresholds"),
    ],
)
def test_the_verdict_names_the_strictest_rate_that_holds(
    distance: float, thresholds: dict[str, Any] | None, same: bool | None, text: str
) -> None:
    verdict = decide(distance, thresholds)
    assert (verdict.same, verdict.text) == (same, text)
    assert str(verdict) == f"distance {distance:.2f} (cosine {1 - distance / 2:.2f}): {text}"


def test_what_the_verdicts_rest_on() -> None:
    assert basis(WEAK) == (
        "thresholds measured on 6,000 pairs (model_data/lfw_pairs.txt of lfw):"
        " 0.61 for 1 in 1,000, 0.83 for 1 in 100, 1.10 for best accuracy"
    )
    assert basis(None) == ""
    assert [one_in(rate) for rate in (0.001, 0.01, 0.2, 0.25)] == ["1 in 1,000", "1 in 100", "1 in 5", "25%"]


MEASURED = Calibration(
    method="platt",
    people=40,
    same_pairs=1_000,
    different_pairs=100_000,
    log_odds=((0.0, 10.0), (1.0, 0.0), (2.0, -10.0)),
    false_accepts=((0.5, 1e-4), (0.75, 1e-3), (1.0, 1e-2), (4.0, 1.0)),
    true_accepts=((0.0, 0.0), (1.0, 0.8), (1.5, 1.0)),
    about={"data": "drawn", "ece": 0.0123},
)


@pytest.mark.parametrize(
    ("distance", "same", "text"),
    [
        (0.2, True, "the same person, over 99.9%; fewer than 1 in 10,000 pairs of strangers are as near"),
        (0.5, True, "the same person, 99.3%; 1 in 10,000 pairs of strangers are as near"),
        (0.65, True, "the same person, 97%; 1 in 2,512 pairs of strangers are as near"),
        (0.75, True, "probably the same person, 92%; 1 in 1,000 pairs of strangers are as near"),
        (1.0, True, "probably the same person, 50%; 1 in 100 pairs of strangers are as near"),
        (1.05, False, "probably different people, 62%; 1 in 6 pairs of one person are as far apart"),
        (1.4, False, "different people, 98%; 1 in 25 pairs of one person are as far apart"),
        (2.0, False, "different people, over 99.9%; fewer than 1 in 1,000 pairs of one person are as far apart"),
    ],
)
def test_a_calibration_gives_probabilities(distance: float, same: bool, text: str) -> None:
    verdict = decide(distance, WEAK, calibration=MEASURED)
    assert (verdict.same, verdict.text) == (same, text)
    assert verdict.probability == pytest.approx(float(MEASURED.probability(distance)))


def test_no_face_no_probability() -> None:
    assert decide(0.2, WEAK, faceless=True, calibration=MEASURED).probability is None
    assert decide(0.2, WEAK).probability is None


def test_what_probabilities_rest_on() -> None:
    start = "probabilities at even odds, measured on 1,000 same and 100,000 different pairs of 40 people (drawn)"
    assert basis(WEAK, MEASURED) == f"{start}; they are off by 1.2% on average"
    assert basis(None, dataclasses.replace(MEASURED, about={"data": "drawn"})) == start


def test_nothing_is_certain() -> None:
    assert [percent(p) for p in (0.5, 0.949, 0.99, 0.9989, 0.9999, 1.0)] == [
        "50%",
        "95%",
        "99.0%",
        "99.9%",
        "over 99.9%",
        "over 99.9%",
    ]
