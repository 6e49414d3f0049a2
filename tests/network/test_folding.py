"""BatchNorm folded for use: the same outputs, of every trunk and of networks that are no facenet; when it is done."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from nets.facenet import TRUNKS, facenet
from nets.folding import folded
from tests.network.references import randomised
from utils.embedder import FEW, Embedder

ROUNDING = 5e-5  # of noise, whose small variances enlarge it; of faces it is 2e-7
# of each block, and the last
NORMS_BEFORE_A_LAYER = {"iresnet18": 9, "iresnet50": 25}


def norms(network: keras.Model) -> int:
    return sum(isinstance(layer, layers.BatchNormalization) for layer in network.layers)


def images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize("backbone", TRUNKS)
def test_a_folded_trunk_gives_the_same_embeddings(backbone: str) -> None:
    keras.utils.set_random_seed(0)
    network = randomised(facenet((80, 96, 3), backbone=backbone, mode="predict"), 255)
    copy, photos = folded(network), images(2, 80, 96, 3)
    expected = np.asarray(network(photos, training=False))
    np.testing.assert_allclose(np.asarray(copy(photos, training=False)), expected, atol=ROUNDING)
    assert np.square(expected[0] - expected[1]).sum() > 1e-3  # they are told apart, so the weights matter
    assert norms(copy) == NORMS_BEFORE_A_LAYER.get(backbone, 0)
    assert norms(network) > norms(copy)


def _plain(x: Any) -> Any:
    x = layers.Conv2D(5, 3, use_bias=True, bias_initializer="random_normal")(x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(x)
    x = layers.BatchNormalization(center=False, epsilon=0.1)(x)
    x = layers.Conv2D(4, 1, use_bias=False, groups=2)(x)
    x = layers.BatchNormalization(axis=3)(x)
    return layers.BatchNormalization()(layers.Dense(3)(layers.Flatten()(x)))


def _seen_twice(x: Any) -> Any:
    x = layers.Conv2D(4, 3)(x)
    return layers.Flatten()(layers.Add()([x, layers.BatchNormalization()(x)]))


def _seen_by_an_operation(x: Any) -> Any:
    x = layers.Conv2D(4, 3)(x)
    return layers.Flatten()(keras.ops.relu(x) + layers.BatchNormalization()(x))


def _activated(x: Any) -> Any:
    return layers.Flatten()(layers.BatchNormalization()(layers.Conv2D(4, 3, activation="tanh")(x)))


def _called_twice(x: Any) -> Any:
    convolution = layers.Conv2D(3, 3, padding="same")
    x = layers.BatchNormalization()(convolution(x))
    return layers.Flatten()(layers.BatchNormalization()(convolution(x)))


def _over_rows(x: Any) -> Any:
    return layers.Flatten()(layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(x)))


def _behind_a_network(x: Any) -> Any:
    inner = keras.Input((8, 8, 3))
    return layers.Flatten()(layers.BatchNormalization()(keras.Model(inner, layers.Conv2D(4, 3)(inner))(x)))


@pytest.mark.parametrize(
    ("build", "left"),
    [
        *((_plain, 0), (_seen_twice, 1), (_seen_by_an_operation, 1), (_activated, 1), (_called_twice, 2)),
        *((_over_rows, 1), (_behind_a_network, 1)),
    ],
)
def test_any_network_gives_the_same_and_what_cannot_be_folded_stays(build: Callable[[Any], Any], left: int) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    network = randomised(keras.Model(inputs, build(inputs)))
    copy, photos = folded(network), images(2, 8, 8, 3) / 255
    expected = np.asarray(network(photos, training=False))
    np.testing.assert_allclose(np.asarray(copy(photos, training=False)), expected, rtol=1e-4, atol=1e-5)
    assert norms(copy) == left


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return randomised(facenet((80, 96, 3), mode="predict", alpha=0.25), 255)


def test_a_loaded_embedder_folds_when_there_is_much_to_embed(network, tmp_path, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr("nets.folding.folded", lambda whole: calls.append(whole) or folded(whole))
    Embedder(network, {"crop": 1.0}).save(tmp_path / "m.keras")
    loaded, photos = Embedder.load(tmp_path / "m.keras"), images(FEW + 3, 80, 96, 3).astype(np.uint8)
    found = [loaded.embed_images(photos[:FEW])]
    assert not calls
    found += [loaded.embed_images(photos[FEW:]), loaded.embed_images(photos[:1])]
    assert calls == [loaded.network]
    expected = np.asarray(network(photos, training=False))
    np.testing.assert_allclose(np.concatenate(found), np.concatenate([expected, expected[:1]]), atol=ROUNDING)
    assert norms(loaded.network) == norms(network)  # to learn from it, it is as it was saved


def test_an_embedder_that_learns_is_never_folded(network) -> None:
    embedder, photos = Embedder(network, {"crop": 1.0}), images(FEW + 3, 80, 96, 3).astype(np.uint8)
    before = embedder.embed_images(photos)
    norm = network.get_layer("conv_pw_13_bn")
    norm.beta.assign(norm.beta + np.linspace(-3, 3, norm.beta.shape[0]))
    after = embedder.embed_images(photos)
    np.testing.assert_allclose(after, np.asarray(network(photos, training=False)), atol=ROUNDING)
    assert np.abs(after - before).max() > 0.01
