"""Margin heads against plain loops, their gradients where arccos breaks, and the networks that carry them."""

import math
from typing import Any

import keras
import numpy as np
import pytest

from nets.facenet import embedder_of, facenet, training_outputs
from nets.head_layers import Cosines, Length
from nets.heads import HEADS, TRAINED, MarginLogits, Margins, begin_head, scale_for, with_margin
from tests.network.differentiation import compiled, compiled_gradient, gradient, unit_vectors

MARGIN_HEADS = [name for name, head in HEADS.items() if head]
COSINES = np.concatenate([np.linspace(-1, 1, 401), -1 + np.logspace(-7, -2, 9), 1 - np.logspace(-7, -2, 9)])


def plain_margin(name: str, cosine: float, setting: Any, quality: float) -> float:
    """The papers' formulas, one image at a time, in float64."""
    theta = math.acos(max(-1.0, min(1.0, cosine)))
    if name in ("arcface", "subcenter"):
        return math.cos(theta + setting) if theta + setting <= math.pi else cosine - setting * math.sin(setting)
    if name == "cosface":
        return cosine - setting
    if name == "adaface":
        moved = min(max(theta - setting * quality, 0.0), math.pi)
        return math.cos(moved) - (setting * quality + setting)
    m1, m2, m3 = setting
    assert m1 * theta + m2 <= math.pi
    return math.cos(m1 * theta + m2) - m3


@pytest.mark.parametrize("quality", [-1.0, -0.3, 0.0, 1.0])
@pytest.mark.parametrize("name", MARGIN_HEADS)
def test_logits_are_the_plain_loop(name, quality):
    random = np.random.default_rng(0)
    cosines = random.uniform(-0.8 if name == "combined" else -1, 1, (40, 5)).astype("float32")
    labels = np.append(random.integers(0, 5, 38), [-1, -1]).astype("int32")
    head = HEADS[name]
    assert head is not None
    found = np.asarray(MarginLogits(name, 5, scale=16.0)(labels, cosines, 1.0, np.full(40, quality, "float32")))
    for row, label in enumerate(labels):
        for column in range(5):
            cosine = float(cosines[row, column])
            expected = plain_margin(name, cosine, head.setting, quality) if column == label else cosine
            assert found[row, column] == pytest.approx(16.0 * expected, abs=2e-4)


@pytest.mark.parametrize(
    ("margins", "name", "setting"), [((1.0, 0.5, 0.0), "arcface", 0.5), ((1.0, 0.0, 0.35), "cosface", 0.35)]
)
def test_the_combined_margin_has_the_others_as_special_cases(margins, name, setting):
    cosines, labels = COSINES.astype("float32")[:, None], np.zeros(len(COSINES), "int32")
    one = np.asarray(MarginLogits("combined", 1, margin=margins)(labels, cosines, 1.0))
    other = np.asarray(MarginLogits(name, 1, margin=setting)(labels, cosines, 1.0))
    assert one == pytest.approx(other, abs=1e-5)


def test_the_combined_margin_has_spherefaces_as_a_special_case():
    cosines, labels = np.linspace(0.01, 0.999, 50, dtype="float32")[:, None], np.zeros(50, "int32")
    found = np.asarray(MarginLogits("combined", 1, margin=(2.0, 0.0, 0.0), scale=1.0)(labels, cosines, 1.0))
    assert found == pytest.approx(2 * cosines**2 - 1, abs=1e-5)  # cos(2 theta)


def test_without_a_margin_a_cosine_is_itself():
    found = np.asarray(with_margin(COSINES.astype("float32"), Margins()))
    assert found == pytest.approx(COSINES, abs=2e-6)


@pytest.mark.parametrize("margins", [(1.0, 0.5, 0.0), (1.0, 1.2, 0.1), (2.0, 0.3, 0.0), (0.9, 0.4, 0.15), (4.0, 0, 0)])
def test_the_value_never_falls_as_the_cosine_rises(margins):
    values = np.asarray(with_margin(np.sort(COSINES).astype("float32"), Margins(*margins)))
    assert np.diff(values).min() > -1e-5
    assert (values <= np.sort(COSINES) + 1e-5).all()


@pytest.mark.parametrize("angle", [0.1, 0.5, 1.0])
def test_past_pi_arcface_goes_on_with_the_cosine(angle):
    beyond = np.cos(np.linspace(math.pi - angle + 0.01, math.pi, 20)).astype("float32")
    assert np.asarray(with_margin(beyond, Margins(angle=angle))) == pytest.approx(
        beyond - angle * math.sin(angle), abs=1e-6
    )
    assert gradient(lambda c: keras.ops.sum(with_margin(c, Margins(angle=angle))), beyond) == pytest.approx(1.0)


@pytest.mark.parametrize("name", MARGIN_HEADS)
@pytest.mark.parametrize("take", [gradient, compiled_gradient])
def test_gradients_are_finite_at_identical_opposite_and_nearby_vectors(name, take):
    """Of the embeddings, through unit length, cosines, margin and cross-entropy, at scale 64."""
    direction = unit_vectors(1, size=16)
    near = direction + 1e-4 * unit_vectors(1, seed=1, size=16)
    vectors = np.concatenate([direction, -direction, near, -near, 3 * direction, unit_vectors(2, 2, 16)])
    kernel = np.concatenate([direction, unit_vectors(3, 5, 16)]).T
    labels, quality = np.zeros(7, "int32"), np.linspace(-1, 1, 7).astype("float32")
    logits_of = MarginLogits(name, 4, scale=64.0)

    def loss(vectors: Any) -> Any:
        unit = keras.ops.normalize(vectors, axis=1)
        logits = logits_of(labels, keras.ops.matmul(unit, keras.ops.normalize(kernel, axis=0)), 1.0, quality)
        return keras.ops.sum(keras.ops.logsumexp(logits, axis=1) - logits[:, 0])

    slope = take(loss, vectors.astype("float32"))
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() < 200
    assert np.abs(slope[5:]).max() > 0.1


@pytest.mark.parametrize("name", MARGIN_HEADS)
def test_gradient_is_the_finite_difference(name):
    labels, quality = np.array([0], "int32"), np.array([0.4], "float32")
    head, logits_of = HEADS[name], MarginLogits(name, 1, scale=1.0)
    assert head is not None
    for cosine in (-0.7, -0.2, 0.3, 0.9):
        at = np.array([[cosine]], "float32")
        found = gradient(lambda c: keras.ops.sum(logits_of(labels, c, 1.0, quality)), at)
        above, below = (plain_margin(name, cosine + step, head.setting, 0.4) for step in (1e-4, -1e-4))
        assert found[0, 0] == pytest.approx((above - below) / 2e-4, abs=2e-3)


@pytest.mark.parametrize("name", MARGIN_HEADS)
def test_margin_and_scale_rise_with_progress(name):
    cosines, labels = np.array([[0.3, 0.1]], "float32"), np.array([0], "int32")
    logits_of = MarginLogits(name, 2, scale=20.0, first_scale=10.0, ramp=0.4)
    found = [np.asarray(compiled(logits_of)(labels, cosines, np.float32(p))) for p in (0.0, 0.2, 0.4, 1.0)]
    assert found[0] == pytest.approx(10.0 * cosines, abs=1e-4)
    assert [float(f[0, 1]) for f in found] == pytest.approx([1.0, 1.5, 2.0, 2.0], abs=1e-5)
    own = [float(f[0, 0]) / float(f[0, 1]) for f in found]
    assert own[0] > own[1] > own[2] == pytest.approx(own[3])
    assert np.asarray(MarginLogits(name, 2, scale=20.0, ramp=0.0)(labels, cosines, 0.0)) == pytest.approx(found[3])


def test_cosines_are_the_plain_loop_and_the_nearest_centre_counts():
    layer, embeddings = Cosines(3, centres=2), unit_vectors(5)
    found = np.asarray(layer(embeddings))
    kernel = np.asarray(layer.kernel)
    for row in range(5):
        for person in range(3):
            centres = kernel[person].reshape(2, 8)
            cosines = [embeddings[row] @ c / np.linalg.norm(c) for c in centres]
            assert found[row, person] == pytest.approx(max(cosines), abs=1e-5)


def test_a_length_gives_no_gradient():
    vectors = 3.0 * unit_vectors(4)
    assert np.asarray(Length()(vectors)) == pytest.approx(np.full(4, 3.0))
    assert not gradient(lambda v: keras.ops.sum(Length()(v)) + 0.0 * keras.ops.sum(v), vectors).any()


def test_scale_follows_the_number_of_people():
    assert scale_for(4889) == pytest.approx(math.sqrt(2) * math.log(4888))
    assert scale_for(2) == scale_for(20) == 8.0


@pytest.mark.parametrize("name", HEADS)
def test_a_network_of_each_head_gives_what_losses_look_at_in_float32(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = facenet((80, 80, 3), 7, head=name, alpha=0.25, embedding_size=16)
    finally:
        keras.config.set_dtype_policy("float32")
    images = np.random.default_rng(0).integers(0, 255, (2, 80, 80, 3)).astype("float32")
    found = training_outputs(network, ("Logits", "Embedding", "Norm"))(images)
    assert {name: (v.shape, keras.backend.standardize_dtype(v.dtype)) for name, v in found.items()} == {
        "Logits": ((2, 7), "float32"),
        "Embedding": ((2, 16), "float32"),
        "Norm": ((2,), "float32"),
    }
    softmax = np.asarray(network(images)["Softmax"])
    assert softmax.sum(axis=1) == pytest.approx(np.ones(2), abs=1e-5)
    logits = np.asarray(found["Logits"])
    if name != "softmax":
        assert np.abs(logits).max() <= 1.0001
        kernel = np.asarray(network.get_layer("Logits").kernel)
        directions = kernel.reshape(7, -1, 16)
        directions /= np.linalg.norm(directions, axis=2, keepdims=True)
        expected = np.einsum("bd,pcd->bpc", np.asarray(found["Embedding"]), directions).max(axis=2)
        assert logits == pytest.approx(expected, abs=1e-5)  # not bfloat16's 8 bits
        logits = logits * scale_for(7)
    odds = np.exp(logits)
    assert softmax == pytest.approx(odds / odds.sum(axis=1, keepdims=True), abs=1e-5)
    bottleneck = keras.Model(network.input, network.get_layer("BatchNorm_Bottleneck").output)(images)
    lengths = np.linalg.norm(np.asarray(keras.ops.cast(bottleneck, "float32")), axis=1)
    assert np.asarray(found["Norm"]) == pytest.approx(lengths, rel=1e-3)


def test_the_embedder_is_the_same_whatever_the_head(tmp_path):
    network = facenet((80, 80, 3), 7, head="subcenter", head_options={"centres": 2}, alpha=0.25)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.get_layer("Logits").centres == 2
    plain = facenet((80, 80, 3), 7, alpha=0.25)
    assert [w.path for w in embedder_of(network).weights] == [w.path for w in embedder_of(plain).weights]


@pytest.mark.parametrize("name", HEADS)
def test_begun_at_means_a_head_names_whom_an_embedding_is_the_mean_of(name):
    network = facenet((32, 32, 3), 5, head=name, alpha=0.25, embedding_size=16, rows_multiple=4)
    layer = network.get_layer("Logits")
    drawn = np.asarray(layer.kernel)
    means = unit_vectors(5, seed=3, size=16)
    means[4] = 0
    begin_head(network, means)
    kernel = np.asarray(layer.kernel)
    assert np.array_equal(kernel[4:], drawn[4:])  # of nobody, and of one without a mean
    logits = np.asarray(layer(math.sqrt(16) * means[:4] if name == "softmax" else means[:4]))
    assert logits.argmax(axis=1).tolist() == [0, 1, 2, 3]
    added = (kernel - drawn)[:4].reshape(4, -1, 16)
    length = scale_for(5) / 4 if name == "softmax" else TRAINED
    assert added == pytest.approx(np.repeat(length * means[:4, None], added.shape[1], axis=1), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: facenet((80, 80, 3), 7, head="arcfase"), "unknown head 'arcfase'; choose from softmax, arcface"),
        (lambda: facenet((80, 80, 3), 7, head_options={"scale": 3}), "'softmax' has no options"),
        (lambda: MarginLogits("softmax", 7), "'softmax' has no margin"),
        (lambda: MarginLogits("combined", 7, margin=0.3), "three margins"),
    ],
)
def test_what_makes_no_sense_is_refused(call, line):
    with pytest.raises(ValueError, match=line):
        call()
