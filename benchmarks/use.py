"""An embedder in use: all of LFW embedded and scored, and predict.py from its start to its answer.

Run as `python -m benchmarks.use`. Crops are drawn, as many as LFW has photos (13,233), and as many pairs of them as LFW
has. predict.py is started anew each time, in turn with Python alone importing the backend.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import show
from benchmarks.photos import draw_photos
from utils.settings import run_script


@dataclass(frozen=True)
class Settings:
    """Seconds for LFW, seconds to an answer."""

    model_path: str = "model_data/mobilenet.keras"  # the embedder
    photos: int = 13_233  # to embed: as many as LFW has
    pairs: int = 6000  # to score
    starts: int = 5  # of predict.py


def main(settings: Settings) -> None:
    """Draws photos, starts predict.py again and again, then embeds all of them."""
    with tempfile.TemporaryDirectory() as name:
        paths = draw_photos(Path(name), settings.photos, 128)
        start_to_answer(settings, paths[:2], Path(name) / "picture.png")
        evaluation(settings, paths)


def start_to_answer(settings: Settings, photos: list[str], picture: Path) -> None:
    """Shows seconds, and seconds of all cores, of predict.py and of what it cannot do without."""
    given = ["--model_path", settings.model_path, "--align", "no", "--show", "no", "--save_path", str(picture)]
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    ways = {
        "predict.py, start to answer": [sys.executable, "predict.py", *photos, *given],
        f"import {backend}": [sys.executable, "-c", f"import {backend}"],
        "import keras (and its backend)": [sys.executable, "-c", "import keras"],
    }
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(settings.starts):
        for way, command in ways.items():
            began, worked = time.perf_counter(), sum(os.times()[2:4])
            subprocess.run(command, check=True, capture_output=True)
            took[way].append((time.perf_counter() - began, sum(os.times()[2:4]) - worked))
    for way, found in took.items():
        wall, cores = (statistics.median(column) for column in zip(*found, strict=True))
        show(way, wall, "s", f"{cores:.1f} s of all cores, median of {settings.starts}")


def evaluation(settings: Settings, paths: list[str]) -> None:
    """Shows seconds from a loaded embedder to accuracy, and photos a second."""
    from utils.backend import start_keras

    start_keras()
    import numpy as np

    from utils.embedder import Embedder
    from utils.metrics import squared_distances, verify

    embedder = Embedder.load(settings.model_path)
    embedder.embed_files(paths[:64])  # compiles
    began = time.perf_counter()
    embeddings = embedder.embed_files(paths)
    embedded = time.perf_counter() - began
    places = np.random.default_rng(0).integers(0, len(paths), (2, settings.pairs))
    every = np.arange(settings.pairs)
    verify(squared_distances(*embeddings[places]), every % 2 == 0, every * 10 // settings.pairs)
    took = time.perf_counter() - began
    show(f"{len(paths):,} photos embedded and scored", took, "s", f"{len(paths) / embedded:,.0f} photos/s embedded")


if __name__ == "__main__":
    run_script(main, Settings)
