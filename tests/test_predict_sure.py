"""predict.py with an embedder that was calibrated."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from predict import Settings, compare
from tests.test_predict import FakeEmbedder
from utils.calibration import Calibration
from utils.comparison import Photo


def test_a_calibration_in_the_card_says_how_sure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It goes before the thresholds, with embeddings made as it was measured."""
    rng = np.random.default_rng(0)
    distances = np.concatenate((rng.uniform(0, 0.9, 300), rng.uniform(0.7, 3, 3000)))
    fitted = Calibration.fit(distances, np.arange(3300) < 300, 50)
    embedder = FakeEmbedder()
    embedder.card = dataclasses.replace(fitted, about={"flip": "sum"}).into_card({"sha256": "a"})
    photos = [Photo(f"{red}.png", np.full((30, 40, 3), (red, 0, 0), np.uint8)) for red in (250, 90)]
    settings = Settings(show=False, save_path=str(tmp_path / "c.png"))
    verdict = compare(embedder, (photos[0], photos[1]), settings)  # type: ignore[arg-type]
    nearer = np.mean(distances[:300] < distances[300:].min())  # than all 3,000 strangers: so sure can they make
    assert verdict.probability == pytest.approx(nearer / (nearer + 1 / 3001))
    assert embedder.flips == ["sum"]
    assert "the same person, over 99.9%; fewer than 1 in" in capsys.readouterr().out
