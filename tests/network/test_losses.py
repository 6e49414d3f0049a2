"""Losses against plain loops, and their gradients where formulas like to break."""

import keras
import numpy as np
import pytest

from nets.losses import METRIC_LOSSES, accuracy, combined, contrastive, cross_entropy, triplet


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
    loss, violating = triplet(None, embeddings, margin)
    expected = plain_triplet(embeddings, margin)
    assert (float(loss), float(violating)) == pytest.approx(expected, abs=1e-6)


def test_triplet_without_a_violation_is_zero_with_zero_gradient():
    anchors = unit_vectors(4)
    embeddings = np.concatenate([anchors, anchors, -anchors])
    loss, violating = triplet(None, embeddings, 0.2)
    assert float(loss) == 0.0
    assert float(violating) == 0.0
    assert not gradient(lambda e: triplet(None, e, 0.2)[0], embeddings).any()


def test_triplet_gradient_is_finite_where_all_three_are_one_point():
    embeddings = np.repeat(unit_vectors(1), 9, axis=0)
    loss, violating = triplet(None, embeddings, 0.2)
    assert float(loss) == pytest.approx(0.2)
    assert float(violating) == 1.0
    assert np.isfinite(gradient(lambda e: triplet(None, e, 0.2)[0], embeddings)).all()


def test_triplet_gradient_is_the_finite_difference():
    embeddings = unit_vectors(6)
    found, step = gradient(lambda e: triplet(None, e, 0.5)[0], embeddings), 1e-3
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


def plain_contrastive(labels: np.ndarray, embeddings: np.ndarray, margin: float, temperature: float):
    losses, violating, count = [], [], len(labels)
    for i in range(count):
        others = [j for j in range(count) if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        negatives = [j for j in others if labels[j] != labels[i]]
        if not positives:
            continue
        total = sum(np.exp(embeddings[i] @ embeddings[j] / temperature) for j in others)
        shares = [np.exp(embeddings[i] @ embeddings[p] / temperature) / total for p in positives]
        losses.append(-np.mean(np.log(shares)))
        far = max(np.sum((embeddings[i] - embeddings[p]) ** 2) for p in positives)
        near = min(np.sum((embeddings[i] - embeddings[n]) ** 2) for n in negatives)
        violating.append(far - near + margin > 0)
    return np.mean(losses), np.mean(violating)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_contrastive_is_the_plain_loop(temperature):
    labels = np.array([0, 1, 1, 2, 0, 3, 1, 2, 4], "int32")  # 3 and 4 have no positive
    embeddings = unit_vectors(9, seed=4)
    embeddings[4] = 0.98 * embeddings[0] + 0.199 * embeddings[4]  # a pair that does not violate
    embeddings[4] /= np.linalg.norm(embeddings[4])
    loss, violating = contrastive(labels, embeddings, 0.2, temperature)
    expected = plain_contrastive(labels, embeddings, 0.2, temperature)
    assert (float(loss), float(violating)) == pytest.approx(expected, abs=1e-4)
    assert 0 < expected[1] < 1


def test_contrastive_does_not_depend_on_the_order():
    labels, embeddings = np.array([0, 1, 1, 2, 0, 2], "int32"), unit_vectors(6)
    order = np.array([5, 2, 0, 4, 1, 3])
    one, other = contrastive(labels, embeddings), contrastive(labels[order], embeddings[order])
    assert float(one[0]) == pytest.approx(float(other[0]), abs=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 1]])
def test_contrastive_gradient_is_finite_at_one_point_and_without_positives_or_negatives(labels):
    labels = np.array(labels, "int32")
    for embeddings in (unit_vectors(4), np.repeat(unit_vectors(1), 4, axis=0)):
        assert np.isfinite(float(contrastive(labels, embeddings)[0]))
        assert np.isfinite(gradient(lambda e: contrastive(labels, e)[0], embeddings)).all()


@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_combined_weighs_its_parts(name):
    embeddings, labels = unit_vectors(9), np.arange(9, dtype="int32") % 4
    logits = np.random.default_rng(2).normal(size=(9, 4)).astype("float32")
    objective, names = combined(name, 2.0, 0.5, margin=0.3)
    figures = {key: float(value) for key, value in objective(labels, logits, embeddings).items()}
    assert set(figures) == set(names)
    assert figures[name] == pytest.approx(float(METRIC_LOSSES[name](labels, embeddings, margin=0.3)[0]), abs=1e-6)
    assert figures["loss"] == pytest.approx(2.0 * figures[name] + 0.5 * figures["cross_entropy"], abs=1e-5)
    objective, names = combined(name, 2.0, 0.0, margin=0.3)
    figures = {key: float(value) for key, value in objective(labels, logits, embeddings).items()}
    assert set(figures) == set(names) == {"loss", name, "violating"}
    assert figures["loss"] == pytest.approx(2.0 * figures[name])
