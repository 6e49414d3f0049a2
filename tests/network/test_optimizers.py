"""Optimizers do what their settings say: decay, clipping, accumulation, the average; against arithmetic by hand."""

import keras
import numpy as np
import pytest

from nets.facenet import facenet
from utils.optimizers import KEPT, OPTIMIZERS, TrunkRate
from utils.schedules import SCHEDULES
from utils.train_checks import DECAYS


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
        begun = max(0, step + 1 - accumulate)  # the copy begins with the first update, evenly
        kept = min(momentum, begun / (begun + 1))
        expected = kept * expected + (1 - kept) * array(weights)
    optimizer.finalize_variable_values([weights])
    assert array(weights) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_trunk_learns_slower_and_at_first_not_at_all(name):
    def after(steps: int, trunk: TrunkRate | None) -> tuple[np.ndarray, np.ndarray]:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4,))
        outputs = keras.layers.Dense(3, use_bias=False, name="Bottleneck")(keras.layers.Dense(4, name="conv1")(inputs))
        network = keras.Model(inputs, outputs)
        decay = {} if name == "adam" else {"weight_decay": 0.1}
        network.compile(OPTIMIZERS[name](1e-3, trunk=trunk, **decay), "mse", jit_compile=False)
        random = np.random.default_rng(0)
        before = network.get_weights()
        for _ in range(steps):
            network.train_on_batch(random.normal(size=(8, 4)), random.normal(size=(8, 3)))
        moved = [abs(old - new).max() for old, new in zip(before, network.get_weights(), strict=True)]
        return moved[0], moved[2]  # of the trunk's kernel and of the bottleneck's

    trunk, behind = after(3, TrunkRate(share=0.1, frozen=3))
    assert trunk == 0
    assert behind > 1e-4
    trunk, behind = after(4, TrunkRate(share=0.1, frozen=3))
    assert 0 < trunk < 0.1 * behind
    plain, _ = after(1, None)
    slower, _ = after(1, TrunkRate(share=0.1))
    assert slower == pytest.approx(0.1 * plain, rel=0.2)  # the plain one is decayed, too


def test_a_trunk_is_frozen_for_so_many_updates_whatever_is_accumulated():
    gradients, trunk = [[1.0, 1.0]] * 6, TrunkRate(1.0, frozen=2)
    assert (moved("sgd", gradients[:5], accumulate=2, trunk=trunk) == [1.0, -2.0]).all()
    assert (moved("sgd", gradients, accumulate=2, trunk=trunk) < [1.0, -2.0]).all()


def test_a_classifier_is_behind_the_trunk():
    variables = []
    for name in ("conv1", "Bottleneck", "BatchNorm_Bottleneck", "Logits", "SampledLogits"):
        with keras.name_scope(name):
            variables.append(variable([0.0]))
    optimizer = OPTIMIZERS["sgd"](0.1, trunk=TrunkRate(0.1))
    optimizer.build(variables)
    assert optimizer.is_trunk == [True, False, False, False, False]


@pytest.mark.parametrize(("options", "more"), [({}, 0), ({"ema": 0.5, "accumulate": 2}, 2)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_as_many_numbers_of_a_weight_are_kept_as_memory_is_estimated_for(name, options, more):
    optimizer = OPTIMIZERS[name](0.1, **options)
    optimizer.build([variable([1.0, 2.0, 3.0])])
    assert sum(kept.shape == (3,) for kept in optimizer.variables) == KEPT[name] + more


@pytest.mark.parametrize("decay", DECAYS)
def test_the_rate_is_that_of_the_update_whatever_is_accumulated(decay):
    """A gradient of 1 in every batch: what an update takes off is the rate it was made with."""
    updates, batches = 10, 4
    schedule = SCHEDULES[decay](0.01, updates, 2)
    weights = variable([0.0])
    optimizer = OPTIMIZERS["sgd"](schedule, accumulate=batches)
    optimizer.momentum = 0.0
    places = [0.0]
    for _ in range(updates):
        for _ in range(batches):
            optimizer.apply([keras.ops.ones((1,))], [weights])
        places.append(float(array(weights)[0]))
    rates = [float(keras.ops.convert_to_numpy(schedule(update))) for update in range(updates)]
    assert -np.diff(places) == pytest.approx(rates, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(("momentum", "expected"), [(0.9, None), (0.999, 1 / 50)])
def test_the_average_begins_even(momentum, expected):
    """Weights are 1 after the first of 50 updates and 0 after all others: what is left of the 1 in the average."""
    weights = variable([2.0])
    optimizer = OPTIMIZERS["sgd"](1.0, ema=momentum)
    optimizer.momentum = 0.0
    for gradient in [1.0, 1.0, *[0.0] * 48]:
        optimizer.apply([keras.ops.convert_to_tensor(np.array([gradient], "float32"))], [weights])
    optimizer.finalize_variable_values([weights])
    expected = expected or (1 / 10) * 0.9**40
    assert array(weights)[0] == pytest.approx(expected, rel=1e-3)
