"""What memory a training takes, said before its first step; and what makes it take less.

Weights and what the optimizer keeps of them are exact. Maps, logits and what a step makes on its way are counted from
their shapes, a few copies each: `docs/scale_people.md` has the measured peaks beside the estimates.
"""

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.settings import UserError

FLOAT = 4  # bytes
HALF = 2  # bytes, of bfloat16
PROGRAM = 0.8e9  # bytes of host memory that the interpreter, Keras and its backend take before there is a network
LOGIT_COPIES = 5  # alive at once: logits, with their margin, their exponentials, a mask, the gradient
UPDATE_COPIES = 3  # of the largest weights: the gradient, and what an optimizer makes of it on its way
OF_HEAD = ("Logits", "Scaled", "Softmax")  # layers that are counted by the people
CGROUPS = (  # a container's: folder, limit, what is taken, and the part of it that the system gives back (memory.stat)
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
CUBES = ("semi_hard", "any_violating", "batch_all")  # metric losses that compare all triples of a batch,
CUBE_BYTES = 9.0  # of memory each, where XLA does not fuse it away
MEMINFO = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Classes:
    """The matrix of class weights, and the part of it that a step looks at."""

    people: int
    numbers: int  # of a person: embedding size times centres, and a bias
    columns: int  # people that a step looks at; 0: nothing is learned of them
    kept: int  # numbers that the optimizer keeps of each weight

    @property
    def weights(self) -> int:
        """Bytes of everybody's weights."""
        return self.people * self.numbers * FLOAT

    @property
    def optimizer(self) -> int:
        """Bytes of what the optimizer keeps of them."""
        return self.weights * self.kept if self.columns else 0

    @property
    def step(self) -> int:
        """Bytes of a step's work on the weights it looks at: a sample comes with its own copy of all of them."""
        sample = self.columns < self.people
        return self.columns * self.numbers * FLOAT * (UPDATE_COPIES + sample * (1 + self.kept))


def memory_of(
    network: Any, classes: Classes, kept: int, images: tuple[int, int, int], queue: int, on_host: bool
) -> dict[str, float]:
    """Returns name -> bytes.

    Args:
        network: of mode "train".
        classes: of its head.
        kept: numbers that the optimizer keeps of each other weight.
        images: of a step: (how many, height, width).
        queue: such batches that wait in the loader.
        on_host: whether the network runs in the host's memory, where the loader and the program are, too.
    """
    import keras

    layers = [layer for layer in network.layers if layer.name not in OF_HEAD]
    every = keras.Model(network.input, [layer.output for layer in layers])
    maps = sorted(map(_bytes, every.compute_output_spec(keras.KerasTensor((*images, 3)))))
    weights = FLOAT * sum(layer.count_params() for layer in layers)
    number, height, width = images
    parts = {
        "class weights": float(classes.weights + classes.optimizer),
        "their step": float(classes.step),
        "logits": float(number * classes.columns * FLOAT * LOGIT_COPIES),
        "network": float(weights * (2 + kept)),  # with its gradient
        "maps": float(sum(maps) + sum(maps[-2:])),  # kept for the way back, and the gradients of two on it
    }
    host = {"images waiting": float(queue * number * height * width * 3), "program": PROGRAM}
    return parts | (host if on_host else {})


def _bytes(tensor: Any) -> int:
    return math.prod(tensor.shape) * (HALF if tensor.dtype == "bfloat16" else FLOAT)


def line(parts: dict[str, float], free: float | None) -> str:
    """Returns "about 6.2 GB (class weights 1.5, …), 21.3 GB are free": parts of a tenth or more, largest first."""
    total = sum(parts.values())
    named = [f"{name} {size / 1e9:.1f}" for name, size in sorted(parts.items(), key=lambda p: -p[1])]
    shown = [text for text, size in zip(named, sorted(parts.values(), reverse=True), strict=True) if size >= total / 10]
    return f"about {total / 1e9:.1f} GB ({', '.join(shown)})" + (
        "" if free is None else f", {free / 1e9:.1f} GB are free"
    )


def advice(parts: dict[str, float], free: float | None, settings: Any) -> str | None:
    """Returns what makes a training fit that does not, in one line, the largest saving first; None where it fits."""
    total = sum(parts.values())
    if free is None or total <= free:
        return None
    of_people, of_maps = parts["their step"] + parts["logits"], parts["maps"]
    sampled = settings.class_sample < 1
    ways = {
        "--class_sample 0.1": 0.9 * of_people if settings.cross_entropy_weight and not sampled else 0.0,
        "--precision bfloat16": 0.5 * of_maps if settings.precision == "float32" else 0.0,
        "half the --batch_size": 0.5 * (parts["logits"] + of_maps + parts.get("images waiting", 0.0)),
    }
    saving = sorted((way for way in ways.items() if way[1] > 0), key=lambda way: -way[1])
    return "it may not fit: " + ", ".join(f"{way} saves {size / 1e9:.1f} GB" for way, size in saving)


def refuse_impossible(classes: Classes, total: float | None, shares: int = 1) -> None:
    """Raises UserError where weights of people, and what the optimizer keeps of them, exceed all memory there is.

    `shares`: devices over which they are laid out, each with `total` bytes.
    """
    size = (classes.weights + classes.optimizer) / shares
    if total and size > total:
        raise UserError(
            f"{classes.people:,} people of {classes.numbers} numbers take {size / 1e9:.1f} GB with what the optimizer"
            f" keeps of them, this machine has {total / 1e9:.1f} GB: a smaller --embedding_size, --optimizer sgd, or"
            " --cross_entropy_weight 0 with a metric loss"
        )


def device_memory() -> tuple[float | None, float | None, bool]:
    """Returns (bytes of memory in all, bytes free, whether it is the host's) where the network runs.

    A GPU's under JAX; TensorFlow does not say how much a GPU has: (None, None, False).
    """
    import keras

    if keras.backend.backend() == "jax":
        import jax

        device = jax.local_devices()[0]
        stats = device.memory_stats() if device.platform != "cpu" else None
        if stats:
            return float(stats["bytes_limit"]), float(stats["bytes_limit"] - stats["bytes_in_use"]), False
    elif keras.distribution.list_devices("gpu"):
        return None, None, False
    return (*host_memory(), True)


def host_memory() -> tuple[float, float]:
    """Returns (bytes of memory in all, bytes free): the machine's, or its container's."""
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    free = total
    if MEMINFO.is_file():
        rows = dict(row.split(":") for row in MEMINFO.read_text(encoding="ascii").splitlines())
        free = 1024.0 * float(rows["MemAvailable"].split()[0])
    for folder, limit, used, file_cache in CGROUPS:
        most, taken = _number(folder / limit), _number(folder / used)
        if most is not None and taken is not None:
            left = most - taken + (_number(folder / "memory.stat", file_cache) or 0.0)
            total, free = min(total, most), min(free, max(0.0, left))
    return total, free


def _number(path: Path, row: str = "") -> float | None:
    """Returns the number in a file, or in that row of it; None where there is none ("max")."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        text = dict(line.split() for line in lines)[row] if row else lines[0]
    except (OSError, KeyError, IndexError):
        return None
    return float(text) if text.isdecimal() else None


def peak_memory() -> float:
    """Returns the most memory in bytes that this process has had.

    Where Linux says so it is this program's own: `getrusage` begins at the peak of the process that started it.
    """
    if STATUS.is_file():
        rows = dict(row.split(":", 1) for row in STATUS.read_text(encoding="utf-8").splitlines())
        return 1024.0 * float(rows["VmHWM"].split()[0])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
