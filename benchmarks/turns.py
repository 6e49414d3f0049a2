"""Training steps that take turns, so that other work on the machine slows all of them."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.figures import show
from benchmarks.flops import peak_flops
from benchmarks.side_by_side import alone

Way = Callable[[], list[tuple[int, float]]]  # gives steps, and the moments they ended at


def compiled(network: Any, steps_at_once: int = 1, losses: bool = True) -> Any:
    """Returns a trainer with softmax and triplets, or with next to no objective at all."""
    import keras

    from nets.objective import ClassLoss, MetricLoss, Objective, Part
    from nets.trainer import Trainer
    from utils.backend import xla_pays

    class Nothing(Part):
        def call(self, targets: Any, outputs: Any, progress: Any, training: bool = True) -> Any:
            return {"nothing": keras.ops.mean(outputs["Embedding"][:, 0])}

    parts = (ClassLoss(), MetricLoss("triplet")) if losses else (Nothing(1.0, "nothing"),)
    trainer = Trainer(network, Objective(*parts), steps=1)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=xla_pays(), steps_per_execution=steps_at_once)
    return trainer


def ends_of(trainer: Any, data: Any, steps: int) -> list[tuple[int, float]]:
    """Returns (step, moment it ended) of a `fit` of so many steps, as often as it looks up from them."""
    import keras

    ends: list[tuple[int, float]] = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: ends.append((step, time.perf_counter()))
    )
    trainer.fit(data, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[clock])
    return ends


def same_batch(images: Any, labels: Any) -> Any:
    """Returns a loader without an end of one batch again and again, images `(B, H, W, 3)` and labels `(B,)`."""
    import keras

    class Same(keras.utils.PyDataset):  # type: ignore[name-defined, misc]
        num_batches = None

        def __getitem__(self, index: int) -> Any:
            return images, labels

    return Same()


def compare(ways: dict[str, Way], rounds: int, batch_size: int, flops: float | None = None) -> None:
    """Prints images a second of each way, which gives steps and when they ended, and the ratio to the first.

    `flops` of a step of `batch_size` images are shown beside them; `rounds` turns of each are counted.
    """
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for work in ways.values():
        work()  # compiles
    with alone():
        for way, work in [*ways.items()] * rounds:
            (first_step, began), *_, (last_step, ended) = work()
            # from the end of the first step on: a run of thousands starts once
            rates[way].append((last_step - first_step) * batch_size / (ended - began))
    first = next(iter(rates.values()))
    for way, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
        show(way, statistics.median(found), "images/s", f"{ratio:.3f} of the first")
    if flops:
        rate, peak = flops * statistics.median(first) / batch_size, peak_flops()
        show("arithmetic of an image, forth and back", flops / batch_size / 1e9, "GFLOP")
        show("arithmetic", rate / 1e12, "TFLOP/s", f"{rate / peak:.3f} of the chip's peak" if peak else "")
