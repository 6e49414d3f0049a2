"""Class weights laid out over four devices: each holds a quarter, and a run is that of one device."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from nets.class_sample import ClassSample
from nets.facenet import TRUNKS, facenet
from nets.objective import ClassLoss, Objective
from nets.trainer import Trainer
from utils.class_layout import class_layout

ROOT = Path(__file__).resolve().parents[2]
DEVICES = 4
PEOPLE, ROWS = 30, 32
LABELS = np.array([3, 17, 17, 29, 3, -1, 20, 0], "int32")
IMAGES = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3)).astype("uint8")
FOUR = keras.backend.backend() == "jax" and len(keras.distribution.list_devices()) == DEVICES
on_four = pytest.mark.skipif(not FOUR, reason="in the run of the last test: four devices under JAX")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(
        TRUNKS, "tiny", lambda x: keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 8, strides=8)(x))
    )
    yield
    keras.distribution.set_distribution(None)


def fitted(layout: Any, head: str, columns: int) -> tuple[Trainer, list[float]]:
    """Returns (trainer, its losses of four steps), on a layout; None: on one device."""
    keras.distribution.set_distribution(layout)
    keras.utils.set_random_seed(0)
    network = facenet((32, 32, 3), PEOPLE, "tiny", 16, head=head, dropout=0.0, rows_multiple=DEVICES)
    sample = ClassSample(network.get_layer("Logits"), columns) if columns else None
    trainer = Trainer(network, Objective(ClassLoss(head, PEOPLE)), 4, sample=sample)
    trainer.compile(keras.optimizers.Adam(1e-2))
    return trainer, trainer.fit(IMAGES, LABELS, batch_size=8, epochs=4, shuffle=False, verbose=0).history["loss"]


def of_everybody(trainer: Trainer) -> list[Any]:
    """Class weights and what the optimizer keeps of them."""
    if trainer.sample:
        return [rows.everybody for rows in trainer.sample.rows]
    kept = [v for v in trainer.optimizer.variables if v.name.startswith("Logits")]
    return [*trainer.network.get_layer("Logits").weights, *kept]


@on_four
@pytest.mark.parametrize("columns", [0, 12])
@pytest.mark.parametrize("head", ["softmax", "subcenter"])
def test_four_devices_do_as_one_and_each_holds_a_quarter(head, columns):
    one, expected = fitted(None, head, columns)
    four, found = fitted(class_layout(), head, columns)
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(of_everybody(four)) == (6 if head == "softmax" else 3)
    for there, here in zip(of_everybody(four), of_everybody(one), strict=True):
        shards = there.value.addressable_shards
        assert len({shard.device for shard in shards}) == DEVICES
        assert {shard.data.shape for shard in shards} == {(ROWS // DEVICES, *there.shape[1:])}
        assert np.asarray(there) == pytest.approx(np.asarray(here), abs=1e-3)
    kernel = four.network.get_layer("Bottleneck").kernel.value
    assert {shard.data.shape for shard in kernel.addressable_shards} == {kernel.shape}


@on_four
def test_rows_of_nobody_are_no_people():
    trainer, _ = fitted(class_layout(), "softmax", 12)
    assert trainer.network.output["Softmax"].shape == (None, PEOPLE)
    kernel = trainer.network.get_layer("Logits").kernel
    assert kernel.shape == (ROWS, 16)
    assert np.asarray(trainer.sample.chosen).max() < PEOPLE
    assert not np.asarray(trainer.sample.rows[-1].everybody)[PEOPLE:].any()


@pytest.mark.skipif(FOUR, reason="this is that run")
def test_the_above_on_four_virtual_devices():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-rs", __file__],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "5 passed" in done.stdout
