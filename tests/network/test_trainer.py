"""The trainer under `fit`: progress, figures, what is trained, and that a checkpoint goes on exactly."""

from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from nets.diagnosis import effective_rank, gradient_norm, pair_distances
from nets.facenet import TRUNKS, facenet
from nets.layers import BatchNorm
from nets.objective import CentreLoss, ClassLoss, MetricLoss, Objective
from nets.trainer import Trainer
from tests.network.differentiation import unit_vectors
from tests.network.on_jax import assert_pass_on_jax
from utils.backend import xla_pays
from utils.optimizers import OPTIMIZERS, TrunkRate
from utils.schedules import SCHEDULES
from utils.state import load_state, save_state

LABELS = np.array([0, 1, 1, 2, 0, -1, 2, 3], "int32")
IMAGES = np.random.default_rng(0).integers(0, 255, (8, 80, 80, 3)).astype("uint8")


@keras.saving.register_keras_serializable("tests")
class Cut(keras.layers.Layer):
    """The middle 80 pixels; in training, darker."""

    def call(self, images: Any, training: bool | None = None) -> Any:
        return keras.ops.cast(images, "float32")[:, 4:84, 4:84] * (0.5 if training else 1.0)


def tiny(images: Any) -> Any:
    """A trunk that compiles in no time."""
    x = keras.layers.Conv2D(8, 8, strides=8, use_bias=False)(images)
    return keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(BatchNorm()(x)))


@pytest.fixture(autouse=True)
def _trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNKS, "tiny", tiny)


def trainer_of(
    head: str = "adaface", steps: int = 6, objective: Objective | None = None, dropout: float = 0.3, **options: Any
) -> Trainer:
    keras.utils.set_random_seed(0)
    network = facenet((80, 80, 3), 4, head=head, backbone="tiny", embedding_size=16, dropout=dropout)
    objective = objective or Objective(
        ClassLoss(head, 4), MetricLoss("any_violating", margin=1.0), CentreLoss(4, 16, weight=0.1)
    )
    trainer = Trainer(network, objective, steps, **options)
    trainer.compile(keras.optimizers.AdamW(1e-3), jit_compile=xla_pays())
    return trainer


def fit(trainer: Trainer, epochs: int = 1, **options: Any) -> dict[str, list[float]]:
    return trainer.fit(IMAGES, LABELS, batch_size=4, epochs=epochs, shuffle=False, verbose=0, **options).history


@pytest.mark.parametrize("head", ["softmax", "adaface", "subcenter"])
def test_figures_are_finite_and_all_there(head):
    history = fit(trainer_of(head))
    names = {"loss", "cross_entropy", "accuracy", "any_violating", "violating", "centre"}
    names |= {"same_distance", "different_distance", "effective_rank"}
    assert set(history) == names | ({"own_cosine"} if head != "softmax" else set())
    assert np.isfinite([values[-1] for values in history.values()]).all()


def test_progress_is_the_share_of_the_steps_that_are_done():
    """On every backend; an optimizer's count would stand still under JAX."""

    class Seen(Objective):
        def call(self, targets: Any, outputs: Any, progress: Any = 1.0, **options: Any) -> Any:
            return super().call(targets, outputs, progress, **options) | {"progress": progress}

    objective = Seen(MetricLoss("batch_all"))
    objective.figures = (*objective.figures, "progress")
    trainer = trainer_of("softmax", 6, objective)
    seen = fit(trainer, 4)["progress"]
    assert seen == pytest.approx([(0 + 1) / 12, (2 + 3) / 12, (4 + 5) / 12, 1.0])
    trainer.evaluate(IMAGES, LABELS, batch_size=4, verbose=0)
    assert int(trainer.steps_done) == 8


def test_gradient_norm_is_that_of_the_last_step():
    """Under SGD of rate 1 the step is the gradient, and clipping comes after."""
    trainer = trainer_of("softmax", 2, Objective(ClassLoss(people=4)))
    trainer.compile(sgd := keras.optimizers.SGD(1.0, global_clipnorm=0.01), jit_compile=xla_pays())
    trainer.fit(IMAGES, LABELS, batch_size=8, verbose=0)
    free = trainer_of("softmax", 2, Objective(ClassLoss(people=4)))
    before = [np.asarray(v).copy() for v in free.trainable_variables]
    free.compile(keras.optimizers.SGD(1.0), jit_compile=xla_pays())
    free.fit(IMAGES, LABELS, batch_size=8, verbose=0)
    steps = [np.asarray(v) - b for v, b in zip(free.trainable_variables, before, strict=True)]
    assert gradient_norm(sgd) == pytest.approx(np.sqrt(sum(np.sum(step**2) for step in steps)), rel=1e-3)


def test_a_checkpoint_goes_on_exactly(tmp_path):
    """Centres, AdaFace's statistics, the draws of negatives, dropout, the ramp: all are in it."""
    whole, first, second = trainer_of(), trainer_of(), trainer_of()
    expected = fit(whole, 3)
    fit(first)
    save_state(tmp_path / "state.npz", first, {"epoch": 1, "annotations": "a"})
    load_state(tmp_path / "state.npz", second, "a")
    found = fit(second, 2)
    for name in ("loss", "any_violating", "centre", "cross_entropy"):
        assert found[name] == expected[name][1:], name
    for one, other in zip(whole.variables, second.variables, strict=True):
        if not any(one is variable for variable in whole.metrics_variables):
            assert (np.asarray(one) == np.asarray(other)).all(), one.path


def test_a_checkpoint_amid_batches_of_one_update_goes_on_exactly(tmp_path):
    """Two batches an epoch, three an update: what is added up so far, the average and the rate's place are in it."""

    def trainer_that_accumulates() -> Trainer:
        trainer, trunk = trainer_of(), TrunkRate(0.5, frozen=1)
        options = {"weight_decay": 0.1, "clip_norm": 1.0, "accumulate": 3, "ema": 0.6, "trunk": trunk}
        trainer.compile(OPTIMIZERS["adamw"](SCHEDULES["cos"](1e-2, 3, 1), **options), jit_compile=xla_pays())
        return trainer

    whole, first, second = (trainer_that_accumulates() for _ in range(3))
    fit(whole, 4)
    fit(first)
    save_state(tmp_path / "state.npz", first, {"epoch": 1, "annotations": "a"})
    load_state(tmp_path / "state.npz", second, "a")
    fit(second, 3)
    kept = ((one.trainable_variables, one.optimizer.variables) for one in (whole, second))
    for variables in zip(*kept, strict=True):
        for one, other in zip(*variables, strict=True):
            assert (np.asarray(one) == np.asarray(other)).all(), one.path


def test_without_a_class_loss_the_head_is_neither_run_nor_trained():
    trainer = trainer_of("softmax", 2, Objective(metric=MetricLoss("batch_all")))
    assert set(trainer.forward.output) == {"Embedding"}
    before = np.asarray(trainer.network.get_layer("Logits").kernel).copy()
    fit(trainer)
    assert (np.asarray(trainer.network.get_layer("Logits").kernel) == before).all()


def test_images_are_augmented_first_and_cut_alike_when_not_training():
    trainer = trainer_of(augment=Cut(), dropout=0.0)
    large = np.pad(IMAGES, ((0, 0), (4, 4), (4, 4), (0, 0)))
    trainer.fit(large, LABELS, batch_size=4, verbose=0)
    found = np.asarray(trainer(large, training=False)["Embedding"])
    assert found == pytest.approx(np.asarray(trainer.forward(IMAGES, training=False)["Embedding"]), abs=1e-5)
    darker = np.asarray(trainer(large, training=True)["Embedding"])
    assert darker == pytest.approx(np.asarray(trainer.forward(IMAGES * 0.5, training=True)["Embedding"]), abs=1e-4)


def test_targets_may_be_a_dict():
    numbers, dicts = trainer_of(), trainer_of()
    numbers.fit(IMAGES, LABELS, batch_size=4, shuffle=False, verbose=0)
    dicts.fit(IMAGES, {"label": LABELS}, batch_size=4, shuffle=False, verbose=0)
    for one, other in zip(numbers.trainable_variables, dicts.trainable_variables, strict=True):
        assert (np.asarray(one) == np.asarray(other)).all()


def test_distances_within_a_batch_are_the_plain_loop():
    embeddings = unit_vectors(8)
    distances: dict[bool, list[float]] = {True: [], False: []}
    for i in range(8):
        for j in range(8):
            if i != j and min(LABELS[i], LABELS[j]) >= 0:
                distances[LABELS[i] == LABELS[j]].append(float(np.sum((embeddings[i] - embeddings[j]) ** 2)))
    found = pair_distances(LABELS, embeddings)
    for name, same in (("same_distance", True), ("different_distance", False)):
        mean, number = found[name]
        assert float(mean) == pytest.approx(np.mean(distances[same]), abs=1e-5)
        assert float(number) == len(distances[same])
    assert [float(x) for x in pair_distances(np.arange(8, dtype="int32"), embeddings)["same_distance"]] == [0.0, 0.0]


def test_distances_of_an_epoch_are_means_over_its_pairs():
    """The second batch has no pair of one person, and fewer of two."""
    trainer = trainer_of("softmax", objective=Objective(MetricLoss("batch_all")))
    trainer.compile(keras.optimizers.SGD(), run_eagerly=True)
    found = trainer.evaluate(IMAGES, LABELS, batch_size=4, verbose=0, return_dict=True)
    embeddings = np.asarray(trainer(IMAGES, training=False)["Embedding"])
    halves = [pair_distances(LABELS[part], embeddings[part]) for part in (slice(0, 4), slice(4, 8))]
    for name in ("same_distance", "different_distance"):
        means, numbers = ([float(half[name][k]) for half in halves] for k in (0, 1))
        assert found[name] == pytest.approx(np.average(means, weights=numbers), abs=1e-5)
    assert numbers[0] > numbers[1] > 0


def test_training_steps_alone_see_smaller_images_scaled_as_pillow_does():
    trainer, seen = trainer_of(), []
    trainer.train_at(40)
    trainer.forward = lambda images, training: seen.append(np.asarray(images)) or {}
    for training in (True, False):
        trainer.call(IMAGES, training=training)
    expected = [np.asarray(Image.fromarray(each).resize((40, 40), Image.Resampling.BILINEAR)) for each in IMAGES]
    assert np.abs(seen[0] - np.stack(expected)).max() < 1.6  # Pillow rounds to whole numbers twice
    assert (seen[1] == IMAGES).all()


def test_effective_rank_is_that_of_the_covariance():
    embeddings = unit_vectors(50)
    spectrum = np.linalg.eigvalsh(np.cov(embeddings.T))
    assert float(effective_rank(embeddings)) == pytest.approx(spectrum.sum() ** 2 / (spectrum**2).sum(), rel=1e-4)
    line = np.stack([np.linspace(-1, 1, 9), np.zeros(9)], axis=1).astype("float32")
    assert float(effective_rank(line)) == pytest.approx(1.0)
    assert float(effective_rank(np.repeat(unit_vectors(1), 9, axis=0))) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this is that run")
def test_the_same_on_jax():
    assert_pass_on_jax(__file__, "-k", "progress or checkpoint or gradient_norm")
