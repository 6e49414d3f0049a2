"""Our BatchNorm is Keras's: outputs, statistics, gradients; whatever path it takes."""

from typing import Any

import keras
import numpy as np
import pytest

from nets.layers import BatchNorm

SHAPES = [(4, 6, 6, 3), (3, 5, 7, 1), (1, 1, 1, 5), (2, 1, 9, 8), (7, 4), (5, 6, 3)]  # rank 4, 2 and 3
OPTIONS = [{}, {"scale": False}, {"center": False, "momentum": 0.9, "epsilon": 1e-2}]


def pair(shape: tuple[int, ...], **options: Any) -> tuple[BatchNorm, keras.layers.BatchNormalization]:
    """Ours and Keras's, with the same weights, none of them the initial ones."""
    ours, reference = BatchNorm(**options), keras.layers.BatchNormalization(**options)
    random = np.random.default_rng(0)
    for layer in (ours, reference):
        layer.build(shape)
    assert [v.name for v in ours.weights] == [v.name for v in reference.weights]
    for a, b in zip(ours.weights, reference.weights, strict=True):
        values = random.uniform(0.5, 1.5, a.shape)
        a.assign(values)
        b.assign(values)
    return ours, reference


def batch(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Channels of different mean and spread."""
    random = np.random.default_rng(seed)
    spread, mean = random.uniform(0.1, 5, shape[-1]), random.normal(0, 3, shape[-1])
    return (random.normal(size=shape) * spread + mean).astype(np.float32)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_statistics_are_those_of_keras(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    ours, reference = pair(shape, **options)
    for step in range(5):
        inputs = batch(shape, seed=step)
        outputs, expected = ours(inputs, training=True), reference(inputs, training=True)
        np.testing.assert_allclose(outputs, expected, atol=1e-4, rtol=1e-4)
    for a, b in zip(ours.weights, reference.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5, err_msg=a.name)
    outputs, expected = ours(batch(shape), training=False), reference(batch(shape), training=False)
    np.testing.assert_allclose(outputs, expected, atol=1e-5, rtol=1e-5)
    assert np.any(np.abs(np.asarray(ours(batch(shape), training=True)) - np.asarray(outputs)) > 0.01)


def gradients(layer: keras.Layer, inputs: np.ndarray, training: bool) -> list[np.ndarray]:
    """Of a loss that weighs every output differently, for the inputs and the trainable weights."""
    import tensorflow as tf

    images = tf.constant(inputs)
    weights = np.float32(np.random.default_rng(9).normal(size=inputs.shape))
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(weights * layer(images, training=training) ** 2)
    return [g.numpy() for g in tape.gradient(loss, [images, *(v.value for v in layer.trainable_variables)])]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="ours is Keras's own elsewhere")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(4, 6, 6, 3), (3, 5, 7, 1), (7, 4)], ids=str)
def test_gradients_are_those_of_keras(shape: tuple[int, ...], options: dict[str, Any], training: bool) -> None:
    ours, reference = pair(shape, **options)
    found, expected = gradients(ours, batch(shape), training), gradients(reference, batch(shape), training)
    assert len(found) == 1 + len(ours.trainable_variables)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max(), rtol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="ours is Keras's own elsewhere")
@pytest.mark.parametrize("training", [True, False])
def test_images_take_the_fused_kernel(training: bool) -> None:
    import tensorflow as tf

    ours, _ = pair((4, 6, 6, 3))
    graph = tf.function(lambda images: ours(images, training=training)).get_concrete_function(batch((4, 6, 6, 3))).graph
    assert "FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}


def test_frozen_it_neither_uses_nor_changes_the_statistics_of_the_batch() -> None:
    ours, reference = pair((4, 6, 6, 3))
    ours.trainable = reference.trainable = False
    outputs, expected = ours(batch((4, 6, 6, 3)), training=True), reference(batch((4, 6, 6, 3)), training=True)
    np.testing.assert_allclose(outputs, expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(ours.moving_mean, reference.moving_mean)


@pytest.mark.parametrize(("policy", "atol"), [("mixed_bfloat16", 0.05), ("mixed_float16", 0.01)])
@pytest.mark.parametrize("training", [True, False])
def test_mixed_precision_agrees_with_keras(policy: str, atol: float, training: bool) -> None:
    shape = (8, 6, 6, 3)
    ours, reference = pair(shape, dtype=policy)
    outputs, expected = ours(batch(shape), training=training), reference(batch(shape), training=training)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    outputs, expected = (np.asarray(keras.ops.cast(x, "float32")) for x in (outputs, expected))
    np.testing.assert_allclose(outputs, expected, atol=atol, rtol=atol)
    np.testing.assert_allclose(ours.moving_variance, reference.moving_variance, rtol=0.02)
    assert ours.moving_mean.dtype == "float32"


def test_the_size_of_the_images_may_be_left_open() -> None:
    images = keras.Input((None, None, 3))
    model = keras.Model(images, BatchNorm()(images))
    assert model.output_shape == (None, None, None, 3)
    for size in (5, 8):
        assert model(batch((2, size, size + 1, 3))).shape == (2, size, size + 1, 3)


def test_it_learns_and_updates_its_statistics_in_fit() -> None:
    images = keras.Input((6, 6, 3))
    ours = keras.Model(images, keras.layers.GlobalAveragePooling2D()(BatchNorm(name="bn")(images)))
    reference = keras.Model(
        images, keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization(name="bn")(images))
    )
    for model in (ours, reference):
        model.compile("sgd", "mse")
        model.fit(batch((12, 6, 6, 3)), np.ones((12, 3)), batch_size=5, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.weights, reference.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4, err_msg=a.name)
    assert np.abs(np.asarray(ours.get_layer("bn").beta)).max() > 0.001
