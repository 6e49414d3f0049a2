"""Which photos a batch holds: samplers, each a pure function of (seed, step)."""

import abc
import threading

import numpy as np

from utils.annotations import Annotations
from utils.settings import UserError


class Sampler(abc.ABC):
    """Draws rows of the annotations for a step.

    Passes go over `self.passed` (people or rows), each pass in a new order, so that all of them come before any comes
    again. The cost of a batch does not depend on the number of rows: draws are arithmetic on the start of each
    person's block of rows.
    """

    def __init__(self, annotations: Annotations, batch_size: int, seed: int):
        """Raises UserError where the batch is too large for the data or nobody has two images."""
        self.annotations, self.batch_size, self.seed = annotations, batch_size, seed
        self.counts = np.diff(annotations.starts)
        if not (self.counts >= 2).any():
            raise UserError("no person has two images, so there is no positive to any anchor; add photos of a person")
        self.passed = np.empty(0, np.int32)
        self._lock, self._orders = threading.Lock(), dict[int, np.ndarray]()

    @abc.abstractmethod
    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)` rows of the annotations for the step."""

    @abc.abstractmethod
    def triples(self, labels: np.ndarray) -> np.ndarray:
        """Returns int `(3n,)` places in a batch with these labels, for a look at it: triples in thirds."""

    def _next(self, step: int, number: int) -> np.ndarray:
        """Returns int64 `(number,)`: the step's share of the passes."""
        passes, places = np.divmod(np.arange(step * number, (step + 1) * number), len(self.passed))
        return np.array([self._order(p)[i] for p, i in zip(passes, places, strict=True)], dtype=np.int64)

    def _order(self, number: int) -> np.ndarray:
        with self._lock:
            if number not in self._orders:
                for old in [p for p in self._orders if p < number - 1]:
                    del self._orders[old]
                random = np.random.default_rng((self.seed, 1, number))
                self._orders[number] = random.permutation(self.passed)
            return self._orders[number]


class TripleSampler(Sampler):
    """Anchors, positives, negatives, in thirds.

    Anchors go through all images of people with two or more. A positive is another image of the anchor's person;
    a negative is any image of any other person.
    """

    def __init__(self, annotations: Annotations, batch_size: int, seed: int):
        """Raises UserError where the batch is not whole triples or nobody has two images."""
        if batch_size < 3 or batch_size % 3:
            raise UserError(
                f"batch_size counts images of whole triples, so it is a multiple of 3; received {batch_size}"
                f" (nearest: {max(3, round(batch_size / 3) * 3)})"
            )
        super().__init__(annotations, batch_size, seed)
        self.passed = np.flatnonzero((self.counts >= 2)[annotations.labels]).astype(np.int32)

    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)`."""
        random = np.random.default_rng((self.seed, 0, step))
        anchors = self._next(step, self.batch_size // 3)
        people = self.annotations.labels[anchors]
        starts, counts = self.annotations.starts[people], self.counts[people]
        positives = starts + (anchors - starts + random.integers(1, counts)) % counts
        others = random.integers(0, len(self.annotations) - counts)
        negatives = others + counts * (others >= starts)  # step over the anchor's own block
        return np.concatenate([anchors, positives, negatives])

    def triples(self, labels: np.ndarray) -> np.ndarray:
        """Returns the whole batch: it is triples."""
        return np.arange(len(labels))


class PeopleSampler(Sampler):
    """`images_each` images of each of batch_size / images_each people (Hermans et al. 2017, arXiv:1703.07737, "PK").

    Passes go over the people with two images or more. Who has fewer than `images_each` gives all of them; other images,
    drawn at random, fill the batch, those of people with one image among them. No image is twice in a batch.
    """

    images_each = 4

    def __init__(self, annotations: Annotations, batch_size: int, seed: int):
        """Raises UserError where there are fewer images than a batch holds, or nobody has two."""
        super().__init__(annotations, batch_size, seed)
        if not 2 * self.images_each <= batch_size <= len(annotations):
            raise UserError(
                f"batch_size is at least {2 * self.images_each} and at most the number of images,"
                f" {len(annotations):,}; received {batch_size}"
            )
        self.passed = np.flatnonzero(self.counts >= 2).astype(np.int32)

    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)`, the images of a person beside each other."""
        random = np.random.default_rng((self.seed, 0, step))
        people = np.unique(self._next(step, self.batch_size // self.images_each))  # a new pass may begin with the same
        counts, starts = self.counts[people].tolist(), self.annotations.starts[people].tolist()
        drawn = [
            start + random.choice(count, min(count, self.images_each), replace=False)
            for start, count in zip(starts, counts, strict=True)
        ]
        chosen = np.concatenate(drawn)
        spare = random.choice(len(self.annotations), self.batch_size, replace=False)
        spare = spare[~np.isin(spare, chosen)]
        return np.concatenate([chosen, spare[: self.batch_size - len(chosen)]]).astype(np.int64)

    def triples(self, labels: np.ndarray) -> np.ndarray:
        """Returns two images of a person and one of the next, for each person who has two."""
        people, firsts, counts = np.unique(labels, return_index=True, return_counts=True)
        several = np.flatnonzero(counts >= 2)
        seconds = [np.flatnonzero(labels == people[k])[1] for k in several]
        return np.concatenate([firsts[several], seconds, firsts[(several + 1) % len(people)]]).astype(np.int64)


SAMPLERS: dict[str, type[Sampler]] = {"triples": TripleSampler, "people": PeopleSampler}
