"""The training step of MobileNet here beside facenet-tf2's on Keras 2, in turn, at equal network, batch and losses.

Run as `pip install tf_keras`, then `python -m benchmarks.facenet_tf2`. facenet-tf2 itself pins TensorFlow 2.2; its step
is written down here anew on `tf_keras`, which is Keras 2 for today's TensorFlow: softmax over one-hot labels and the
triplet loss on `sqrt` distances, as two losses of `fit`, Adam, pixels in float32. Its loader is left out, ours too.
"""

import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

from benchmarks.figures import figures_of, show
from benchmarks.turns import Way, compare, compiled, ends_of, same_batch
from utils.backend import start_keras
from utils.settings import UserError, run_script


@dataclass(frozen=True)
class Settings:
    """Images a second of both steps, and their ratio."""

    input_size: int = 112  # pixels, square
    batch_size: int = 96  # images
    people: int = 10_000  # to tell apart
    steps: int = 8  # a turn
    rounds: int = 5  # turns of each
    way: Literal["both", "facenet-tf2", "ours"] = "both"  # of which there are turns
    apart: bool = False  # a process each turn, with the kernels that TensorFlow takes when started so


def facenet_tf2(size: int, people: int) -> Any:
    """Returns MobileNet on Keras 2 with the bottleneck and two outputs as facenet-tf2 has them, compiled."""
    import tensorflow as tf
    from tf_keras import Model, layers, optimizers

    from nets.mobilenet import BLOCKS, STEM_FILTERS

    def normalised(x: Any) -> Any:
        return layers.ReLU(6.0)(layers.BatchNormalization()(x))

    def triplet_loss(_: Any, embeddings: Any) -> Any:
        anchor, positive, negative = tf.split(embeddings, 3)
        near = tf.sqrt(tf.reduce_sum(tf.square(anchor - positive), axis=-1))
        far = tf.sqrt(tf.reduce_sum(tf.square(anchor - negative), axis=-1))
        violation = near - far + 0.2
        chosen = tf.gather(violation, tf.where(violation > 0))
        return tf.reduce_sum(chosen) / tf.maximum(1.0, tf.cast(tf.shape(chosen)[0], tf.float32))

    images = layers.Input((size, size, 3))
    x = normalised(layers.Conv2D(STEM_FILTERS, 3, strides=2, padding="same", use_bias=False)(images))
    for block in BLOCKS:
        x = normalised(layers.DepthwiseConv2D(3, strides=block.stride, padding="same", use_bias=False)(x))
        x = normalised(layers.Conv2D(block.filters, 1, padding="same", use_bias=False)(x))
    x = layers.Dropout(0.6)(layers.GlobalAveragePooling2D()(x))
    x = layers.BatchNormalization(momentum=0.995, epsilon=0.001, scale=False)(layers.Dense(128, use_bias=False)(x))
    softmax = layers.Dense(people, activation="softmax", name="Softmax")(x)
    embedding = layers.Lambda(partial(tf.math.l2_normalize, axis=1), name="Embedding")(x)
    model = Model(images, [embedding, softmax])
    model.compile(optimizers.Adam(1e-3), loss={"Embedding": triplet_loss, "Softmax": "categorical_crossentropy"})
    return model


def ends_of_keras_2(model: Any, data: Any, steps: int) -> list[tuple[int, float]]:
    """Returns (step, moment it ended) of a `fit` of so many steps under Keras 2."""
    from tf_keras.callbacks import LambdaCallback

    ends: list[tuple[int, float]] = []
    clock = LambdaCallback(on_batch_end=lambda step, logs: ends.append((step, time.perf_counter())))
    model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=[clock])
    return ends


def main(settings: Settings) -> None:
    """Lets both take turns: here, with the same kernels; or each in processes of its own, as its users start it."""
    if find_spec("tf_keras") is None:  # not imported yet: with it comes TensorFlow, which then looks at its settings
        raise UserError("Keras 2 is not installed: pip install tf_keras")
    if settings.apart:
        return compare_apart(settings)
    if settings.way != "facenet-tf2":
        start_keras()  # which has TensorFlow take oneDNN's kernels; facenet-tf2 leaves that to it
    ways = {name: way for name, way in ways_of(settings).items() if settings.way in ("both", name)}
    compare(ways, settings.rounds, settings.batch_size)


def ways_of(settings: Settings) -> dict[str, Way]:
    """Returns both steps; raises UserError where their networks differ in size, or the backend is not TensorFlow."""
    import keras
    import numpy as np
    import tensorflow as tf

    from nets.facenet import facenet

    if keras.backend.backend() != "tensorflow":
        raise UserError(f"Keras 2 runs on TensorFlow; the backend is {keras.backend.backend()}")

    size, batch, people = settings.input_size, settings.batch_size, settings.people
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, size, size, 3)).astype(np.uint8)
    labels = random.integers(0, people, batch).astype(np.int32)
    network, old = facenet((size, size, 3), people), facenet_tf2(size, people)
    if network.count_params() != old.count_params():
        raise UserError(f"{network.count_params():,} and {old.count_params():,} weights: not the same network")
    targets = (np.zeros((batch, 1), np.float32), np.eye(people, dtype=np.float32)[labels])
    same = tf.data.Dataset.from_tensors((images.astype(np.float32) / 255, targets)).repeat()
    return {
        "facenet-tf2": partial(ends_of_keras_2, old, same, settings.steps),
        "ours": partial(ends_of, compiled(network), same_batch(images, labels), settings.steps),
    }


def compare_apart(settings: Settings) -> None:
    """Prints both ways' images a second, turn by turn in a process each, and the ratio."""
    given = asdict(settings) | {"apart": "no", "rounds": 1}
    rates: dict[str, list[float]] = {"facenet-tf2": [], "ours": []}
    for _ in range(settings.rounds):
        for way, found in rates.items():
            flags = [text for name, value in (given | {"way": way}).items() for text in (f"--{name}", str(value))]
            command = [sys.executable, "-m", "benchmarks.facenet_tf2", *flags]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found += [figure.value for figure in figures_of(done.stdout) if figure.name == way]
    for way, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, rates["facenet-tf2"], strict=True))
        show(f"{way}, started by itself", statistics.median(found), "images/s", f"{ratio:.3f} of the first")


if __name__ == "__main__":
    run_script(main, Settings)
