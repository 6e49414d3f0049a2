"""An embedder in use: all of LFW embedded and scored, and predict.py from its start to its answer.

Run as `python -m benchmarks.use`. Crops are drawn, as many as LFW has photos (13,233), and as many pairs of them as LFW
has; predict.py is shown two raw photos. Both as users get it (by ONNX Runtime where there is no GPU) and on Keras, in
turn.
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

PARTS = 4  # of the photos, embedded in turn


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
        raw = Path(name, "raw")
        raw.mkdir()
        start_to_answer(settings, draw_photos(raw, 2, 250), Path(name) / "picture.png")
        evaluation(settings, paths)


def start_to_answer(settings: Settings, photos: list[str], picture: Path) -> None:
    """Shows seconds, and seconds of all cores, of predict.py: as users start it, and on Keras."""
    given = ["--model_path", settings.model_path, "--show", "no", "--save_path", str(picture)]
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    predict, free = [sys.executable, "predict.py", *photos, *given], {**os.environ}
    free.pop("KERAS_BACKEND", None)
    ways = {
        "predict.py, start to answer": (predict, free),
        "the same, on Keras": (predict, free | {"KERAS_BACKEND": backend}),
        "import keras (and its backend)": ([sys.executable, "-c", "import keras"], free | {"KERAS_BACKEND": backend}),
    }
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(settings.starts):
        for way, (command, environment) in ways.items():
            began, worked = time.perf_counter(), sum(os.times()[2:4])
            subprocess.run(command, check=True, capture_output=True, env=environment)
            took[way].append((time.perf_counter() - began, sum(os.times()[2:4]) - worked))
    for way, found in took.items():
        wall, cores = (statistics.median(column) for column in zip(*found, strict=True))
        show(way, wall, "s", f"{cores:.1f} s of all cores, median of {settings.starts}")


def evaluation(settings: Settings, paths: list[str]) -> None:
    """Shows seconds from a loaded embedder to accuracy, as users get it and on Keras, a part of the photos in turn."""
    import numpy as np

    from utils.embedder import Embedder
    from utils.metrics import squared_distances, verify

    ways = {"": False, ", on Keras": True}
    embedders = {way: Embedder.load(settings.model_path, on_keras=on_keras) for way, on_keras in ways.items()}
    for embedder in embedders.values():
        embedder.embed_files(paths[:64])  # compiles
    took = dict.fromkeys(ways, 0.0)
    found: dict[str, list[np.ndarray]] = {way: [] for way in ways}
    for part in (paths[first::PARTS] for first in range(PARTS)):
        for way, embedder in embedders.items():
            began = time.perf_counter()
            found[way].append(embedder.embed_files(part))
            took[way] += time.perf_counter() - began
    places = np.random.default_rng(0).integers(0, len(paths), (2, settings.pairs))
    every = np.arange(settings.pairs)
    for way, embeddings in found.items():
        began = time.perf_counter()
        verify(squared_distances(*np.concatenate(embeddings)[places]), every % 2 == 0, every * 10 // settings.pairs)
        scored = took[way] + time.perf_counter() - began
        rate = f"{len(paths) / took[way]:,.0f} photos/s embedded"
        show(f"{len(paths):,} photos embedded and scored{way}", scored, "s", rate)


if __name__ == "__main__":
    run_script(main, Settings)
