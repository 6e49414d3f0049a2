"""What an epoch's figures are said to mean."""

import math
from dataclasses import asdict
from typing import Any

import pytest

from train import Settings
from utils.advice import FROM_NOTHING, advice, few_people, other_faces

HEALTHY = {"different_distance": 1.9, "same_distance": 0.8, "effective_rank": 40.0, "cross_entropy": 4.0}


@pytest.mark.parametrize(
    ("figures", "steps", "words"),
    [
        ({}, 1000, ""),
        ({"different_distance": 0.001}, 10, "collapse: strangers are 0.001 apart"),
        ({"effective_rank": 2.5}, 10, "over 2.5 directions only"),
        ({"own_cosine": 0.01, "cross_entropy": math.log(1000)}, 1000, "the margin head is stuck"),
        ({"own_cosine": 0.01, "cross_entropy": math.log(1000)}, 100, ""),  # it has not begun
        ({"own_cosine": 0.38, "cross_entropy": 10.2}, 1000, ""),  # with its margin, above chance while it learns
        ({"cross_entropy": 9.0}, 1000, ""),  # plain softmax has no margin to be stuck at
    ],
)
def test_what_is_wrong_is_said_and_what_to_change(figures: dict[str, float], steps: int, words: str) -> None:
    lines = advice(HEALTHY | figures, 1000, steps, asdict(Settings()))
    assert len(lines) == (words != "")
    assert words in " ".join(lines)
    assert not lines or "--" in lines[0]


@pytest.mark.parametrize("figures", [{"different_distance": 0.001}, {"effective_rank": 2.5}, {"own_cosine": 0.01}])
def test_what_is_so_already_is_not_advised(figures: dict[str, float]) -> None:
    assert "--warmup" not in advice(HEALTHY | figures, 1000, 1000, asdict(Settings()))[0]
    assert "--warmup 0.1" in advice(HEALTHY | figures, 1000, 1000, asdict(Settings(warmup=0.0)))[0]


def test_a_collapse_is_laid_to_the_margin_of_triplets_only() -> None:
    collapsed = HEALTHY | {"different_distance": 0.001}
    triplets = asdict(Settings(metric_loss="batch_hard"))
    assert "at its margin" in advice(collapsed, 1000, 10, triplets)[0]
    for others in (Settings(), Settings(metric_loss="batch_hard", metric_weight=0.0)):
        (line,) = advice(collapsed, 1000, 10, asdict(others))
        assert "margin" not in line
        assert "contrastive" not in line


@pytest.mark.parametrize(("people", "measured"), [(2, 5), (5, 5), (6, 20), (100, 100)])
def test_few_people_are_told_what_as_many_or_more_gave(people: int, measured: int) -> None:
    line = few_people(people, from_weights=False)
    assert line is not None
    assert f"{measured} people with 10 photos each" in line
    assert f"accuracy of {FROM_NOTHING[measured]:.2f}" in line
    assert "identify.py enroll" in line


def test_more_people_and_those_who_start_from_weights_are_told_nothing() -> None:
    assert few_people(101, from_weights=False) is None
    assert few_people(5, from_weights=True) is None


def card(alignment: str | None, crop: float, size: int) -> dict[str, Any]:
    return {"alignment": alignment, "crop": crop, "input_size": [size, size]}


RELEASED = card("landmarks-128-8", 0.875, 112)


@pytest.mark.parametrize("own", [RELEASED, card("landmarks-160-0", 1.0, 112), card(None, 1.0, 160)])
def test_weights_that_know_such_faces_or_may(own: dict[str, Any]) -> None:
    assert other_faces(RELEASED, own) is None


@pytest.mark.parametrize(
    "own", [card("landmarks-160-0", 1.0, 160), card("landmarks-128-8", 1.0, 112), card("box-160-32", 1.0, 112)]
)
def test_weights_that_know_other_faces(own: dict[str, Any]) -> None:
    line = other_faces(RELEASED, own)
    assert line is not None
    assert "as landmarks-128-8 --crop 0.875 --input_size 112 shows them" in line
    assert f"not as {own['alignment']} --crop {own['crop']:g} --input_size {own['input_size'][0]}" in line


def test_weights_without_a_card_are_not_spoken_of() -> None:
    assert other_faces({"crop": 1.0}, RELEASED) is None
