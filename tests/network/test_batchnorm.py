"""Statistics taken anew are the plain averages over the batches, and put right what momentum left behind."""

import keras
import numpy as np
import pytest

from nets.facenet import facenet
from nets.layers import BatchNorm
from utils.batchnorm import reestimate


def test_statistics_are_the_averages_over_the_batches():
    inputs = keras.Input((4, 4, 3))
    network = keras.Model(inputs, BatchNorm(momentum=0.99)(inputs))
    random = np.random.default_rng(0)
    batches = [random.normal(loc=k, scale=1 + k, size=(8, 4, 4, 3)).astype("float32") for k in range(5)]
    reestimate(network, batches)
    layer = network.layers[1]
    means, variances = ([f(batch, axis=(0, 1, 2)) for batch in batches] for f in (np.mean, np.var))
    assert np.asarray(layer.moving_mean) == pytest.approx(np.mean(means, axis=0), rel=1e-4, abs=1e-5)
    assert np.asarray(layer.moving_variance) == pytest.approx(np.mean(variances, axis=0), rel=1e-4)
    assert layer.momentum == 0.99


def test_a_fresh_network_gives_unit_vectors_afterwards():
    network = facenet((80, 80, 3), mode="predict", alpha=0.25)
    images = np.random.default_rng(0).integers(0, 256, (16, 80, 80, 3)).astype(np.uint8)
    before = np.linalg.norm(np.asarray(network(images, training=False)), axis=1)
    reestimate(network, [images, images[::-1]])
    after = np.asarray(network(images, training=False))
    assert before.max() < 0.5  # the signal dies on its way through the initial statistics
    assert np.linalg.norm(after, axis=1) == pytest.approx(np.ones(16), abs=1e-4)
    assert np.std(after, axis=0).mean() > 1e-3
