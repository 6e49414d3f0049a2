"""Images a second of the training step on one fixed batch, and of `fit` with its loader; their ratio.

Run as `python -m benchmarks.train_step`. Step and fit take turns, so that other work on the machine slows both. Under
JAX, the step's arithmetic is beside it, and the share of the chip's peak where that is known. `--keras_batchnorm yes`
times the network with Keras's own BatchNorm layer in place of ours, too.
"""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchmarks.flops import step_flops
from benchmarks.photos import draw_photos, write_lines
from benchmarks.turns import Way, compare, compiled, ends_of, same_batch
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
    steps_at_once: int = 1  # steps between two looks at the figures
    rounds: int = 4  # turns of each
    workers: int = 4  # threads that read images
    precision: Literal["float32", "bfloat16"] = "float32"  # of the layers
    cache: Literal["none", "ram", "device"] = "none"  # where photos are kept decoded
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


def main(settings: Settings) -> None:
    """Builds network and loader, and lets step and fit take turns."""
    from utils.backend import start_keras

    keras = start_keras()
    from nets.facenet import facenet
    from utils.annotations import read_annotations
    from utils.dataloader import Loader, Pixels
    from utils.precision import set_precision
    from utils.samplers import TripleSampler

    size = (settings.input_size, settings.input_size)
    set_precision(settings.precision)
    network = facenet((*size, 3), settings.people, settings.backbone)
    set_precision("float32")
    trainers = {"ours": compiled(network, settings.steps_at_once)}
    if settings.without_losses:
        trainers["without losses"] = compiled(keras.models.clone_model(network), settings.steps_at_once, losses=False)
    if settings.keras_batchnorm:
        trainers["keras BatchNorm"] = compiled(plain_batchnorm(network), settings.steps_at_once)
    with tempfile.TemporaryDirectory() as name:
        names = [Path(path).name for path in draw_photos(Path(name), 2000, 128)]
        write_lines(Path(name) / "cls_train.txt", names, settings.people, 4 * settings.people)
        sampler = TripleSampler(read_annotations(Path(name) / "cls_train.txt"), settings.batch_size, seed=0)
        loader = Loader(sampler, Pixels(size, flip=True), (0, 10**6), settings.workers)
        if settings.cache == "ram":
            loader.photos.keep()
        if settings.cache == "device":
            photos = loader.everything()  # from here on the loader gives rows of them
            for trainer in trainers.values():
                trainer.keep_photos(photos)
        images, labels = loader[0]
        ways: dict[str, Way] = {
            f"step, {name}": partial(ends_of, one, same_batch(images, labels), settings.steps)
            for name, one in trainers.items()
        }
        ways["fit, ours"] = partial(ends_of, trainers["ours"], loader, settings.steps)
        compare(ways, settings.rounds, settings.batch_size, step_flops(trainers["ours"], images, labels))


if __name__ == "__main__":
    run_script(main, Settings)
