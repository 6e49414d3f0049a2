"""Images a second of the training step on one fixed batch, and of `fit` with its loader; their ratio.

Run as `python -m benchmarks.train_step`. Step and fit take turns, so that other work on the machine slows
both. `--keras_batchnorm yes` times the network with Keras's own BatchNorm layer in place of ours, too.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.photos import draw_photos, write_lines
from utils.settings import run_script
from utils.train_checks import Backbone


@dataclass(frozen=True)
class Settings:
    """Images a second of step and fit."""

    backbone: Backbone = "mobilenet"  # trunk of the network
    input_size: int = 112  # pixels, square
    batch_size: int = 96  # images
    people: int = 4600  # to tell apart
    steps: int = 16  # a turn
    rounds: int = 4  # turns of each
    workers: int = 4  # threads that read images
    keras_batchnorm: bool = False  # also a network with keras.layers.BatchNormalization


def plain_batchnorm(model: Any) -> Any:
    """Returns the network with Keras's own BatchNorm layers."""
    import keras

    def replaced(layer: Any) -> Any:
        if type(layer).__name__ != "BatchNorm":
            return layer.__class__.from_config(layer.get_config())
        return keras.layers.BatchNormalization.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=replaced)


def compiled(network: Any) -> Any:
    """Returns a trainer with the objective and the optimizer of train.py's defaults."""
    import keras

    from nets.objective import ClassLoss, MetricLoss, Objective
    from nets.trainer import Trainer
    from utils.backend import xla_pays

    trainer = Trainer(network, Objective(ClassLoss(), MetricLoss("triplet")), steps=1)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=xla_pays())
    return trainer


def main(settings: Settings) -> None:
    """Builds network and loader, and lets step and fit take turns."""
    from utils.backend import start_keras

    keras = start_keras()
    from nets.facenet import facenet
    from utils.annotations import read_annotations
    from utils.dataloader import Loader, Pixels
    from utils.samplers import TripleSampler

    size = (settings.input_size, settings.input_size)
    network = facenet((*size, 3), settings.people, settings.backbone)
    trainers = {"ours": compiled(network)}
    if settings.keras_batchnorm:
        trainers["keras BatchNorm"] = compiled(plain_batchnorm(network))
    with tempfile.TemporaryDirectory() as name:
        names = [Path(path).name for path in draw_photos(Path(name), 2000, 128)]
        write_lines(Path(name) / "cls_train.txt", names, settings.people, 4 * settings.people)
        annotations = read_annotations(Path(name) / "cls_train.txt")
        sampler = TripleSampler(annotations, settings.batch_size, seed=0)
        images, labels, _ = Loader(sampler, Pixels(size), (0, 1), 1).batch(0)

        def step(trainer: Any) -> list[float]:
            ends = []
            for _ in range(settings.steps):
                trainer.train_on_batch(images, labels)
                ends.append(time.perf_counter())
            return ends

        def fit(trainer: Any) -> list[float]:
            ends: list[float] = []
            clock = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
            )
            loader = Loader(sampler, Pixels(size, flip=True), (0, settings.steps), settings.workers)
            trainer.fit(loader, steps_per_epoch=settings.steps, verbose=0, shuffle=False, callbacks=[clock])
            return ends

        ways: dict[str, Callable[[], list[float]]] = {f"step, {n}": partial(step, t) for n, t in trainers.items()}
        ways["fit, ours"] = partial(fit, trainers["ours"])
        compare(ways, settings)


def compare(ways: dict[str, Callable[[], list[float]]], settings: Settings) -> None:
    """Prints images a second of each way, which gives the moments its steps ended at, and the ratio to the first."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(settings.rounds + 1):  # the first turn compiles and is not counted
        for way, work in ways.items():
            ends = work()
            if turn:  # from the end of the first step on: a run of thousands starts once
                rates[way].append((len(ends) - 1) * settings.batch_size / (ends[-1] - ends[0]))
    first = next(iter(rates.values()))
    for way, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
        print(f"{way:24} {statistics.median(found):7.1f} images/s, {ratio:5.3f} of the first")


if __name__ == "__main__":
    run_script(main, Settings)
