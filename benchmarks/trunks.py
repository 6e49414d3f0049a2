"""Training steps of every trunk, taking turns, and what varying the images adds to MobileNet's.

Run as `python -m benchmarks.trunks`. Milliseconds are those of the clock, and those that all cores together were at it:
the latter bear other work on the machine. A trunk's name may have its stem stride behind a slash: `mobilenet/1`.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from utils.settings import run_script

VARIATIONS: dict[str, dict[str, Any]] = {
    "flip and shift": {"flip": True, "shift": 4.0},
    "geometry": {"flip": True, "shift": 4.0, "rotation": 8.0, "scale": 0.1},
    "colour": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "grey": 0.1},
    "blur of 0.1": {"blur": 0.1},
    "low resolution of 0.2": {"low_resolution": 0.2},
    "noise of 0.2": {"noise": 0.2},
    "patches on 0.2": {"patches": 0.2},
}


@dataclass(frozen=True)
class Settings:
    """Training steps of trunks, and variation of images."""

    trunks: str = "mobilenet,mobilenet/1,mobilefacenet,iresnet18"  # names, with commas
    input_size: int = 112  # pixels, square
    batch_size: int = 96  # images
    people: int = 4600  # to tell apart
    rounds: int = 5  # turns of each; a first one is not counted


def main(settings: Settings) -> None:
    """Builds everything, lets the ways take turns, and prints medians."""
    from utils.backend import start_keras, xla_pays

    keras = start_keras()
    import numpy as np

    from nets.augment import Augment
    from nets.facenet import facenet

    size, people, batch = settings.input_size, settings.people, settings.batch_size
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (batch, size + 16, size + 16, 3)).astype(np.uint8)
    labels = random.integers(0, people, batch).astype(np.int32)
    images = photos[:, 8:-8, 8:-8].copy()

    def step(name: str) -> Callable[[], Any]:
        backbone, _, stride = name.partition("/")
        options: dict[str, Any] = {"stem_stride": int(stride)} if stride else {}
        network = facenet((size, size, 3), people, backbone, **options)
        loss = {"Softmax": "sparse_categorical_crossentropy", "Embedding": None}
        network.compile(keras.optimizers.Adam(1e-3), loss=loss, jit_compile=xla_pays())
        return lambda: network.train_on_batch(images, {"Softmax": labels})

    def vary(**options: Any) -> Callable[[], Any]:
        layer = Augment((size, size), **options)
        run = _compiled(layer, photos)
        return lambda: np.asarray(run())

    ways = {name: step(name) for name in settings.trunks.split(",")}
    everything = {key: value for options in VARIATIONS.values() for key, value in options.items()}
    ways |= {name: vary(**options) for name, options in (VARIATIONS | {"all of these": everything}).items()}
    compare(ways, settings)


def _compiled(layer: Any, photos: Any) -> Callable[[], Any]:
    """Returns a function that varies the photos as inside a training step: one graph."""
    import keras

    layer.build(photos.shape)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        inputs = tf.constant(photos)
        graph = tf.function(lambda: layer(inputs, training=True))
        return lambda: graph()
    import jax

    state = [variable.value for variable in layer.non_trainable_variables]
    inputs = jax.device_put(photos)
    varied = jax.jit(lambda state, images: layer.stateless_call([], state, images, training=True)[0])
    return lambda: varied(state, inputs)


def compare(ways: dict[str, Callable[[], Any]], settings: Settings) -> None:
    """Prints milliseconds of each way, by the clock and of all cores, and the median of their ratios to the first."""
    clock: dict[str, list[float]] = {way: [] for way in ways}
    cores: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(settings.rounds + 1):
        for way, work in ways.items():
            began, used = time.perf_counter(), time.process_time()
            work()
            if turn:
                clock[way].append(1000 * (time.perf_counter() - began))
                cores[way].append(1000 * (time.process_time() - used))
    first = next(iter(ways))
    print(f"{'':26}{'ms by the clock':>17}{'ms of cores':>13}{'of ' + first:>14}")
    for way in ways:
        share = statistics.median(cores[way]) / statistics.median(cores[first])
        print(f"{way:26}{statistics.median(clock[way]):17.1f}{statistics.median(cores[way]):13.1f}{share:14.3f}")


if __name__ == "__main__":
    run_script(main, Settings)
