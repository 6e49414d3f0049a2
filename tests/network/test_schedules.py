"""Learning rates against their formulas."""

import math

import numpy as np
import pytest

from utils.schedules import SCHEDULES


def rates(name: str, rate: float, steps: int, warmup: int) -> np.ndarray:
    schedule = SCHEDULES[name](rate, steps, warmup)
    return np.array([float(np.asarray(schedule(step))) for step in range(steps)])


def test_cosine_is_the_formula():
    found = rates("cos", 2e-3, 200, 0)
    expected = [2e-3 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * t / 200))) for t in range(200)]
    assert found == pytest.approx(expected, rel=1e-4)


def test_warmup_rises_in_a_line_to_the_rate_that_was_typed():
    found = rates("cos", 1e-3, 100, 20)
    assert found[:21] == pytest.approx(np.linspace(0, 1e-3, 21), abs=1e-9)
    assert found.max() == pytest.approx(1e-3)
    assert found[-1] < 2e-5


def test_step_falls_to_a_hundredth_in_ten_stairs():
    found = rates("step", 1e-2, 100, 0)
    assert len(np.unique(found)) == 10
    assert found[0] == pytest.approx(1e-2)
    assert found[-1] == pytest.approx(1e-4, rel=1e-4)
    assert (np.diff(found) <= 0).all()
    assert (found[:10] == found[0]).all()
