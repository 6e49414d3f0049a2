"""Our depthwise layer is Keras's: outputs, gradients, files; under JAX it computes another way."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import nets.layers
from nets.layers import Depthwise
from tests.network.differentiation import gradient
from tests.network.on_jax import assert_pass_on_jax

ON_JAX = keras.backend.backend() == "jax"
CASES = [  # height, width, stride, kernel
    *((14, 9, 1, 3), (15, 8, 2, 3), (16, 7, 2, 3), (7, 7, 1, 5), (9, 10, 3, 2)),
    *((2, 3, 2, 3), (1, 1, 2, 3), (5, 4, 3, 1)),  # smaller than the kernel or the stride
]


def pair(height: int, width: int, stride: int, size: int, **options: Any) -> tuple[Any, Any, np.ndarray]:
    """Ours and Keras's with the same weights, and images (2, H, W, 4)."""
    images = np.random.default_rng(0).normal(size=(2, height, width, 4)).astype(np.float32)
    ours, reference = (
        kind(size, strides=stride, padding="same", bias_initializer="normal", **options)
        for kind in (Depthwise, layers.DepthwiseConv2D)
    )
    for layer in (ours, reference):
        layer.build(images.shape)
    reference.set_weights(ours.get_weights())
    return ours, reference, images


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_and_gradients_are_those_of_keras(case: tuple[int, int, int, int]) -> None:
    ours, reference, images = pair(*case)
    expected = np.asarray(reference(images))
    np.testing.assert_allclose(np.asarray(ours(images)), expected, atol=1e-5)
    weights = np.random.default_rng(1).normal(size=expected.shape).astype(np.float32)

    def of_images(layer: Any) -> np.ndarray:
        return gradient(lambda at: keras.ops.sum(weights * layer(at) ** 2), images)

    def of_kernel(layer: Any) -> np.ndarray:
        def loss(kernel: Any) -> Any:
            outputs, _ = layer.stateless_call([kernel, layer.bias.value], [], images)
            return keras.ops.sum(weights * outputs**2)

        return gradient(loss, np.asarray(layer.kernel))

    np.testing.assert_allclose(of_images(ours), of_images(reference), atol=1e-4)
    if ON_JAX:  # under TensorFlow, where the path is Keras's anyway, a stateless call has no gradient
        np.testing.assert_allclose(of_kernel(ours), of_kernel(reference), atol=1e-3)


@pytest.mark.parametrize(
    "options", [{}, {"depth_multiplier": 2}, {"dilation_rate": 2}, {"activation": "relu"}, {"use_bias": False}], ids=str
)
def test_every_option_gives_what_keras_gives(options: dict[str, Any]) -> None:
    ours, reference, images = pair(9, 8, 1, 3, **options)
    np.testing.assert_allclose(np.asarray(ours(images)), np.asarray(reference(images)), atol=1e-5)


def test_only_jax_takes_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    shifted = nets.layers.shifted_sum
    monkeypatch.setattr(nets.layers, "shifted_sum", lambda *arguments: taken.append(1) or shifted(*arguments))
    ours, _, images = pair(9, 8, 1, 3)
    ours(images)
    assert bool(taken) == ON_JAX


def test_bfloat16_keeps_its_type_and_adds_up_in_float32() -> None:
    ours, reference, images = pair(9, 8, 2, 3, dtype="mixed_bfloat16")
    outputs, expected = ours(images), reference(images)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    outputs, expected = (np.asarray(keras.ops.cast(x, "float32")) for x in (outputs, expected))
    np.testing.assert_allclose(outputs, expected, atol=0.03)


def test_it_is_saved_and_loaded_and_takes_images_of_any_size(tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, Depthwise(3, strides=2, padding="same", name="depthwise")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("depthwise"), Depthwise)
    for size in (5, 8):
        images = np.random.default_rng(0).normal(size=(2, size, size + 1, 4)).astype(np.float32)
        outputs = np.asarray(loaded(images))
        assert outputs.shape == (2, -(-size // 2), -(-(size + 1) // 2), 4)
        np.testing.assert_allclose(outputs, np.asarray(model(images)), atol=1e-6)


@pytest.mark.skipif(ON_JAX, reason="runs itself")
def test_all_of_it_holds_under_jax() -> None:
    assert_pass_on_jax(__file__)
