"""Images a second from file to network input: utils/images.py and plain Pillow in turn, on photos drawn here.

Run as `python -m benchmarks.reading`. Other work on the machine slows both, so look at the ratios; the processor time
of an image hardly depends on it.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.photos import draw_photos, read_with_pillow
from utils.settings import run_script

CHUNK = 16  # images handed to a thread at once
BOX = (0.1216, 0.2422, 0.8857, 1.0063)  # a part of a crop, its edges between pixels


@dataclass(frozen=True)
class Settings:
    """Images a second from files to the network's input, against plain Pillow."""

    images: int = 512  # drawn photos
    kind: Literal["jpg", "png", "webp", "pgm", "bmp", "tiff", "gif"] = "jpg"  # of file
    photo_size: int = 128  # pixels, square
    input_size: int = 160  # pixels, square
    threads: int = 2  # that read
    rounds: int = 9  # measurements of each, in turn


def microseconds(function: Callable[[Any], Any], arguments: Iterable[Any]) -> float:
    """Returns the processor time of one call, the least of five passes."""
    arguments, passes = list(arguments), []
    for _ in range(5):
        start = time.process_time()
        for argument in arguments:
            function(argument)
        passes.append((time.process_time() - start) / len(arguments) * 1e6)
    return min(passes)


def compare(ways: dict[str, Callable[[str], Any]], paths: list[str], threads: int, rounds: int) -> None:
    """Prints the images a second of each way, all of them in turn in each round; ratios are to the last one."""
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    rates: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, list[float]] = {name: [] for name in ways}
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            for name, way in ways.items():
                started, worked = time.perf_counter(), time.process_time()
                list(pool.map(lambda chunk, way=way: [way(path) for path in chunk], chunks))
                rates[name].append(len(paths) / (time.perf_counter() - started))
                work[name].append((time.process_time() - worked) / len(paths) * 1e6)
    print(f"{f'{threads} threads':26} images/s: best  median   ratio   processor time an image")
    *_, plain = rates.values()
    for name, measured in rates.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(measured, plain, strict=True))
        line = f"{max(measured):15.0f} {statistics.median(measured):7.0f} {ratio:7.2f}"
        print(f"{name:26}{line} {min(work[name]):12.0f} us")


def main(settings: Settings) -> None:
    import cv2
    import numpy as np

    from utils.image_decoders import decode
    from utils.images import fit_image, read_image

    cv2.setNumThreads(1)
    size = (settings.input_size, settings.input_size)
    ways: dict[str, Callable[[str], Any]] = {
        "utils/images.py": lambda path: fit_image(read_image(path), size),
        "cut, mirrored, shifted": lambda path: fit_image(read_image(path), size, 0.875, True, (3, -2)),
        "a box, by a warp": lambda path: fit_image(read_image(path), size, BOX),
        "plain Pillow": lambda path: read_with_pillow(path, settings.input_size),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = draw_photos(Path(folder), settings.images, settings.photo_size, settings.kind)
        compare(ways, paths, settings.threads, settings.rounds)
        images = [read_image(path) for path in paths]
        files = [Path(path).read_bytes() for path in paths]
        buffers = [np.frombuffer(data, np.uint8) for data in files]
        parts = {
            "bytes of the file": microseconds(lambda path: Path(path).read_bytes(), paths),
            "decoding": microseconds(decode, files),
            "the same by OpenCV": microseconds(lambda data: cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), buffers),
            "read_image, all": microseconds(read_image, paths),
            "fit_image": microseconds(lambda image: fit_image(image, size), images),
            "fit_image, a box": microseconds(lambda image: fit_image(image, size, BOX), images),
        }
    print("where the processor time of one image goes, on one thread:")
    print(*(f"  {name:20}{time_taken:6.0f} us" for name, time_taken in parts.items()), sep="\n")


if __name__ == "__main__":
    run_script(main, Settings)
