"""bfloat16 between the layers; weights, statistics, outputs and what is saved stay float32."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from nets.facenet import embedder_of, facenet
from nets.layers import BatchNorm
from utils.batchnorm import Statistics
from utils.precision import POLICIES, copy_values, set_precision, standalone

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 80, 80, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def float32_afterwards() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


def dtype_of(value) -> str:
    return keras.backend.standardize_dtype(value.dtype)


def test_weights_statistics_and_outputs_stay_float32():
    set_precision("bfloat16")
    network = facenet((80, 80, 3), 5, alpha=0.25)
    assert {dtype_of(v) for v in network.weights} == {"float32"}
    assert network.get_layer("conv_pw_1").compute_dtype == "bfloat16"
    outputs = network(IMAGES, training=True)
    assert {dtype_of(value) for value in outputs.values()} == {"float32"}
    assert np.linalg.norm(outputs["Embedding"], axis=1) == pytest.approx(np.ones(8), abs=1e-5)


def test_statistics_are_those_of_float32():
    """Means of a bfloat16 map, taken in bfloat16, would be off by up to 0.4%."""
    keras.utils.set_random_seed(0)
    plain = embedder_of(facenet((80, 80, 3), 5, alpha=0.25))
    set_precision("bfloat16")
    half = embedder_of(facenet((80, 80, 3), 5, alpha=0.25))
    copy_values(plain, half)
    for network in (plain, half):
        Statistics(network).take([IMAGES])
    first = [np.asarray(network.get_layer("conv1_bn").moving_variance) for network in (plain, half)]
    assert first[1] == pytest.approx(first[0], rel=0.02)


@pytest.mark.parametrize("trunk", ["mobilenet", "mobilefacenet"])  # the large ones only take longer
def test_the_float32_copy_is_the_network(trunk):
    keras.utils.set_random_seed(0)
    plain = facenet((80, 80, 3), backbone=trunk, mode="predict")
    Statistics(plain).take([IMAGES])
    set_precision("bfloat16")
    half = facenet((80, 80, 3), backbone=trunk, mode="predict")
    copy_values(plain, half)
    copy = standalone(half)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in half.layers]
    assert "bfloat16" not in copy.to_json()
    expected = np.asarray(plain(IMAGES, training=False))
    assert np.asarray(copy(IMAGES, training=False)) == pytest.approx(expected, abs=1e-5)
    found = np.asarray(half(IMAGES, training=False))
    assert np.abs(found - expected).max() > 1e-5  # bfloat16 it was
    assert (found * expected).sum(axis=1).min() > 0.5


def test_a_saved_copy_is_float32_under_any_policy(tmp_path):
    set_precision("bfloat16")
    standalone(facenet((80, 80, 3), mode="predict", alpha=0.25)).save(tmp_path / "embedder.keras")
    loaded = keras.saving.load_model(tmp_path / "embedder.keras", compile=False)
    assert "bfloat16" not in loaded.to_json()


def test_a_float32_network_is_its_own_copy():
    network = facenet((80, 80, 3), mode="predict", alpha=0.25)
    assert standalone(network) is network


def test_a_step_of_training_moves_float32_weights():
    set_precision("bfloat16")
    inputs = keras.Input((8, 8, 3))
    x = BatchNorm()(keras.layers.Conv2D(4, 3, use_bias=False)(inputs))
    network = keras.Model(inputs, keras.layers.UnitNormalization(dtype="float32")(keras.layers.Flatten()(x)))
    network.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
    before = network.get_weights()
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    assert np.isfinite(network.train_on_batch(images, np.ones((4, 144), "float32")))
    for old, new in zip(before, network.weights, strict=True):
        assert dtype_of(new) == "float32"
        assert (old != keras.ops.convert_to_numpy(new)).any()
    assert {dtype_of(v) for v in network.optimizer.variables[2:]} == {"float32"}


def test_policies_are_named_after_what_users_type():
    assert set(POLICIES) == {"float32", "bfloat16"}
