"""A training step over very many people: its time, and its peak of memory beside the estimate.

Run as `python -m benchmarks.many_people --people 1000000 --class_sample 0.1`, under either backend. Images are noise
and labels are drawn: what is measured depends on neither. One process a row: the peak is the process's.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import show
from utils.settings import run_script
from utils.train_checks import Backbone


@dataclass(frozen=True)
class Settings:
    """Milliseconds a step and gigabytes at the peak."""

    people: int = 1_000_000  # to tell apart
    class_sample: float = 0.1  # share of them that a step looks at
    backbone: Backbone = "mobilenet"  # trunk of the network
    head: Literal["softmax", "arcface", "cosface", "combined", "adaface", "subcenter"] = "cosface"
    embedding_size: int = 128  # numbers an embedding
    input_size: int = 64  # pixels, square
    batch_size: int = 128  # images
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    precision: Literal["float32", "bfloat16"] = "float32"
    steps: int = 6  # after a first one, which compiles and is not timed

    # what nets.building reads of train.py's settings beside these
    cross_entropy_weight, ema, accumulate, seed = 1.0, 0.0, 1, 0


def main(settings: Settings) -> None:
    """Builds the trainer as train.py does, steps, and prints one line."""
    from utils.backend import start_keras, xla_pays

    keras = start_keras()
    import numpy as np

    from nets import building
    from nets.class_sample import ClassSample
    from nets.facenet import facenet
    from nets.objective import ClassLoss, Objective
    from nets.trainer import Trainer
    from utils.memory_estimate import device_memory, line, memory_of, peak_memory
    from utils.optimizers import OPTIMIZERS
    from utils.precision import set_precision

    people, size, batch = settings.people, settings.input_size, settings.batch_size
    classes = building.classes_of(settings, people)
    set_precision(settings.precision)
    network = facenet((size, size, 3), people, settings.backbone, settings.embedding_size, head=settings.head)
    set_precision("float32")
    _, free, on_host = device_memory()
    parts = memory_of(network, classes, building.kept_by(settings), (batch, size, size), 1, on_host)
    sample = ClassSample(network.get_layer("Logits"), classes.columns) if settings.class_sample < 1 else None
    trainer = Trainer(network, Objective(ClassLoss(settings.head, people)), settings.steps, sample=sample)
    trainer.compile(OPTIMIZERS[settings.optimizer](1e-3), jit_compile=xla_pays())

    random, ends = np.random.default_rng(0), list[tuple[float, float]]()
    images = random.integers(0, 256, (batch * (settings.steps + 1), size, size, 3)).astype(np.uint8)
    labels = random.integers(0, people, len(images)).astype(np.int32)
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: ends.append((time.perf_counter(), time.process_time()))
    )
    history = trainer.fit(images, labels, batch_size=batch, shuffle=False, verbose=0, callbacks=[clock]).history
    wall, cores = (statistics.median(np.diff(column)) for column in zip(*ends, strict=True))
    peak = peak_memory() / 1e9
    what = f"{people:,} people, {classes.columns:,} a step"
    print(
        f"{settings.head}, {settings.optimizer}, {settings.backbone} at {size} px, batch {batch}"
        f" ({keras.backend.backend()}); estimated {line(parts, free)}; loss {history['loss'][0]:.3f}"
    )
    show(f"{what}: a step", 1000 * wall, "ms", f"{1000 * cores:.0f} ms of all cores")
    show(f"{what}: peak", peak, "GB", f"estimated {sum(parts.values()) / 1e9:.1f} GB")


if __name__ == "__main__":
    run_script(main, Settings)
