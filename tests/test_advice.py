"""What an epoch's figures are said to mean."""

import math

import pytest

from utils.advice import advice

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
    lines = advice(HEALTHY | figures, 1000, steps)
    assert len(lines) == (words != "")
    assert words in " ".join(lines)
    assert not lines or "--" in lines[0]
