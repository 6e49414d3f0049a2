"""What holds for every trunk of the table: a new one is tested as soon as its line is there."""

from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from nets.facenet import SMALLEST_INPUT, SMALLEST_OTHER, TRUNKS, facenet
from tests.network.references import randomised
from utils import train_checks

# iresnet50 is iresnet18's builder with a longer table, and slow
trunks = pytest.mark.parametrize("backbone", [name for name in TRUNKS if name != "iresnet50"])


def embedder(backbone: str, shape: tuple[int, int, int] = (96, 112, 3)) -> keras.Model:
    """Not square, the smallest side that is promised."""
    return _embedder(backbone, shape)


@cache
def _embedder(backbone: str, shape: tuple[int, int, int]) -> keras.Model:
    keras.utils.set_random_seed(0)
    return randomised(facenet(shape, backbone=backbone, mode="predict"), brightest=255)


def noise(shape: tuple[int, int, int] = (96, 112, 3), number: int = 3) -> np.ndarray:
    """uint8 images, each of other contrast."""
    random = np.random.default_rng(0)
    contrast = np.linspace(0.3, 1, number).reshape(-1, 1, 1, 1)
    return (random.integers(0, 256, (number, *shape)) * contrast).astype(np.uint8)


@trunks
def test_embeddings_have_unit_length_and_differ(backbone: str) -> None:
    embeddings = np.asarray(embedder(backbone)(noise()))
    assert embeddings.shape == (3, 128)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(embeddings[0] - embeddings[2]) > 0.1


@trunks
def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(backbone: str) -> None:
    network = embedder(backbone)
    np.testing.assert_allclose(np.asarray(network(noise()))[1:2], network(noise()[1:2]), atol=1e-5)


@trunks
def test_bytes_and_numbers_give_the_same(backbone: str) -> None:
    network = embedder(backbone)
    np.testing.assert_allclose(network(noise()), network(np.float32(noise())), atol=1e-5)


@trunks
def test_odd_sides_serve_too(backbone: str) -> None:
    embeddings = np.asarray(embedder(backbone, (97, 131, 3))(noise((97, 131, 3))))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


@trunks
def test_saved_and_loaded_it_is_the_same(backbone: str, tmp_path: Path) -> None:
    network = embedder(backbone)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    assert [w.path for w in loaded.weights] == [w.path for w in network.weights]
    np.testing.assert_allclose(loaded(noise()), network(noise()), atol=1e-6)


@trunks
def test_training_lowers_the_loss_and_every_weight_has_a_part_in_it(backbone: str) -> None:
    """At the smallest size that is promised; no weight hangs loose, none is behind a dead end."""
    keras.utils.set_random_seed(0)
    side = SMALLEST_INPUT.get(backbone, SMALLEST_OTHER)
    shape = (side, side, 3)
    network = facenet(shape, num_classes=4, backbone=backbone, dropout=0.0)
    images, labels = noise(shape, 4), np.arange(4)
    before = {v.path: np.asarray(v) for v in network.weights}
    loss = {"Softmax": "sparse_categorical_crossentropy", "Embedding": None}
    network.compile(keras.optimizers.SGD(0.01), loss=loss, jit_compile=False)
    fitted = network.fit(images, {"Softmax": labels}, batch_size=4, epochs=5, verbose=0)
    still = [v.path for v in network.weights if np.array_equal(before[v.path], np.asarray(v))]
    assert still == []
    assert fitted.history["loss"][-1] < 0.5 * fitted.history["loss"][0]


@trunks
def test_train_and_the_network_agree_on_the_smallest_input(backbone: str) -> None:
    """train.py refuses a size before Keras is imported, so it has a table of its own."""
    side = SMALLEST_INPUT.get(backbone, SMALLEST_OTHER)
    assert side == train_checks.SMALLEST.get(backbone, train_checks.SMALLEST_OTHER)
    with pytest.raises(ValueError, match=f"sides of {side} or more"):
        facenet((side, side - 1, 3), backbone=backbone, mode="predict")


@trunks
def test_statistics_follow_the_batches_as_fast_as_the_sources_have_it(backbone: str) -> None:
    """Keras's applications, davidsandberg/facenet, ArcFace's networks; the bottleneck is facenet's."""
    norms = {
        layer.name: layer for layer in embedder(backbone).layers if isinstance(layer, keras.layers.BatchNormalization)
    }
    bottleneck = norms.pop("BatchNorm_Bottleneck")
    assert (bottleneck.momentum, bottleneck.epsilon) == (0.995, 0.001)
    expected = {"mobilenet": (0.99, 1e-3), "inception_resnet_v1": (0.995, 1e-3), "mobilefacenet": (0.9, 1e-3)}
    found = {(layer.momentum, layer.epsilon) for layer in norms.values()}
    assert found == {expected.get(backbone, (0.9, 1e-5))}


@trunks
def test_layers_without_a_name_hold_no_weights(backbone: str) -> None:
    """Weights files match by name; a counted name (conv2d_7) changes with what was built before."""

    def names(network: Any) -> list[str]:
        return [layer.name for layer in network.layers if layer.weights]

    assert names(embedder(backbone)) == names(facenet((96, 96, 3), backbone=backbone, mode="predict"))
