"""Losses against plain loops, compiled and not, and their gradients where formulas like to break."""

import keras
import numpy as np
import pytest

from nets.losses import METRIC_LOSSES, accuracy, contrastive, cross_entropy, triplet
from tests.network.differentiation import compiled, compiled_gradient, gradient, unit_vectors
from tests.network.on_jax import assert_pass_on_jax
from tests.network.plain_losses import LABELS, PLAIN, clustered, plain_contrastive, plain_triplet

IN_BATCH = [name for name in METRIC_LOSSES if name != "triplet"]
LOSSES = dict(METRIC_LOSSES, any_violating=lambda *a, **k: METRIC_LOSSES["any_violating"](*a, seed=7, **k))


@pytest.mark.parametrize("spread", [0.2, 0.7, 3.0])
@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("name", PLAIN)
def test_a_loss_is_its_plain_loop(name, margin, spread):
    embeddings = clustered(LABELS, spread)
    found = METRIC_LOSSES[name](LABELS, embeddings, margin)
    assert [float(f) for f in found] == pytest.approx(PLAIN[name](LABELS, embeddings, margin), abs=2e-5)


def test_the_loops_see_violating_and_content_triples():
    """Else the comparison above would prove little."""
    for name, plain in PLAIN.items():
        shares = [plain(LABELS, clustered(LABELS, spread), 0.2)[1] for spread in (0.2, 0.7, 3.0)]
        assert any(0.1 < share < 0.9 for share in shares), name


@pytest.mark.parametrize("name", LOSSES)
def test_compiled_it_is_the_same(name):
    embeddings = clustered(LABELS, 0.7)
    loss = LOSSES[name]
    if name == "any_violating":  # compiled, TensorFlow draws others: give each pair one to draw from
        embeddings = np.eye(10, dtype="float32")[np.where(LABELS == 2, 1, LABELS)]
    found = compiled(lambda e: loss(LABELS, e, margin=0.5))(embeddings)
    assert [float(f) for f in found] == pytest.approx(
        [float(f) for f in loss(LABELS, embeddings, margin=0.5)], abs=1e-5
    )
    slopes = [take(lambda e: loss(LABELS, e, margin=0.5)[0], embeddings) for take in (gradient, compiled_gradient)]
    if name != "any_violating":
        assert slopes[0] == pytest.approx(slopes[1], abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_order_does_not_matter(name):
    embeddings = clustered(LABELS, 0.7)
    order = np.random.default_rng(0).permutation(len(LABELS))
    if name == "triplet":
        order = np.concatenate([np.array([3, 0, 4, 1, 2]) + 5 * third for third in range(3)])
    one, other = (LOSSES[name](LABELS[o], embeddings[o]) for o in (np.arange(len(LABELS)), order))
    if name != "any_violating":  # its draws go by place
        assert float(one[0]) == pytest.approx(float(other[0]), abs=1e-5)
    assert float(one[1]) == pytest.approx(float(other[1]), abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_images_of_nobody_have_no_part(name):
    embeddings = clustered(LABELS, 0.7)
    slope = gradient(lambda e: LOSSES[name](LABELS, e, margin=1.0)[0], embeddings)
    assert np.abs(slope[LABELS >= 0]).max() > 0.01
    assert not slope[LABELS < 0].any()
    if name in ("triplet", "any_violating"):
        return  # the places change without them
    known = LABELS >= 0
    for with_them, without in zip(
        LOSSES[name](LABELS, embeddings), LOSSES[name](LABELS[known], embeddings[known]), strict=True
    ):
        assert float(with_them) == pytest.approx(float(without), abs=1e-5)


@pytest.mark.parametrize("labels", [[0] * 6, [0, 1, 2, 3, 4, 5], [-1] * 6])
@pytest.mark.parametrize("name", IN_BATCH)
def test_without_positives_or_negatives_there_is_no_loss_and_no_gradient(name, labels):
    labels, embeddings = np.array(labels, "int32"), unit_vectors(6)
    loss, share = LOSSES[name](labels, embeddings)
    slope = gradient(lambda e: LOSSES[name](labels, e)[0], embeddings)
    assert np.isfinite(slope).all()
    if name == "contrastive" and labels.max() == 0:
        return  # one person only: it spreads the positives evenly
    assert (float(loss), float(share)) == (0.0, 0.0)
    assert not slope.any()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "contrastive"])
def test_far_apart_there_is_no_loss_and_no_gradient(name):
    axes = np.eye(4, dtype="float32")
    labels = np.array([0, 1, 0, 1, 2, 3], "int32")  # thirds: 0 0 2, 1 1 3
    embeddings = axes[labels]
    loss, share = LOSSES[name](labels, embeddings)
    assert (float(loss), float(share)) == (0.0, 0.0)
    assert not gradient(lambda e: LOSSES[name](labels, e)[0], embeddings).any()


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_finite_at_one_point_and_at_opposite_points(name):
    point, labels = unit_vectors(1), np.array([0, 1, 1, 0, 2, 2, 0, 1, 3], "int32")
    for embeddings in (
        np.repeat(point, 9, axis=0),
        np.concatenate([np.repeat(s * point, 3, axis=0) for s in (1, -1, 1)]),
    ):
        loss, _ = LOSSES[name](labels, embeddings)
        assert np.isfinite(float(loss))
        assert np.isfinite(gradient(lambda e: LOSSES[name](labels, e)[0], embeddings)).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("contrastive",)])
def test_in_one_point_a_triplet_loss_is_its_margin(name):
    labels = np.array([0, 1, 0, 1, 2, 3], "int32")
    loss, share = LOSSES[name](labels, np.repeat(unit_vectors(1), 6, axis=0), margin=0.2)
    assert float(loss) == pytest.approx(0.2, abs=1e-6)
    assert float(share) == 1.0


@pytest.mark.parametrize("name", PLAIN)
def test_gradient_is_the_finite_difference(name):
    labels, embeddings = LABELS[:9], clustered(LABELS, 0.7)[:9]
    found, step = gradient(lambda e: METRIC_LOSSES[name](labels, e, 0.5)[0], embeddings), 1e-3
    if name != "triplet":  # the loop's distances hold for any length, the loss's for unit length: along the sphere only
        found = found - np.sum(found * embeddings, axis=1, keepdims=True) * embeddings
    for row, axis in [(0, 0), (2, 3), (6, 7), (7, 1)]:
        moved = [embeddings.astype("float64"), embeddings.astype("float64")]
        for sign, e in zip((1, -1), moved, strict=True):
            e[row, axis] += sign * step
            if name != "triplet":
                e[row] /= np.linalg.norm(e[row])
        above, below = (PLAIN[name](labels, e, 0.5)[0] for e in moved)
        assert found[row, axis] == pytest.approx((above - below) / (2 * step), abs=3e-3)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_contrastive_at_other_temperatures(temperature):
    embeddings = clustered(LABELS, 0.7)
    found = contrastive(LABELS, embeddings, 0.2, temperature)
    assert [float(f) for f in found] == pytest.approx(plain_contrastive(LABELS, embeddings, 0.2, temperature), abs=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_and_accuracy_are_the_plain_loop(smoothing):
    logits = np.random.default_rng(1).normal(size=(6, 4)).astype("float32") * 3
    labels = np.array([0, 3, 1, -1, 1, 2], "int32")
    terms, hits = [], []
    for row, label in zip(logits, labels, strict=True):
        if label >= 0:
            logs = row - np.log(np.exp(row).sum())
            target = [(1 - smoothing) * (k == label) + smoothing / 4 for k in range(4)]
            terms.append(-sum(t * g for t, g in zip(target, logs, strict=True)))
            hits.append(row.argmax() == label)
    assert float(cross_entropy(labels, logits, smoothing)) == pytest.approx(np.mean(terms), abs=1e-5)
    assert float(accuracy(labels, logits)) == pytest.approx(np.mean(hits))


def test_cross_entropy_has_a_gradient_where_probabilities_round_to_zero():
    logits = np.array([[200.0, 0.0], [0.0, 200.0]], "float32")  # softmax gives 0 for the labels
    labels = np.array([1, 0], "int32")
    assert float(cross_entropy(labels, logits)) == pytest.approx(200.0)
    found = gradient(lambda x: cross_entropy(labels, x), logits)
    assert found == pytest.approx(np.array([[0.5, -0.5], [-0.5, 0.5]]), abs=1e-5)


def test_cross_entropy_of_nobody_is_zero_with_zero_gradient():
    labels, logits = np.full(3, -1, "int32"), unit_vectors(3)
    assert float(cross_entropy(labels, logits)) == 0.0
    assert not gradient(lambda x: cross_entropy(labels, x, 0.1), logits).any()


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_lifted_to_float32(name):
    half = clustered(LABELS, 0.7).astype("float16")
    found, expected = (LOSSES[name](LABELS, keras.ops.convert_to_tensor(e)) for e in (half, half.astype("float32")))
    assert {keras.backend.standardize_dtype(f.dtype) for f in found} == {"float32"}
    assert [float(f) for f in found] == [float(f) for f in expected]


def test_cross_entropy_lifts_half_precision_too():
    logits, labels = (20 * unit_vectors(6)).astype("float16"), np.arange(6, dtype="int32")
    found, expected = (cross_entropy(labels, keras.ops.convert_to_tensor(x)) for x in (logits, np.float32(logits)))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert float(found) == float(expected)


def test_triplet_looks_at_places():
    embeddings = unit_vectors(60)
    loss, _ = triplet(np.zeros(60, "int32"), embeddings, 0.2)
    assert float(loss) == pytest.approx(plain_triplet(np.zeros(60), embeddings, 0.2)[0], abs=1e-6)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this is that run")
def test_on_jax_too():
    files = [f"tests/network/test_{name}.py" for name in ("losses", "heads", "objective")]
    compiled_ones = "compiled or margin_and_scale or centres_and_loss or statistics"
    assert_pass_on_jax(*files, "-k", compiled_ones)


@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_embeddings_that_are_no_numbers_have_a_loss_that_is_none(name):
    embeddings = unit_vectors(len(LABELS))
    embeddings[:] = np.nan
    options = {"seed": keras.random.SeedGenerator(0)} if name == "any_violating" else {}
    loss, _ = METRIC_LOSSES[name](LABELS, embeddings, **options)
    assert np.isnan(float(loss))
