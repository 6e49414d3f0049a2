"""A small embedder of drawn faces, for tests of what is done with one: it takes a second to build and to convert."""

from pathlib import Path

import keras
import numpy as np

from nets.layers import BatchNorm
from utils.calibration import Calibration
from utils.embedder import Embedder

THRESHOLDS = {"best_accuracy": {"threshold": 1.1, "far": 0.02, "val": 0.9}, "data": "drawn", "pairs": 600}


def photos(embedder: Embedder, folder: Path) -> np.ndarray:
    """Returns the photos of a folder of people as the embedder sees them."""
    return np.stack([embedder.read(path) for path in sorted(folder.glob("*/*.jpg"))])


def save_small_embedder(people: Path, path: Path) -> Path:
    """Writes an embedder with the statistics of drawn people, thresholds and a calibration, and returns `path`."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = inputs = keras.Input((32, 32, 3))
    for layer in (
        layers.Rescaling(1 / 127.5, offset=-1.0),
        layers.Conv2D(8, 3, 2, use_bias=False),
        BatchNorm(momentum=0.0),
        layers.ReLU(6.0),
        layers.DepthwiseConv2D(3, 2),
        layers.Flatten(),
        layers.Dense(24, use_bias=False),
        BatchNorm(momentum=0.0, scale=False),
        layers.UnitNormalization(dtype="float32"),
    ):
        x = layer(x)
    embedder = Embedder(keras.Model(inputs, x), {"backbone": "small", "crop": 0.9})
    embedder.network(photos(embedder, people), training=True)
    embedder.save(path)
    random = np.random.default_rng(0)
    distances = np.concatenate([random.beta(2, 12, 400) * 4, random.beta(9, 9, 4000) * 4])
    calibration = Calibration.fit(distances, np.arange(4400) < 400, people=40)
    embedder.card = calibration.into_card(embedder.card)
    embedder.store_thresholds(THRESHOLDS)
    return path
