"""Images a second of the generator of triples alone: ours, at few and at 5,000,000 lines, kept decoded, and plain PIL.

Run as `python -m benchmarks.loader`. They take turns, so that other work on the machine slows all of them: look at
the ratios. The photos are drawn 128-px JPEGs; the lines beyond their number name the same files again.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import show
from benchmarks.photos import draw_photos, read_with_pillow, write_lines
from utils.memory_estimate import peak_memory
from utils.settings import UserError, run_script


@dataclass(frozen=True)
class Settings:
    """Images a second of the generator alone."""

    lines: int = 5_000_000  # of the large annotation file
    people: int = 93_000  # in it
    input_size: int = 160  # pixels, square
    batch_size: int = 96  # images
    workers: int = 2  # threads, as many as the machine has cores
    steps: int = 24  # batches a turn
    rounds: int = 5  # turns of each


def plain_batches(paths: list[str], labels: Any, size: int, batch_size: int) -> Callable[[int], Any]:
    """Returns the plain way: triples drawn by scanning all labels, PIL, one thread."""
    import numpy as np

    def batch(step: int) -> Any:
        random, rows = np.random.default_rng(step), []
        for _ in range(batch_size // 3):
            own, other = random.choice(labels[-1] + 1, 2, replace=False)
            rows += [*random.choice(np.flatnonzero(labels == own), 2), random.choice(np.flatnonzero(labels == other))]
        return np.stack([read_with_pillow(paths[row % len(paths)], size) for row in rows])

    return batch


def rate(batch: Callable[[int], Any], first: int, settings: Settings, threads: int) -> float:
    """Returns images a second over the batches from `first` on."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(batch, range(first, first + settings.steps)):
            pass
    return settings.steps * settings.batch_size / (time.perf_counter() - began)


def main(settings: Settings) -> None:
    """Draws photos, writes both annotation files, and lets the ways take turns."""
    from utils.backend import start_keras

    start_keras()
    from utils.annotations import read_annotations
    from utils.dataloader import Loader, Pixels
    from utils.samplers import TripleSampler

    ways: dict[str, Callable[[int], Any]] = {}
    pixels = Pixels((settings.input_size, settings.input_size), flip=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = draw_photos(folder, 2000, 128)
        names = [Path(path).name for path in paths]
        for people, lines in ((200, len(names)), (settings.people, settings.lines)):
            write_lines(folder / "cls_train.txt", names, people, lines)
            began = time.perf_counter()
            annotations = read_annotations(folder / "cls_train.txt")
            print(f"{lines:,} lines of {people:,} people read in {time.perf_counter() - began:.1f} s")
            sampler = TripleSampler(annotations, settings.batch_size, seed=0)
            loader = Loader(sampler, pixels, (0, 10**6), settings.workers)
            ways[f"ours, {lines:,} lines"] = loader.__getitem__
            if len(ways) == 1:
                kept = Loader(sampler, pixels, (0, 10**6), settings.workers)
                kept.photos.keep()
                ways["ours, kept decoded"] = kept.__getitem__
                labels = annotations.labels.copy()
                ways["plain PIL"] = plain_batches(paths, labels, settings.input_size, settings.batch_size)
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(settings.rounds):
            for way, batch in ways.items():
                threads = 1 if way == "plain PIL" else settings.workers
                rates[way].append(rate(batch, turn * settings.steps, settings, threads))
        plain = rates["plain PIL"]
        for way, found in rates.items():
            ratio = statistics.median(a / b for a, b in zip(found, plain, strict=True))
            show(way, statistics.median(found), "images/s", f"best {max(found):,.0f}, {ratio:.2f} of plain")
    if loader.bad_files:
        raise UserError(f"{len(loader.bad_files)} photos could not be read: {next(iter(loader.bad_files.values()))}")
    show("peak memory, TensorFlow's own included", peak_memory() / 1e9, "GB")


if __name__ == "__main__":
    run_script(main, Settings)
