"""Images a second of the training step on one fixed batch, and of `fit` with its loader; their ratio.

Run as `python -m benchmarks.train_step`. Step and fit take turns, so that other work on the machine slows both. Under
JAX, the step's arithmetic is beside it, and the share of the chip's peak where that is known. `--keras_batchnorm yes`
times the network with Keras's own BatchNorm layer in place of ours, too.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchmarks.figures import show
from benchmarks.flops import peak_flops, step_flops
from benchmarks.photos import draw_photos, write_lines
from utils.settings import run_script
from utils.train_checks import Backbone

Way = Callable[[], list[tuple[int, float]]]  # gives steps, and the moments they ended at


@dataclass(frozen=True)
class Settings:
    """Images a second of step and fit."""

    backbone: Backbone = "mobilenet"  # trunk of the network
    input_size: int = 112  # pixels, square
    batch_size: int = 96  # images
    people: int = 4600  # to tell apart
    steps: int = 16  # a turn
    steps_at_once: int = 1  # steps between two looks at the figures
    rounds: int = 4  # turns of each
    workers: int = 4  # threads that read images
    precision: Literal["float32", "bfloat16"] = "float32"  # of the layers
    cache: Literal["none", "ram"] = "none"  # where fit's loader keeps photos decoded
    without_losses: bool = False  # also the network with neither softmax nor triplets
    keras_batchnorm: bool = False  # also a network with keras.layers.BatchNormalization


def plain_batchnorm(model: Any) -> Any:
    """Returns the network with Keras's own BatchNorm layers."""
    import keras

    def replaced(layer: Any) -> Any:
        if type(layer).__name__ != "BatchNorm":
            return layer.__class__.from_config(layer.get_config())
        return keras.layers.BatchNormalization.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=replaced)


def compiled(network: Any, settings: Settings, losses: bool = True) -> Any:
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
    trainer.compile(
        optimizer=keras.optimizers.Adam(1e-3), jit_compile=xla_pays(), steps_per_execution=settings.steps_at_once
    )
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


def main(settings: Settings) -> None:
    """Builds network and loader, and lets step and fit take turns."""
    from utils.backend import start_keras

    keras = start_keras()
    from nets.facenet import facenet
    from utils.annotations import read_annotations
    from utils.dataloader import Loader, Pixels
    from utils.precision import set_precision
    from utils.samplers import TripleSampler

    class Same(keras.utils.PyDataset):  # type: ignore[name-defined, misc]
        num_batches = None

        def __getitem__(self, index: int) -> Any:
            return images, labels

    size = (settings.input_size, settings.input_size)
    set_precision(settings.precision)
    network = facenet((*size, 3), settings.people, settings.backbone)
    set_precision("float32")
    trainers = {"ours": compiled(network, settings)}
    if settings.without_losses:
        trainers["without losses"] = compiled(keras.models.clone_model(network), settings, losses=False)
    if settings.keras_batchnorm:
        trainers["keras BatchNorm"] = compiled(plain_batchnorm(network), settings)
    with tempfile.TemporaryDirectory() as name:
        names = [Path(path).name for path in draw_photos(Path(name), 2000, 128)]
        write_lines(Path(name) / "cls_train.txt", names, settings.people, 4 * settings.people)
        sampler = TripleSampler(read_annotations(Path(name) / "cls_train.txt"), settings.batch_size, seed=0)
        loader = Loader(sampler, Pixels(size, flip=True), (0, 10**6), settings.workers)
        images, labels, _ = loader.batch(0)
        if settings.cache == "ram":
            loader.photos.keep()
        ways: dict[str, Way] = {
            f"step, {name}": partial(ends_of, one, Same(), settings.steps) for name, one in trainers.items()
        }
        ways["fit, ours"] = partial(ends_of, trainers["ours"], loader, settings.steps)
        compare(ways, settings, step_flops(trainers["ours"], images, labels))


def compare(ways: dict[str, Way], settings: Settings, flops: float | None) -> None:
    """Prints images a second of each way, which gives steps and when they ended, and the ratio to the first.

    `flops` of a step are shown beside them.
    """
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(settings.rounds + 1):  # the first turn compiles and is not counted
        for way, work in ways.items():
            (first_step, began), *_, (last_step, ended) = work()
            if turn:  # from the end of the first step on: a run of thousands starts once
                rates[way].append((last_step - first_step) * settings.batch_size / (ended - began))
    first = next(iter(rates.values()))
    for way, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
        show(way, statistics.median(found), "images/s", f"{ratio:.3f} of the first")
    if flops:
        rate, peak = flops * statistics.median(first) / settings.batch_size, peak_flops()
        show("arithmetic of an image, forth and back", flops / settings.batch_size / 1e9, "GFLOP")
        show("arithmetic", rate / 1e12, "TFLOP/s", f"{rate / peak:.3f} of the chip's peak" if peak else "")


if __name__ == "__main__":
    run_script(main, Settings)
