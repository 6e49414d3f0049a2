"""What befalls a share of the images: how strong it is at the ends of its draws, and in which order it comes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nets.changes import CHANGES, DRAWS, degraded
from nets.degradation import blurred, compressed, resampled

NOTHING = dict.fromkeys(CHANGES, 0.0)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("setting", "change", "ends"),
    [
        ("blur", blurred, (0.005 * 40, 0.016 * 40)),  # shares of the height
        ("low_resolution", resampled, (0.2, 0.6)),
        ("noise", compressed, (10.0, 60.0)),
    ],
)
def test_draws_reach_from_end_to_end(setting: str, change: Callable[..., Any], ends: tuple[float, float]) -> None:
    for draw, end in enumerate(ends):
        draws = np.full((2, len(DRAWS)), draw, np.float32)
        found = np.asarray(degraded(IMAGES, draws, NOTHING | {setting: 1.0}))
        np.testing.assert_allclose(found, change(IMAGES, np.full(2, end, np.float32)), atol=1e-2)


@pytest.mark.parametrize(("draw", "size"), [(0, (6, 7)), (1, (18, 22))])
def test_the_smallest_and_the_largest_patch(draw: int, size: tuple[int, int]) -> None:
    draws = np.full((2, len(DRAWS)), draw, np.float32)
    found = np.asarray(degraded(IMAGES, draws, NOTHING | {"patches": 1.0}))
    assert found.shape == IMAGES.shape
    covered = (found[0] == 255.0 * draw).all(axis=-1)
    assert (covered.any(axis=1).sum(), covered.any(axis=0).sum()) == size


def test_a_photo_is_blurred_shrunk_compressed_and_then_covered() -> None:
    draws = np.random.default_rng(1).random((2, len(DRAWS)), np.float32)
    expected: Any = IMAGES
    for setting in ("blur", "low_resolution", "noise", "patches"):
        expected = degraded(expected, draws, NOTHING | {setting: 1.0})
    np.testing.assert_allclose(degraded(IMAGES, draws, dict.fromkeys(CHANGES, 1.0)), expected, atol=1e-3)
