"""Losses against plain loops, and their gradients where formulas like to break."""

import keras
import numpy as np
import pytest

from nets.losses import FIGURES, accuracy, combined, cross_entropy, triplet


def unit_vectors(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32")


def plain_triplet(embeddings: np.ndarray, margin: float) -> tuple[float, float]:
    count, losses = len(embeddings) // 3, []
    for i in range(count):
        anchor, positive, negative = embeddings[i], embeddings[count + i], embeddings[2 * count + i]
        near = sum((a - p) ** 2 for a, p in zip(anchor, positive, strict=True))
        far = sum((a - n) ** 2 for a, n in zip(anchor, negative, strict=True))
        if near - far + margin > 0:
            losses.append(near - far + margin)
    return (sum(losses) / len(losses) if losses else 0.0), len(losses) / count


def gradient(function, embeddings: np.ndarray) -> np.ndarray:
    """Returns d function / d embeddings, through whichever backend runs."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(embeddings))
    import tensorflow as tf

    variable = tf.Variable(embeddings)
    with tf.GradientTape() as tape:
        value = function(variable)
    return tape.gradient(value, variable).numpy()


@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0])
def test_triplet_is_the_plain_loop(margin):
    embeddings = unit_vectors(60)
    loss, violating = triplet(embeddings, margin)
    expected = plain_triplet(embeddings, margin)
    assert (float(loss), float(violating)) == pytest.approx(expected, abs=1e-6)


def test_triplet_without_a_violation_is_zero_with_zero_gradient():
    anchors = unit_vectors(4)
    embeddings = np.concatenate([anchors, anchors, -anchors])
    loss, violating = triplet(embeddings, 0.2)
    assert float(loss) == 0.0
    assert float(violating) == 0.0
    assert not gradient(lambda e: triplet(e, 0.2)[0], embeddings).any()


def test_triplet_gradient_is_finite_where_all_three_are_one_point():
    embeddings = np.repeat(unit_vectors(1), 9, axis=0)
    loss, violating = triplet(embeddings, 0.2)
    assert float(loss) == pytest.approx(0.2)
    assert float(violating) == 1.0
    assert np.isfinite(gradient(lambda e: triplet(e, 0.2)[0], embeddings)).all()


def test_triplet_gradient_is_the_finite_difference():
    embeddings = unit_vectors(6)
    found, step = gradient(lambda e: triplet(e, 0.5)[0], embeddings), 1e-3
    for place in [(0, 0), (2, 3), (5, 7)]:
        moved = [embeddings.copy(), embeddings.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        above, below = (plain_triplet(m, 0.5)[0] for m in moved)
        assert found[place] == pytest.approx((above - below) / (2 * step), abs=2e-3)


def test_cross_entropy_and_accuracy_are_the_plain_loop():
    logits = np.random.default_rng(1).normal(size=(5, 4)).astype("float32") * 3
    labels = np.array([0, 3, 1, 1, 2], "int32")
    expected = np.mean([np.log(np.exp(row).sum()) - row[k] for row, k in zip(logits, labels, strict=True)])
    assert float(cross_entropy(labels, logits)) == pytest.approx(expected, abs=1e-5)
    assert float(accuracy(labels, logits)) == pytest.approx(np.mean(logits.argmax(1) == labels))


def test_cross_entropy_has_a_gradient_where_probabilities_round_to_zero():
    logits = np.array([[200.0, 0.0], [0.0, 200.0]], "float32")  # softmax gives 0 for the labels
    labels = np.array([1, 0], "int32")
    assert float(cross_entropy(labels, logits)) == pytest.approx(200.0)
    found = gradient(lambda x: cross_entropy(labels, x), logits)
    assert found == pytest.approx(np.array([[0.5, -0.5], [-0.5, 0.5]]), abs=1e-5)


def test_combined_weighs_its_parts():
    embeddings, labels = unit_vectors(9), np.arange(9, dtype="int32") % 4
    logits = np.random.default_rng(2).normal(size=(9, 4)).astype("float32")
    figures = {name: float(v) for name, v in combined(2.0, 0.5, 0.3)(labels, logits, embeddings).items()}
    assert set(figures) == set(FIGURES)
    assert figures["triplet"] == pytest.approx(plain_triplet(embeddings, 0.3)[0], abs=1e-6)
    assert figures["loss"] == pytest.approx(2.0 * figures["triplet"] + 0.5 * figures["cross_entropy"], abs=1e-5)
