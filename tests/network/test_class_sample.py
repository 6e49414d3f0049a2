"""A sample of the people: its logits, its draws, what a step moves, and that a checkpoint goes on exactly."""

from typing import Any

import keras
import numpy as np
import pytest

from nets.class_sample import ClassSample, columns_for, places
from nets.facenet import TRUNKS, facenet, training_outputs
from nets.heads import HEADS
from nets.objective import ClassLoss, MetricLoss, Objective
from nets.trainer import Trainer
from tests.network.differentiation import compiled
from tests.network.on_jax import assert_pass_on_jax
from utils.backend import xla_pays
from utils.optimizers import OPTIMIZERS
from utils.state import load_state, save_state

PEOPLE = 40
LABELS = np.array([3, 17, 17, 39, 3, -1, 20, 0], "int32")
IMAGES = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3)).astype("uint8")


def tiny(images: Any) -> Any:
    """A trunk that compiles in no time."""
    x = keras.layers.Conv2D(8, 8, strides=8, use_bias=False)(images)
    return keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))


@pytest.fixture(autouse=True)
def _trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNKS, "tiny", tiny)


def trainer_of(
    head: str = "softmax",
    columns: int | None = 12,
    optimizer: Any = None,
    objective: Any = None,
    xla: bool | None = None,
) -> Trainer:
    """A trainer over 40 people; without columns, over all of them."""
    xla = xla_pays() if xla is None else xla
    keras.utils.set_random_seed(0)
    network = facenet((32, 32, 3), PEOPLE, head=head, backbone="tiny", embedding_size=16, dropout=0.0)
    sample = ClassSample(network.get_layer("Logits"), columns) if columns else None
    objective = objective or Objective(ClassLoss(head, PEOPLE, ramp=0.0) if HEADS[head] else ClassLoss(people=PEOPLE))
    trainer = Trainer(network, objective, 6, sample=sample)
    trainer.compile(optimizer or keras.optimizers.Adam(1e-2), jit_compile=xla)
    return trainer


def fit(trainer: Trainer, epochs: int = 1, labels: np.ndarray = LABELS, **options: Any) -> dict[str, list[float]]:
    options = {"batch_size": 8, "shuffle": False, "verbose": 0} | options
    return trainer.fit(IMAGES, labels, epochs=epochs, **options).history


def array(variable: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))


def sample_of(columns: int, seed: int = 0, people: int = PEOPLE) -> ClassSample:
    head = facenet((32, 32, 3), people, backbone="tiny", embedding_size=16).get_layer("Logits")
    return ClassSample(head, columns, seed)


def drawn(sample: ClassSample, labels: np.ndarray = LABELS) -> np.ndarray:
    sample.take(labels)
    return array(sample.chosen)


def test_the_people_of_the_batch_come_first_and_nobody_comes_twice():
    sample, known = sample_of(12), {0, 3, 17, 20, 39}
    rounds = [drawn(sample) for _ in range(20)]
    for people in rounds:
        assert set(people[:5]) == known
        assert len(set(people)) == 12
        assert people.min() >= 0
        assert people.max() < PEOPLE
    assert len({tuple(sorted(people)) for people in rounds}) == 20
    assert set(drawn(sample_of(PEOPLE))) == set(range(PEOPLE))
    assert len(set(drawn(sample, np.full(8, -1, "int32")))) == 12


def test_draws_follow_from_the_seed():
    one, same, other = sample_of(12, 1), sample_of(12, 1), sample_of(12, 2)
    draws = [[drawn(sample).tolist() for _ in range(3)] for sample in (one, same, other)]
    assert draws[0] == draws[1] != draws[2]


def test_others_are_drawn_equally_often_and_their_share_of_the_sum_is_theirs():
    """The sum over the sample's strangers, in expectation, is the share of them times the sum over all strangers."""
    sample, rounds, odds = sample_of(15), 1500, np.exp(np.random.default_rng(0).normal(size=PEOPLE))
    strangers = np.setdiff1d(np.arange(PEOPLE), LABELS)
    chosen = np.zeros(PEOPLE)
    for _ in range(rounds):
        chosen[drawn(sample)] += 1
    assert (chosen[LABELS[LABELS >= 0]] == rounds).all()
    share = 10 / 35  # five of fifteen places go to the batch's own people
    deviation = np.sqrt(share * (1 - share) / rounds)
    assert np.abs(chosen[strangers] / rounds - share).max() < 4.5 * deviation
    found = (odds * chosen)[strangers].sum() / rounds
    assert found == pytest.approx(share * odds[strangers].sum(), rel=0.03)


@pytest.mark.parametrize("head", HEADS)
def test_logits_are_the_columns_of_the_full_ones(head):
    trainer = trainer_of(head)
    trainer.sample.take(LABELS)
    found = trainer.sample(array(trainer.forward(IMAGES, training=False)["Seen"]), training=True)
    full = array(training_outputs(trainer.network, ["Logits"])(IMAGES, training=False)["Logits"])
    assert array(found["Logits"]) == pytest.approx(full[:, array(found["People"])], abs=1e-5)
    everybody = trainer(IMAGES, training=False)
    assert array(everybody["Logits"]) == pytest.approx(full, abs=1e-5)
    assert "People" not in everybody


def test_places_are_where_the_labels_stand():
    people = np.array([39, 3, 20, 0, 17, 5, 6], "int32")
    assert array(places(LABELS, people)).tolist() == [1, 4, 4, 0, 1, -1, 2, 3]
    assert array(compiled(places)(LABELS, people)).tolist() == [1, 4, 4, 0, 1, -1, 2, 3]


@pytest.mark.parametrize(("head", "optimizer"), [("softmax", "adamw"), ("adaface", "sgd"), ("subcenter", "adamw")])
def test_a_sample_of_all_people_is_the_full_cross_entropy(head, optimizer):
    """Loss by loss over three steps, and all weights after them."""
    sampled, full = (
        trainer_of(head, columns, OPTIMIZERS[optimizer](1e-2, weight_decay=0.01)) for columns in (PEOPLE, None)
    )
    one, other = fit(sampled, 3), fit(full, 3)
    assert set(one) == set(other)
    for name in ("loss", "cross_entropy", "accuracy"):
        assert one[name] == pytest.approx(other[name], abs=1e-4), name
    for a, b in zip(sampled.network.weights, full.network.weights, strict=True):
        assert array(a) == pytest.approx(array(b), abs=1e-4), a.path


@pytest.mark.parametrize("head", ["softmax", "subcenter"])
def test_a_step_moves_the_drawn_people_and_nobody_else(head):
    """Adam's numbers of the others stay, too, which a step over all people would let fade."""
    trainer = trainer_of(head)
    fit(trainer, 2)
    before = [array(rows.everybody) for rows in trainer.sample.rows]
    assert any(np.abs(values).max() > 0 for values in before[-2:])
    history = fit(trainer)
    assert np.isfinite(history["loss"][0])
    chosen = array(trainer.sample.chosen)
    others = np.setdiff1d(np.arange(PEOPLE), chosen)
    for rows, old in zip(trainer.sample.rows, before, strict=True):
        new = array(rows.everybody)
        assert (new[others] == old[others]).all()
        assert new[chosen] == pytest.approx(array(rows.sample))
    for rows, old in list(zip(trainer.sample.rows, before, strict=True))[: len(trainer.sample.own)]:
        assert (array(rows.everybody)[chosen] != old[chosen]).any(axis=tuple(range(1, old.ndim))).all()


def test_the_networks_softmax_is_of_the_weights_as_they_are_now(tmp_path):
    trainer = trainer_of("arcface")
    fit(trainer, 2)
    trainer.network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert array(loaded.get_layer("Logits").kernel) == pytest.approx(array(trainer.sample.rows[0].everybody))
    found = array(loaded(IMAGES, training=False)["Softmax"])
    assert found.shape == (8, PEOPLE)
    assert found.sum(axis=1) == pytest.approx(np.ones(8), abs=1e-5)
    assert found == pytest.approx(array(trainer.network(IMAGES, training=False)["Softmax"]), abs=1e-5)


def test_images_of_nobody_take_no_part():
    nobody = np.full(8, -1, "int32")
    trainer = trainer_of("softmax", objective=Objective(ClassLoss(people=PEOPLE)))
    before = array(trainer.network.get_layer("Logits").kernel)
    assert fit(trainer, labels=nobody)["loss"] == [0.0]
    assert (array(trainer.network.get_layer("Logits").kernel) == before).all()


def test_a_checkpoint_goes_on_exactly(tmp_path):
    """Draws, everybody's weights, and what the optimizer keeps of everybody."""

    def fresh() -> Trainer:
        objective = Objective(ClassLoss("cosface", PEOPLE), MetricLoss("any_violating", margin=1.0))
        return trainer_of("cosface", objective=objective)

    whole, first, second = fresh(), fresh(), fresh()
    expected = fit(whole, 3, batch_size=4)
    fit(first, batch_size=4)
    save_state(tmp_path / "state.npz", first, {"epoch": 1, "annotations": "a"})
    load_state(tmp_path / "state.npz", second, "a")
    found = fit(second, 2, batch_size=4)
    for name in ("loss", "cross_entropy", "own_cosine"):
        assert found[name] == expected[name][1:], name
    for one, other in zip(whole.variables, second.variables, strict=True):
        if not any(one is variable for variable in whole.metrics_variables):
            assert (array(one) == array(other)).all(), one.path


def test_a_step_is_the_same_as_xla_compiles_it():
    """As on a GPU under TensorFlow, where draws are others but a sample of all people is the same."""
    trainers = [trainer_of("cosface", PEOPLE, keras.optimizers.SGD(0.1), xla=xla) for xla in (False, True)]
    histories = [fit(trainer, 2)["loss"] for trainer in trainers]
    assert histories[0] == pytest.approx(histories[1], abs=1e-4)
    kernels = [array(trainer.sample.rows[0].everybody) for trainer in trainers]
    assert kernels[0] == pytest.approx(kernels[1], abs=1e-4)


def test_a_dict_of_targets_and_evaluation_over_all_people():
    numbers, dicts = trainer_of(), trainer_of()
    fit(numbers)
    dicts.fit(IMAGES, {"label": LABELS}, batch_size=8, verbose=0)
    assert array(dicts.sample.own[0]) == pytest.approx(array(numbers.sample.own[0]), abs=1e-6)
    state = array(numbers.sample.draws.state)
    found = numbers.evaluate(IMAGES, LABELS, batch_size=8, verbose=0, return_dict=True)
    logits = array(training_outputs(numbers.network, ["Logits"])(IMAGES, training=False)["Logits"])
    known = LABELS >= 0
    exact = np.log(np.exp(logits).sum(axis=1))[known] - logits[known, LABELS[known]]
    assert found["cross_entropy"] == pytest.approx(exact.mean(), abs=1e-4)
    assert (array(numbers.sample.draws.state) == state).all()


def test_a_batch_finds_room_in_a_sample():
    assert columns_for(1_000_000, 0.1, 128) == 100_000
    assert columns_for(600, 0.1, 128) == 128
    assert columns_for(100, 0.1, 128) == 100
    assert columns_for(605, 0.1, 8) == 61  # rounded up
    with pytest.raises(ValueError, match="columns is 1 to 40"):
        sample_of(41)


def test_gradients_of_a_sample_are_the_full_ones_rows():
    """Of the mean cross-entropy over the chosen people alone, at a rate of 1 without momentum."""
    trainer = trainer_of("softmax", optimizer=keras.optimizers.SGD(1.0))
    kernel = array(trainer.network.get_layer("Logits").kernel)
    seen = array(trainer.forward(IMAGES, training=True)["Seen"])
    before = array(trainer.network.get_layer("BatchNorm_Bottleneck").moving_mean)
    fit(trainer)
    assert (array(trainer.network.get_layer("BatchNorm_Bottleneck").moving_mean) != before).any()
    chosen = array(trainer.sample.chosen)
    logits = seen @ kernel[chosen].T
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    slope = odds / odds.sum(axis=1, keepdims=True) - (LABELS[:, None] == chosen[None, :])
    slope[LABELS < 0] = 0
    expected = slope.T @ seen / (LABELS >= 0).sum()
    moved = kernel - array(trainer.network.get_layer("Logits").kernel)
    assert moved[chosen] == pytest.approx(expected, abs=1e-4)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this is that run")
def test_the_same_on_jax():
    assert_pass_on_jax(__file__)
