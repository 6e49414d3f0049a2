"""Losses of distillation against plain loops in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from nets.distillation import contrast, imitation, relation


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def value(loss) -> float:
    return float(ops.convert_to_numpy(loss))


def test_imitation_is_the_mean_squared_distance():
    targets, embeddings = unit(7, 5, 0), unit(7, 5, 1)
    plain = [sum((t - e) ** 2 for t, e in zip(*pair, strict=True)) for pair in zip(targets, embeddings, strict=True)]
    assert value(imitation(targets, embeddings)) == pytest.approx(np.mean(plain), rel=1e-5)
    assert value(imitation(targets, targets)) == 0
    assert value(imitation(targets, -targets)) == pytest.approx(4)


def test_imitation_refuses_another_width():
    with pytest.raises(ValueError, match=r"one width; received \(7, 5\) and \(7, 4\)"):
        imitation(unit(7, 5, 0), unit(7, 4, 1))


def test_relation_is_the_mean_over_pairs():
    targets, embeddings = unit(6, 9, 0), unit(6, 4, 1)
    plain = [
        (targets[i] @ targets[j] - embeddings[i] @ embeddings[j]) ** 2 for i in range(6) for j in range(6) if i != j
    ]
    assert value(relation(targets, embeddings)) == pytest.approx(np.mean(plain), rel=1e-5)


def test_contrast_is_the_cross_entropy_of_two_softmaxes():
    targets, embeddings = unit(6, 5, 0), unit(6, 5, 1)
    plain = 0.0
    for i in range(6):
        teacher = np.exp([targets[i] @ targets[j] / 0.3 for j in range(6)])
        student = np.exp([embeddings[i] @ targets[j] / 0.3 for j in range(6)])
        plain -= sum(teacher / teacher.sum() * np.log(student / student.sum())) / 6
    assert value(contrast(targets, embeddings, 0.3)) == pytest.approx(plain, rel=1e-5)
    assert value(contrast(targets, targets, 0.3)) < plain  # entropy: the least that a cross-entropy can be


def test_contrast_refuses_another_width_and_no_temperature():
    with pytest.raises(ValueError, match=r"one width"):
        contrast(unit(7, 5, 0), unit(7, 4, 1))
    with pytest.raises(ValueError, match="temperature is above 0; received 0"):
        contrast(unit(7, 5, 0), unit(7, 5, 1), 0)


def test_relation_does_not_see_a_rotation():
    targets = unit(6, 4, 0)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))
    assert value(relation(targets, (targets @ rotation).astype("float32"))) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("loss", [imitation, relation])
@pytest.mark.parametrize("rows", [1, 4])
def test_gradients_are_finite_and_lead_to_the_teacher(loss, rows):
    targets = unit(rows, 8, 0)
    inputs = keras.Input((8,))
    network = keras.Model(inputs, keras.layers.UnitNormalization()(keras.layers.Dense(8, use_bias=False)(inputs)))
    network.compile(keras.optimizers.Adam(0.05), loss, jit_compile=False)
    first, *_, last = (float(network.train_on_batch(targets, targets)) for _ in range(60))
    assert np.isfinite([first, last]).all()
    assert last < max(0.2 * first, 1e-9)  # a relation of one image is 0 from the start


@pytest.mark.parametrize("loss", [imitation, relation, contrast])
def test_half_precision_is_lifted_to_float32(loss):
    targets, embeddings = unit(8, 16, 0).astype("float16"), unit(8, 16, 1)
    found = loss(ops.convert_to_tensor(targets), ops.convert_to_tensor(embeddings))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert value(found) == pytest.approx(value(loss(unit(8, 16, 0), embeddings)), abs=2e-3)
