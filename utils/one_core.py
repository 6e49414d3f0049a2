"""How long two embedders take for a photo on one core, in turn, so that other work on the machine slows both."""

import contextlib
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from utils.settings import UserError

WARM_UP = 5  # calls of each before any is timed: networks are compiled in the first
ONE_THREAD = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
}


def milliseconds(paths: tuple[Path, Path], photos: np.ndarray) -> tuple[float, float]:
    """Returns the median time that each of two embedders takes for one photo of uint8 `(N, H, W, 3)`.

    It is measured in a process of its own, on one thread, and on one core where the system can hold it there (Linux).
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(_measure, paths, photos).result()
        except BrokenProcessPool:
            raise UserError("the process that measures times was killed (not enough memory?)") from None


def _measure(paths: tuple[Path, Path], photos: np.ndarray) -> tuple[float, float]:
    os.environ.update(ONE_THREAD)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # inherited by the threads that the networks start
    from utils.embedder import Embedder

    with contextlib.redirect_stdout(None):  # what loading prints was printed before
        embedders = [Embedder.load(path, photos.shape[1], threads=1, on_keras=True) for path in paths]
    times: tuple[list[float], list[float]] = ([], [])
    for number, photo in enumerate([*photos[:WARM_UP], *photos]):
        for embedder, spent in zip(embedders, times, strict=True):
            began = time.perf_counter()
            embedder.embed_images(photo[None])
            if number >= min(WARM_UP, len(photos)):
                spent.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[0]), statistics.median(times[1])
