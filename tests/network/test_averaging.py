"""The averaged weights stand in for the trained ones inside a block, with statistics of their own, and then leave."""

import keras
import numpy as np
import pytest

import train
from nets.building import build_trainer
from nets.layers import BatchNorm
from utils.averaging import averaged, momentum_over
from utils.batchnorm import Statistics
from utils.optimizers import OPTIMIZERS
from utils.settings import UserError


def array(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))


def trained(ema: float) -> tuple[keras.Model, np.ndarray]:
    """Returns (a small network after a few steps, images)."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    x = BatchNorm(name="bn")(keras.layers.Conv2D(4, 3, use_bias=False)(inputs))
    network = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))))
    network.compile(OPTIMIZERS["adamw"](0.05, ema=ema), "mse", jit_compile=False)
    random = np.random.default_rng(0)
    images, targets = random.normal(size=(16, 6, 6, 3)).astype("float32"), random.normal(size=(16, 2))
    for _ in range(5):
        network.train_on_batch(images, targets)
    return network, images


def values(network: keras.Model) -> list[np.ndarray]:
    return [array(v) for v in (*network.variables, *network.optimizer.variables)]


def test_inside_are_the_averages_and_afterwards_all_is_as_it_was():
    network, images = trained(ema=0.5)
    before = values(network)
    averages = {v.path.split("/")[-1]: array(v) for v in network.optimizer.variables if "average" in v.path}
    with averaged(network, Statistics(network), [images, images[::-1]]):
        inside = [array(v) for v in network.trainable_variables]
        for value, average in zip(inside, averages.values(), strict=True):
            assert (value == average).all()
        outputs = np.asarray(network(images, training=False))
        kernel, layer = inside[0], network.get_layer("bn")
        maps = np.asarray(keras.ops.conv(images, kernel))
        assert np.asarray(layer.moving_mean) == pytest.approx(maps.mean(axis=(0, 1, 2)), abs=1e-5)
        assert np.asarray(layer.moving_variance) == pytest.approx(maps.var(axis=(0, 1, 2)), rel=1e-4)
    assert all((one == two).all() for one, two in zip(before, values(network), strict=True))
    assert np.abs(np.asarray(network(images, training=False)) - outputs).max() > 1e-3


def test_all_is_as_it_was_after_an_error_too():
    network, images = trained(ema=0.5)
    before = values(network)
    with pytest.raises(RuntimeError, match="while it was swapped in"), averaged(network, Statistics(network), [images]):
        raise RuntimeError("while it was swapped in")
    assert all((one == two).all() for one, two in zip(before, values(network), strict=True))


def test_training_goes_on_as_if_nothing_had_been_looked_at():
    (one, images), (two, _) = trained(ema=0.5), trained(ema=0.5)
    with averaged(one, Statistics(one), [images]):
        one(images, training=False)
    targets = np.zeros((16, 2), "float32")
    for network in (one, two):
        network.train_on_batch(images, targets)
    assert all((a == b).all() for a, b in zip(values(one), values(two), strict=True))


def test_without_an_average_only_the_statistics_are_taken_anew():
    (network, images), (other, _) = trained(ema=0.0), trained(ema=0.0)
    with averaged(network, Statistics(network), [images]):
        Statistics(other).take([images])
    for one, two in zip(network.variables, other.variables, strict=True):
        assert (array(one) == array(two)).all()


def test_the_momentum_remembers_a_share_of_the_run():
    assert momentum_over(0.05, 2000) == pytest.approx(0.99)
    assert momentum_over(0.05, 20) == 0.0  # one update is no average
    assert momentum_over(0.0, 10**6) == 0.0


def test_an_average_over_less_than_two_steps_is_refused():
    settings = train.Settings(ema=0.05, epochs=2)
    with pytest.raises(UserError, match=r"--ema 0\.05 of 20 steps averages over 1; two at least"):
        build_trainer(settings, None, 5, 10)
