"""Targets made of a teacher's embeddings: against NumPy written out, and what must not change."""

import numpy as np
import pytest

from utils import targets
from utils.settings import UserError


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def embeddings() -> np.ndarray:
    """People around a large common component, as dlib's; row 3 could not be read."""
    random = np.random.default_rng(0)
    people = np.repeat(random.normal(size=(10, 12)), 5, axis=0)
    vectors = unit(people + 0.3 * random.normal(size=(50, 12)) + 4.0).astype(np.float16)
    vectors[3] = 0
    return vectors


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "BLOCK", 7)  # so that the rows are several blocks


def test_spread_takes_a_share_of_the_mean_away(embeddings):
    rest = np.delete(embeddings.astype(np.float64), 3, axis=0)
    expected = unit(rest - 0.7 * rest.mean(axis=0))
    found = targets.spreading(embeddings, 0.7).of(embeddings)
    assert found.dtype == np.float16
    assert np.delete(found, 3, axis=0) == pytest.approx(expected, abs=2e-3)
    assert (found[3] == 0).all()
    assert targets.spreading(embeddings, 0.0).of(embeddings) == pytest.approx(embeddings, abs=1e-3)


def test_spread_makes_strangers_strange(embeddings):
    def strangers(vectors: np.ndarray) -> float:
        return float(((vectors[0].astype(float) - vectors[10]) ** 2).sum())

    assert strangers(targets.spreading(embeddings, 1.0).of(embeddings)) > 5 * strangers(embeddings)


def test_narrowing_keeps_as_much_as_so_few_numbers_can(embeddings):
    rest = np.delete(embeddings.astype(np.float64), 3, axis=0)
    centred = rest - rest.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    found = targets.narrowing(embeddings, 4).of(embeddings)
    assert found.shape == (50, 4)
    assert (found[3] == 0).all()
    plain = unit(centred @ directions[:4].T)
    # the same but for the signs of the directions: equal cosines
    found = np.delete(found, 3, axis=0).astype(float)
    assert found @ found.T == pytest.approx(plain @ plain.T, abs=5e-3)
    with pytest.raises(UserError, match="have 12 numbers; received 13"):
        targets.narrowing(embeddings, 13)


def test_quality_tells_a_teacher_from_noise(embeddings):
    labels = np.repeat(np.arange(10), 5)
    labels[10:15] = -1  # nobody
    noise = unit(np.random.default_rng(1).normal(size=(50, 12))).astype(np.float16)
    assert targets.quality(embeddings, labels) > 0.98
    assert 0.3 < targets.quality(noise, labels) < 0.7
    assert np.isnan(targets.quality(embeddings, np.arange(50)))


def test_directions_have_the_sign_of_their_largest_number(embeddings):
    directions = targets.narrowing(embeddings, 12).directions  # all of them are not too many
    assert directions.shape == (12, 12)
    assert (np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0) > 0).all()


def test_quality_of_hardly_any_pairs_is_not_said(embeddings):
    labels = np.repeat(np.arange(10), 5)
    labels[5:] = -1
    labels[10] = 1
    assert np.isnan(targets.quality(embeddings, labels))  # row 3 could not be read: four photos have six pairs
