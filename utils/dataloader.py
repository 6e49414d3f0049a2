"""Batches of (anchor, positive, negative): each a pure function of (seed, step)."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import keras
import numpy as np

from utils.annotations import Annotations
from utils.images import ImageError, fit_image, read_image
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


class TripleSampler:
    """Draws rows of the annotations: `rows(step)` is anchors, positives, negatives, in thirds.

    Anchors go through all images of people with two or more, in a new order each pass. A positive is another
    image of the anchor's person; a negative is any image of any other person. Cost does not depend on the number
    of rows: all draws are arithmetic on the start of each person's block of rows.
    """

    def __init__(self, annotations: Annotations, batch_size: int, seed: int):
        """Raises UserError where the batch is not whole triples or no person has two images."""
        if batch_size < 3 or batch_size % 3:
            raise UserError(
                f"batch_size counts images of whole triples, so it is a multiple of 3; received {batch_size}"
                f" (nearest: {max(3, round(batch_size / 3) * 3)})"
            )
        self.annotations, self.batch_size, self.seed = annotations, batch_size, seed
        self.counts = np.diff(annotations.starts)
        self.anchors = np.flatnonzero((self.counts >= 2)[annotations.labels]).astype(np.int32)
        if not len(self.anchors):
            raise UserError("no person has two images, so there is no positive to any anchor; add photos of a person")
        self._lock, self._orders = threading.Lock(), dict[int, np.ndarray]()

    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)` rows of the annotations for the step."""
        triples = self.batch_size // 3
        random = np.random.default_rng((self.seed, 0, step))
        passes, places = np.divmod(np.arange(step * triples, (step + 1) * triples), len(self.anchors))
        anchors = np.array([self._order(p)[i] for p, i in zip(passes, places, strict=True)], dtype=np.int64)
        people = self.annotations.labels[anchors]
        starts, counts = self.annotations.starts[people], self.counts[people]
        positives = starts + (anchors - starts + random.integers(1, counts)) % counts
        others = random.integers(0, len(self.annotations) - counts)
        negatives = others + counts * (others >= starts)  # step over the anchor's own block
        return np.concatenate([anchors, positives, negatives])

    def _order(self, number: int) -> np.ndarray:
        with self._lock:
            if number not in self._orders:
                for old in [p for p in self._orders if p < number - 1]:
                    del self._orders[old]
                random = np.random.default_rng((self.seed, 1, number))
                self._orders[number] = random.permutation(self.anchors)
            return self._orders[number]


class TripleLoader(keras.utils.PyDataset):
    """Images and labels of triples for `fit`, from `first_step` to `last_step` of a run.

    Item i is step `first_step + i`: (uint8 `(B, H, W, 3)` RGB, int32 `(B,)`). A file that cannot be decoded is
    kept in `bad_files` (path -> reason) and replaced by another image of that person.
    """

    def __init__(self, sampler: TripleSampler, pixels: Pixels, steps: tuple[int, int], workers: int):
        # fewer than two, and Keras reads ahead without a bound on memory
        super().__init__(workers=max(2, workers), use_multiprocessing=False, max_queue_size=2 * max(4, workers))
        cv2.setNumThreads(1)  # one thread a batch: the workers are the parallel part
        self.sampler, self.pixels = sampler, pixels
        self.first_step, self.last_step = steps
        self.bad_files: dict[str, str] = {}
        self.images_read = self.images_failed = 0
        self.ready_at: dict[int, float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Returns the number of steps."""
        return self.last_step - self.first_step

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns (images, labels) of step `first_step + index`."""
        step = self.first_step + index
        images, labels, _ = self.batch(step)
        self.ready_at[step] = time.perf_counter()
        return images, labels

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Returns (images uint8 `(B, H, W, 3)`, labels int32 `(B,)`, paths) of a step."""
        rows = self.sampler.rows(step)
        annotations, pixels = self.sampler.annotations, self.pixels
        random = np.random.default_rng((self.sampler.seed, 2, step))
        flips = (random.random(len(rows)) < 0.5) & pixels.flip
        shifts = random.uniform(-pixels.shift, pixels.shift, (len(rows), 2))
        images = np.empty((len(rows), *pixels.size, 3), np.uint8)
        paths = []
        for i, row in enumerate(rows.tolist()):
            photo, rows[i] = self._readable(row)
            images[i] = fit_image(photo, pixels.size, pixels.crop, bool(flips[i]), tuple(shifts[i]))
            paths.append(annotations.path(int(rows[i])))
        with self._lock:
            self.images_read += len(rows)
        return images, annotations.labels[rows].astype(np.int32), paths

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

    def seconds_waited(self, step: int, began: float, ended: float) -> float:
        """Returns how long a step that ran from `began` to `ended` (perf_counter) waited for its batch."""
        return float(np.clip(self.ready_at.pop(step, began) - began, 0.0, ended - began))
