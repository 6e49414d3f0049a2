"""Statistics taken anew are the plain averages over the batches, and put right what momentum left behind."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import train
from nets import building
from nets.facenet import embedder_of, facenet
from nets.layers import BatchNorm
from utils.batchnorm import Statistics
from utils.embedder import Embedder


def test_statistics_are_the_averages_over_the_batches():
    inputs = keras.Input((4, 4, 3))
    network = keras.Model(inputs, BatchNorm(momentum=0.99)(inputs))
    random = np.random.default_rng(0)
    batches = [random.normal(loc=k, scale=1 + k, size=(8, 4, 4, 3)).astype("float32") for k in range(5)]
    Statistics(network).take(batches)
    layer = network.layers[1]
    means, variances = ([f(batch, axis=(0, 1, 2)) for batch in batches] for f in (np.mean, np.var))
    assert np.asarray(layer.moving_mean) == pytest.approx(np.mean(means, axis=0), rel=1e-4, abs=1e-5)
    assert np.asarray(layer.moving_variance) == pytest.approx(np.mean(variances, axis=0), rel=1e-4)
    assert layer.momentum == 0.99


def test_a_fresh_network_gives_unit_vectors_afterwards():
    network = facenet((80, 80, 3), mode="predict", alpha=0.25)
    images = np.random.default_rng(0).integers(0, 256, (16, 80, 80, 3)).astype(np.uint8)
    before = np.linalg.norm(np.asarray(network(images, training=False)), axis=1)
    Statistics(network).take([images, images[::-1]])
    after = np.asarray(network(images, training=False))
    assert before.max() < 0.5  # the signal dies on its way through the initial statistics
    assert np.linalg.norm(after, axis=1) == pytest.approx(np.ones(16), abs=1e-4)
    assert np.std(after, axis=0).mean() > 1e-3


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_it_stays_as_the_weights_one_starts_from_have_it(tmp_path: Path, frozen: bool):
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8), np.arange(8, dtype=np.int32) // 2
    start = Embedder(facenet((32, 32, 3), mode="predict"), {"backbone": "mobilenet"})
    Statistics(start.network).take([images])  # a fresh network's gradients would be 0
    start.save(tmp_path / "start.keras")
    settings = train.Settings(model_path=str(tmp_path / "start.keras"), input_size=32, frozen_batchnorm=frozen)
    network = building.build_network(settings, people=4)
    trained = embedder_of(network)
    before = {weight.path: weight.numpy() for weight in trained.weights}
    trainer, _ = building.build_trainer(replace(settings, warmup=0), network, 4, steps_per_epoch=1)
    trainer.train_on_batch(images, labels)
    Statistics(trained).take([images])
    moved = {weight.path for weight in trained.weights if not np.array_equal(weight.numpy(), before[weight.path])}
    own = {weight.path for layer in trained.layers if isinstance(layer, BatchNorm) for weight in layer.weights}
    assert moved == set(before) - (own if frozen else set())
