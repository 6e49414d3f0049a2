"""Batches of images and labels for `fit`: each a pure function of (seed, step)."""

import functools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import keras
import numpy as np

from utils.images import ImageError, fit_image
from utils.photo_cache import Photos
from utils.samplers import Sampler
from utils.settings import UserError

BAD_FILES_ALLOWED = 0.01  # share of the photos tried; beyond it training stops
BAD_FILES_JUDGED_AFTER = 1000  # photos tried before that share is looked at, or all where there are fewer
BAD_FILES_SPARED = 3  # files: so few never stop a training, whatever share of a small folder they are


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
    that cannot be decoded is kept in `bad_files` (path -> reason) and replaced by another image of that person, or,
    where none of theirs can be decoded, by the next that can, with its own label.

    Where several devices train, an item is those `places` of the batch, in this order; each image is as it is without.
    After `everything()`, an item has int32 rows `(B,)` of what that returned in the images' place.
    """

    def __init__(
        self,
        sampler: Sampler,
        pixels: Pixels,
        steps: tuple[int, int],
        workers: int,
        targets: np.ndarray | None = None,
        places: Sequence[int] | None = None,
    ):
        # fewer than two, and Keras reads ahead without a bound on memory
        super().__init__(workers=max(2, workers), use_multiprocessing=False, max_queue_size=2 * max(4, workers))
        cv2.setNumThreads(1)  # one thread a batch: the workers are the parallel part
        self.sampler, self.pixels, self.targets, self.places = sampler, pixels, targets, places
        self.stand_ins: np.ndarray | None = None  # of each row, itself or what is shown in its place
        self.first_step, self.last_step = steps
        self.bad_files: dict[str, str] = {}
        self.bad_rows: set[int] = set()
        self.ready_at: dict[int, float] = {}
        self._lock = threading.Lock()

    @functools.cached_property
    def photos(self) -> Photos:
        """Where the sampler's photos come from; `keep()` has them kept."""
        return Photos(self.sampler.annotations)

    @functools.cached_property
    def tried(self) -> np.ndarray:
        """Which photos `(N,)` were read, or could not be."""
        return np.zeros(len(self.sampler.annotations), bool)

    def __len__(self) -> int:
        """Returns the number of steps."""
        return self.last_step - self.first_step

    @property
    def num_batches(self) -> None:
        """Returns None: to Keras the data never ends, or its readers would begin at item 0 again in every epoch."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        """Returns (images, targets) of step `first_step + index`."""
        step = self.first_step + index
        images, labels, rows = self._rows(step) if self.stand_ins is not None else self._batch(step, self.places)
        self.ready_at[step] = time.perf_counter()
        if self.targets is None:
            return images, labels
        return images, {"label": labels, "teacher": self.targets[rows].astype(np.float32)}

    def inputs(self, step: int) -> np.ndarray:
        """Returns what an item of that step has in the images' place: of the whole batch, wherever it is trained."""
        if self.stand_ins is None:
            return self._batch(step)[0]
        rows: np.ndarray = self.stand_ins[self.sampler.rows(step)]
        return rows.astype(np.int32)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Returns (images uint8 `(B, H, W, 3)`, labels int32 `(B,)`, paths) of a step."""
        images, labels, rows = self._batch(step)
        return images, labels, [self.sampler.annotations.path(row) for row in rows.tolist()]

    def everything(self) -> np.ndarray:
        """Returns all photos, fitted, uint8 `(N, H, W, 3)`: what a device keeps and varies by itself."""
        annotations = self.sampler.annotations
        images = np.empty((len(annotations), *self.pixels.size, 3), np.uint8)
        self.stand_ins = np.arange(len(annotations))

        def put(row: int) -> None:
            photo, self.stand_ins[row] = self._readable(row)  # type: ignore[index]
            images[row] = fit_image(photo, self.pixels.size, self.pixels.crop)

        with ThreadPoolExecutor(self.workers) as pool:
            for _ in pool.map(put, range(len(annotations)), chunksize=64):
                pass
        return images

    def _rows(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns (rows, labels, rows) of a step, of this process's places."""
        rows = self.inputs(step)
        rows = rows if self.places is None else rows[self.places]
        return rows, self.sampler.annotations.labels[rows].astype(np.int32), rows

    def _batch(self, step: int, places: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = self.sampler.rows(step)
        annotations, pixels = self.sampler.annotations, self.pixels
        random = np.random.default_rng((self.sampler.seed, 2, step))
        flips = (random.random(len(rows)) < 0.5) & pixels.flip
        shifts = random.uniform(-pixels.shift, pixels.shift, (len(rows), 2))
        if places is not None:
            rows, flips, shifts = rows[places], flips[places], shifts[places]
        images = np.empty((len(rows), *pixels.size, 3), np.uint8)
        for i, row in enumerate(rows.tolist()):
            photo, rows[i] = self._readable(row)
            images[i] = fit_image(photo, pixels.size, pixels.crop, bool(flips[i]), tuple(shifts[i]))
        return images, annotations.labels[rows].astype(np.int32), rows

    def _readable(self, row: int) -> tuple[np.ndarray, int]:
        """Returns (photo, row) of the first readable row from `row` on, within the person, then anyone's."""
        annotations = self.sampler.annotations
        for candidate in self._in_turn(row):
            if candidate in self.bad_rows:
                continue
            self.tried[candidate] = True
            try:
                return self.photos.read(candidate), candidate
            except ImageError as error:
                with self._lock:
                    self.bad_files.setdefault(annotations.path(candidate), str(error))
                    self.bad_rows.add(candidate)
        raise UserError(f"none of the {len(annotations)} images can be read; the first: {annotations.path(0)}")

    def _in_turn(self, row: int) -> Iterator[int]:
        """Yields `row`, the other rows of its person, then all rows behind it; of photos of nobody only such."""
        yield row
        annotations = self.sampler.annotations
        label, people = int(annotations.labels[row]), int(annotations.starts[-1])
        own = (people, len(annotations)) if label < 0 else annotations.starts[label : label + 2].tolist()
        for start, end in (own, own if label < 0 else (0, people)):
            for i in range(1, end - start):
                yield start + (row - start + i) % (end - start)

    def people_unread(self) -> int:
        """Returns of how many people none of the photos can be read, as far as they were tried."""
        annotations = self.sampler.annotations
        labels = annotations.labels[np.fromiter(self.bad_rows, np.int64, len(self.bad_rows))]
        people, bad = np.unique(labels[labels >= 0], return_counts=True)
        return int((bad == np.diff(annotations.starts)[people]).sum())

    def too_many_bad_files(self) -> bool:
        """Says whether more than 1% of the photos tried so far cannot be decoded, and more than three of them."""
        tried, bad = self.photos_tried(), len(self.bad_rows)
        judged = tried >= min(BAD_FILES_JUDGED_AFTER, len(self.tried)) and bad > BAD_FILES_SPARED
        return judged and bad > BAD_FILES_ALLOWED * tried

    def photos_tried(self) -> int:
        """Returns how many photos that is."""
        return int(np.count_nonzero(self.tried))

    def seconds_waited(self, steps: range, began: float, ended: float) -> float:
        """Returns how long steps that ran from `began` to `ended` (perf_counter) waited for batches, at most."""
        ready = max(self.ready_at.pop(step, began) for step in steps)
        return float(np.clip(ready - began, 0.0, ended - began))
