"""Batches of images and labels for `fit`: each a pure function of (seed, step)."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import keras
import numpy as np

from utils.images import ImageError, fit_image, read_image
from utils.samplers import Sampler
from utils.settings import UserError

BAD_FILES_ALLOWED = 0.01  # share of the images read; beyond it training stops
BAD_FILES_JUDGED_AFTER = 1000  # images read before that share is looked at


@dataclass(frozen=True)
class Pixels:
    """How a photo becomes the network's input, and how it is varied in training."""

    size: tuple[int, int]  # (height, width) in pixels
    crop: float = 1.0  # central share of the photo that is used
    flip: bool = False  # mirrored left to right, half of the time
    shift: float = 0.0  # pixels of the input, at most, up, down and sideways


class Loader(keras.utils.PyDataset):
    """Images and targets of a sampler's rows, from `first_step` to `last_step` of a run.

    Item i is step `first_step + i`: (uint8 `(B, H, W, 3)` RGB, int32 labels `(B,)`), or with a teacher's `targets`
    `(N, D)`, one for each row of the annotations, {"label", "teacher" float32 `(B, D)`} in the labels' place. A file
    that cannot be decoded is kept in `bad_files` (path -> reason) and replaced by another image of that person.
    """

    def __init__(
        self,
        sampler: Sampler,
        pixels: Pixels,
        steps: tuple[int, int],
        workers: int,
        targets: np.ndarray | None = None,
    ):
        # fewer than two, and Keras reads ahead without a bound on memory
        super().__init__(workers=max(2, workers), use_multiprocessing=False, max_queue_size=2 * max(4, workers))
        cv2.setNumThreads(1)  # one thread a batch: the workers are the parallel part
        self.sampler, self.pixels, self.targets = sampler, pixels, targets
        self.first_step, self.last_step = steps
        self.bad_files: dict[str, str] = {}
        self.images_read = self.images_failed = 0
        self.ready_at: dict[int, float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Returns the number of steps."""
        return self.last_step - self.first_step

    @property
    def num_batches(self) -> None:
        """Returns None: to Keras the data never ends, or its readers would begin at item 0 again in every epoch."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        """Returns (images, targets) of step `first_step + index`."""
        step = self.first_step + index
        images, labels, rows = self._batch(step)
        self.ready_at[step] = time.perf_counter()
        if self.targets is None:
            return images, labels
        return images, {"label": labels, "teacher": self.targets[rows].astype(np.float32)}

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Returns (images uint8 `(B, H, W, 3)`, labels int32 `(B,)`, paths) of a step."""
        images, labels, rows = self._batch(step)
        return images, labels, [self.sampler.annotations.path(row) for row in rows.tolist()]

    def _batch(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = self.sampler.rows(step)
        annotations, pixels = self.sampler.annotations, self.pixels
        random = np.random.default_rng((self.sampler.seed, 2, step))
        flips = (random.random(len(rows)) < 0.5) & pixels.flip
        shifts = random.uniform(-pixels.shift, pixels.shift, (len(rows), 2))
        images = np.empty((len(rows), *pixels.size, 3), np.uint8)
        for i, row in enumerate(rows.tolist()):
            photo, rows[i] = self._readable(row)
            images[i] = fit_image(photo, pixels.size, pixels.crop, bool(flips[i]), tuple(shifts[i]))
        with self._lock:
            self.images_read += len(rows)
        return images, annotations.labels[rows].astype(np.int32), rows

    def _readable(self, row: int) -> tuple[np.ndarray, int]:
        """Returns (photo, row) of the first readable row from `row` on, within the person, then anyone's."""
        annotations = self.sampler.annotations
        for candidate in self._in_turn(row):
            path = annotations.path(candidate)
            try:
                return read_image(path), candidate
            except ImageError as error:
                with self._lock:
                    self.bad_files.setdefault(path, str(error))
                    self.images_failed += 1
        raise UserError(f"none of the {len(annotations)} images can be read; the first: {annotations.path(0)}")

    def _in_turn(self, row: int) -> Iterator[int]:
        """Yields `row`, the other rows of its person, then all rows behind it."""
        yield row
        annotations = self.sampler.annotations
        start, end = annotations.starts[annotations.labels[row] :][:2].tolist()
        for i in range(1, end - start):
            yield start + (row - start + i) % (end - start)
        for i in range(1, len(annotations)):
            yield (row + i) % len(annotations)

    def too_many_bad_files(self) -> bool:
        """Says whether more than 1% of the images read so far could not be decoded."""
        return self.images_read >= BAD_FILES_JUDGED_AFTER and self.images_failed > BAD_FILES_ALLOWED * self.images_read

    def seconds_waited(self, steps: range, began: float, ended: float) -> float:
        """Returns how long steps that ran from `began` to `ended` (perf_counter) waited for batches, at most."""
        ready = max(self.ready_at.pop(step, began) for step in steps)
        return float(np.clip(ready - began, 0.0, ended - began))
