"""The parts of an objective, their state, and their sum."""

from typing import Any

import keras
import numpy as np
import pytest

import train
from nets import building
from nets.distillation import WAYS, contrast
from nets.heads import HEADS, MarginLogits
from nets.losses import METRIC_LOSSES, accuracy, cross_entropy
from nets.objective import CentreLoss, ClassLoss, Imitation, MetricLoss, NormQuality, Objective
from tests.network.differentiation import gradient, unit_vectors

LABELS = np.array([0, 1, 1, 2, 0, 2, -1, 3, 3], "int32")


def outputs(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "Logits": random.uniform(-1, 1, (9, 4)).astype("float32"),
        "Embedding": unit_vectors(9, seed),
        "Norm": random.uniform(5, 15, 9).astype("float32"),
    }


def numbers(figures: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items()}


@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_the_loss_is_the_weighted_sum(name):
    parts = {
        "metric": MetricLoss(name, 2.0, margin=0.3),
        "classes": ClassLoss(people=4, weight=0.5),
        "centre": CentreLoss(4, 8, 0.25),
    }
    objective = Objective(**parts)
    figures = numbers(objective({"label": LABELS}, outputs()))
    assert tuple(figures) == objective.figures
    summed = 2.0 * figures[name] + 0.5 * figures["cross_entropy"] + 0.25 * figures["centre"]
    assert figures["loss"] == pytest.approx(summed, abs=1e-5)
    if name != "any_violating":
        expected = METRIC_LOSSES[name](LABELS, outputs()["Embedding"], margin=0.3)
        assert [figures[name], figures["violating"]] == pytest.approx([float(e) for e in expected], abs=1e-6)
    assert figures["cross_entropy"] == pytest.approx(float(cross_entropy(LABELS, outputs()["Logits"])), abs=1e-6)
    assert figures["accuracy"] == pytest.approx(float(accuracy(LABELS, outputs()["Logits"])))


@pytest.mark.parametrize("way", ["distance", "relation"])
def test_an_imitation_looks_at_images_of_nobody_too(way):
    found, teacher = outputs(), unit_vectors(9, seed=5)
    targets = {"label": np.full(9, -1, "int32"), "teacher": teacher.astype("float16")}
    figures = numbers(Objective(ClassLoss(people=4), None, None, Imitation(3.0, way))(targets, found))
    if way == "distance":
        expected = np.mean(np.sum((found["Embedding"] - teacher) ** 2, axis=1))
    else:
        cosines = [e @ e.T for e in (found["Embedding"], teacher)]
        expected = np.sum((cosines[0] - cosines[1]) ** 2) / (9 * 8)
    assert figures["imitation"] == pytest.approx(expected, rel=2e-3)
    assert figures["loss"] == pytest.approx(3.0 * figures["imitation"])
    slope = gradient(
        lambda e: Imitation(way=way)(targets, {"Embedding": e}, progress=0.0)["imitation"], found["Embedding"]
    )
    assert np.abs(slope).min(axis=1).max() > 0


def test_a_contrast_takes_its_temperature():
    found, teacher = outputs(), unit_vectors(9, seed=5)
    part = Imitation(way="contrast", temperature=0.5)
    figures = numbers(part({"label": LABELS, "teacher": teacher}, found, progress=0.0))
    assert figures == {"teacher_contrast": pytest.approx(float(contrast(teacher, found["Embedding"], 0.5)), abs=1e-6)}
    assert figures["teacher_contrast"] != pytest.approx(float(contrast(teacher, found["Embedding"])), abs=0.1)


def test_parts_without_weight_are_left_out():
    objective = Objective(ClassLoss(people=4, weight=0.0), MetricLoss("batch_all"), CentreLoss(4, 8, 0.0))
    assert objective.figures == ("loss", "batch_all", "violating")
    assert objective.needs == ("Embedding",)
    assert not objective.variables
    assert Objective(ClassLoss("adaface", 4)).needs == ("Logits", "Norm")
    with pytest.raises(ValueError, match="needs a part"):
        Objective(ClassLoss(people=4, weight=0.0))


@pytest.mark.parametrize("head", HEADS)
def test_nobody_has_no_part_in_a_class_loss(head):
    """Nor in its gradient, nor in AdaFace's statistics."""
    known, found = LABELS >= 0, outputs()
    losses = [ClassLoss(head, 4, smoothing=0.1) for _ in range(2)]
    whole = numbers(losses[0]({"label": LABELS}, found, progress=1.0))
    part = numbers(losses[1]({"label": LABELS[known]}, {k: v[known] for k, v in found.items()}, progress=1.0))
    assert whole == pytest.approx(part, abs=1e-5)
    assert [np.asarray(v) for v in losses[0].variables] == [np.asarray(v) for v in losses[1].variables]

    def loss(logits: Any) -> Any:
        return losses[0]({"label": LABELS}, found | {"Logits": logits}, progress=1.0, training=False)["cross_entropy"]

    slope = gradient(loss, found["Logits"])
    assert not slope[~known].any()
    assert np.abs(slope[known]).max() > 0.01


@pytest.mark.parametrize("head", ["softmax", "arcface"])
def test_labels_are_smoothed_and_the_own_cosine_is_without_margin(head):
    found, known = outputs(), LABELS >= 0
    figures = numbers(ClassLoss(head, 4, smoothing=0.3)({"label": LABELS}, found, progress=1.0))
    logits = found["Logits"] if head == "softmax" else MarginLogits(head, 4)(LABELS, found["Logits"], 1.0)
    assert figures["cross_entropy"] == pytest.approx(float(cross_entropy(LABELS, logits, 0.3)), abs=1e-5)
    if head != "softmax":
        own = found["Logits"][known, LABELS[known]]
        assert figures["own_cosine"] == pytest.approx(own.mean(), abs=1e-6)


def test_adaface_takes_lengths_past_its_range_for_its_end():
    quality = NormQuality()
    quality.mean.assign(50.0)
    quality.deviation.assign(40.0)
    found = quality(np.array([0.0, 50.0, 100.0, 5000.0], "float32"), np.zeros(4, "int32"), training=False)
    assert np.asarray(found) == pytest.approx([-0.41625, 0.0, 0.41625, 0.41625], abs=1e-4)


def test_adafaces_statistics_and_quality_are_the_plain_loop():
    quality, mean, deviation = NormQuality(), 20.0, 100.0
    for seed in range(5):
        norms = np.random.default_rng(seed).normal(11, 3, 9).astype("float32")
        known = norms[LABELS >= 0]
        mean = 0.01 * known.mean() + 0.99 * mean
        deviation = 0.01 * known.std(ddof=1) + 0.99 * deviation
        expected = np.clip((norms - mean) / (deviation + 1e-3) * 0.333, -1, 1)
        assert np.asarray(quality(norms, LABELS)) == pytest.approx(expected, abs=1e-5)
    assert [float(quality.mean), float(quality.deviation)] == pytest.approx([mean, deviation], rel=1e-5)
    before = float(quality.mean)
    quality(norms, LABELS, training=False)
    quality(norms, np.full(9, -1, "int32"))
    quality(norms, np.where(np.arange(9) == 3, 0, -1).astype("int32"))  # one has no deviation
    assert float(quality.mean) == before


def test_adaface_weighs_by_norm_and_gives_the_norm_no_gradient():
    loss, found, labels = ClassLoss("adaface", 4, ramp=0.0), outputs(), np.abs(LABELS)
    loss.quality.mean.assign(10.0)
    loss.quality.deviation.assign(2.0)

    def entropy(norms: Any) -> Any:
        targets = {"label": labels}
        return loss(targets, found | {"Norm": norms}, progress=1.0, training=False)["cross_entropy"]

    quality = np.clip((found["Norm"] - 10.0) / 2.001 * 0.333, -1, 1)
    logits = MarginLogits("adaface", 4)(labels, found["Logits"], 1.0, quality)
    assert float(entropy(found["Norm"])) == pytest.approx(float(cross_entropy(labels, logits)), abs=1e-4)
    assert float(entropy(found["Norm"])) != pytest.approx(float(entropy(found["Norm"] + 3)), abs=1e-3)
    step = gradient(lambda norms: entropy(norms) + 0.0 * keras.ops.sum(norms), found["Norm"])
    assert not step.any()


def test_centres_and_loss_are_the_plain_loop():
    part, centres = CentreLoss(4, 8, rate=0.5), np.zeros((4, 8))
    for seed in range(3):
        embeddings = unit_vectors(9, seed)
        known = [i for i in range(9) if LABELS[i] >= 0]
        expected = np.mean([0.5 * np.sum((embeddings[i] - centres[LABELS[i]]) ** 2) for i in known])
        assert float(part({"label": LABELS}, {"Embedding": embeddings}, progress=0.0)["centre"]) == pytest.approx(
            expected, abs=1e-5
        )
        old = centres.copy()
        for person in range(4):
            own = [embeddings[i] for i in known if LABELS[i] == person]
            centres[person] -= 0.5 * sum(old[person] - e for e in own) / (1 + len(own))
        assert np.asarray(part.centres) == pytest.approx(centres, abs=1e-5)
    part({"label": LABELS}, {"Embedding": embeddings}, progress=0.0, training=False)
    assert np.asarray(part.centres) == pytest.approx(centres, abs=1e-5)


def test_the_gradient_of_the_centre_loss_leads_to_the_centre():
    part, embeddings = CentreLoss(4, 8), unit_vectors(9)
    part({"label": LABELS}, {"Embedding": embeddings}, progress=0.0)

    def loss(embeddings: Any) -> Any:
        return part({"label": LABELS}, {"Embedding": embeddings}, progress=0.0, training=False)["centre"]

    centre = np.asarray(part.centres)[LABELS]
    expected = np.where(LABELS[:, None] >= 0, (embeddings - centre) / (LABELS >= 0).sum(), 0)
    assert gradient(loss, embeddings) == pytest.approx(expected, abs=1e-5)


def test_under_bfloat16_the_objective_still_computes_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        parts = ClassLoss("adaface", 4), MetricLoss("any_violating"), CentreLoss(4, 8)
        objective = Objective(*parts)
        figures = objective({"label": LABELS}, outputs())
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(v.dtype) for v in figures.values()} == {"float32"}
    expected = Objective(ClassLoss("adaface", 4), MetricLoss("any_violating"), CentreLoss(4, 8))(
        {"label": LABELS}, outputs()
    )
    assert numbers(figures) == pytest.approx(numbers(expected), abs=1e-5)


def test_an_unknown_metric_loss_is_refused():
    with pytest.raises(ValueError, match="unknown metric loss 'tripplet'; choose from triplet"):
        MetricLoss("tripplet")


def test_each_part_has_the_settings_that_were_typed():
    head = {"head": "arcface", "head_margin": "0.3", "head_scale": 20.0, "head_first_scale": 5.0, "head_ramp": 0.25}
    teacher = {"teacher": "t.keras", "teacher_weight": 3.0, "teacher_way": "relation", "teacher_contrast": 4.0}
    others = {"label_smoothing": 0.1, "temperature": 0.07, "margin": 0.4, "teacher_temperature": 0.3}
    weights = {"metric_weight": 2.0, "cross_entropy_weight": 0.5, "centre_weight": 0.25}
    parts = building.build_objective(train.Settings(**head, **teacher, **others, **weights), people=4).parts
    assert [part.weight for part in parts] == [2.0, 0.5, 0.25, 3.0, 4.0]
    metric, classes, centre, relation, taught = parts
    assert metric.options == {"margin": 0.4, "temperature": 0.07}
    margins = classes.with_margins
    assert (classes.smoothing, margins.margin, margins.scale) == (0.1, 0.3, 20.0)
    assert (margins.first_scale, margins.ramp) == (5.0, 0.25)
    assert centre.centres.shape == (4, 128)
    assert relation.loss is WAYS["relation"]
    assert taught.options == {"temperature": 0.3}
