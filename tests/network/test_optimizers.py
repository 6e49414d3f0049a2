"""Optimizers do what their settings say: decay, clipping, accumulation, the average; against arithmetic by hand."""

import keras
import numpy as np
import pytest

from nets.facenet import facenet
from utils.optimizers import OPTIMIZERS


def array(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))


def variable(value: list[float], name: str = "kernel") -> keras.Variable:
    return keras.Variable(np.array(value, "float32"), name=name)


def moved(name: str, gradients: list[list[float]], **options: float) -> np.ndarray:
    """Returns weights that began at (1, -2) after these gradients, one a batch, at a rate of 0.1."""
    weights = variable([1.0, -2.0])
    optimizer = OPTIMIZERS[name](0.1, **options)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(np.array(gradient, "float32"))], [weights])
    return array(weights)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_goes_against_the_gradient(name):
    assert (np.sign(moved(name, [[1.0, -3.0]]) - [1.0, -2.0]) == [-1, 1]).all()


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_decay_shrinks_kernels_only(name):
    network = facenet((80, 80, 3), 5, alpha=0.25)
    optimizer = OPTIMIZERS[name](0.1, weight_decay=0.5)
    before = {v.path: array(v) for v in network.trainable_variables}
    optimizer.apply([keras.ops.zeros(v.shape) for v in network.trainable_variables], network.trainable_variables)
    decayed = set()
    for v in network.trainable_variables:
        after = array(v)
        if (after != before[v.path]).any():
            decayed.add(v.path.split("/")[-1])
            assert after == pytest.approx(before[v.path] * (1 - 0.1 * 0.5), rel=1e-5)
    kinds = {v.path.split("/")[-1] for v in network.trainable_variables}
    assert kinds >= {"kernel", "gamma", "beta", "bias"}
    assert decayed == kinds - {"gamma", "beta", "bias"}


def test_slopes_of_prelu_are_not_decayed():
    slopes = variable([0.25, 0.25], "alpha")
    OPTIMIZERS["adamw"](0.1, weight_decay=0.5).apply([keras.ops.zeros((2,))], [slopes])
    assert array(slopes) == pytest.approx([0.25, 0.25])


def test_adam_refuses_a_decay():
    with pytest.raises(ValueError, match=r"adamw has; received 0\.05"):
        OPTIMIZERS["adam"](1e-3, weight_decay=0.05)


def test_gradients_are_cut_to_a_length_all_together():
    one, two = variable([0.0]), variable([0.0], "other")
    gradients = [keras.ops.convert_to_tensor(np.array([g], "float32")) for g in (30.0, 40.0)]
    OPTIMIZERS["sgd"](1.0, clip_norm=5.0).apply(gradients, [one, two])
    # the first step of Nesterov's momentum goes 1 + 0.9 times the gradient
    assert [float(v.value[0]) for v in (one, two)] == pytest.approx([-1.9 * 3.0, -1.9 * 4.0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_accumulated_batches_are_one_batch_of_their_mean(name):
    gradients = [[1.0, 0.5], [-3.0, 2.0], [0.5, 0.0], [1.0, 1.0]]
    halves = moved(name, gradients, accumulate=2, clip_norm=1.0)
    wholes = moved(name, [[-1.0, 1.25], [0.75, 0.5]], clip_norm=1.0)
    assert halves == pytest.approx(wholes, rel=1e-5)
    assert (moved(name, gradients[:1], accumulate=2) == [1.0, -2.0]).all()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_is_the_formula(accumulate):
    weights, momentum = variable([1.0, -2.0]), 0.7
    optimizer = OPTIMIZERS["sgd"](0.1, ema=momentum, accumulate=accumulate)
    expected = np.zeros(2)
    for step in range(6):
        gradient = keras.ops.convert_to_tensor(np.array([1.0, float(step)], "float32"))
        optimizer.apply([gradient], [weights])
        kept = momentum if step >= accumulate else 0.0  # the copy begins with the first update
        expected = kept * expected + (1 - kept) * array(weights)
    optimizer.finalize_variable_values([weights])
    assert array(weights) == pytest.approx(expected, rel=1e-5)
