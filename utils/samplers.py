"""Which photos a batch holds: samplers, each a pure function of (seed, step)."""

import abc
import threading
from typing import Any

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
        """Keeps what the draws are a function of."""
        self.annotations, self.batch_size, self.seed = annotations, batch_size, seed
        self.counts = np.diff(annotations.starts)  # images of each person
        self.labelled = int(annotations.starts[-1])  # rows of people; those behind them have label -1
        self.passed = np.empty(0, np.int32)
        self._lock, self._orders = threading.Lock(), dict[int, np.ndarray]()

    @abc.abstractmethod
    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)` rows of the annotations for the step."""

    @property
    def parts(self) -> tuple[int, ...]:
        """Sizes of what follows each other in a batch; of several devices each is given a share of every one."""
        return (self.batch_size,)

    def triples(self, labels: np.ndarray) -> np.ndarray:
        """Returns int `(3n,)` places in a batch with these labels, for a look at it: triples in thirds.

        Two images of a person and one of the next, for each person who has two there; none where nobody has, or where
        there is nobody else.
        """
        known = np.flatnonzero(labels >= 0)
        people, firsts, counts = np.unique(labels[known], return_index=True, return_counts=True)
        several = np.flatnonzero(counts >= 2) if len(people) >= 2 else np.zeros(0, np.int64)
        seconds = np.array([np.flatnonzero(labels[known] == people[k])[1] for k in several], np.int64)
        return known[np.concatenate([firsts[several], seconds, firsts[(several + 1) % len(people)]])]

    def _need_positives(self) -> None:
        """Raises UserError where nobody has two images."""
        if not (self.counts >= 2).any():
            raise UserError("no person has two images, so there is no positive to any anchor; add photos of a person")

    def _next(self, step: int, number: int) -> np.ndarray:
        """Returns int64 `(number,)`: the step's share of the passes."""
        passes, places = np.divmod(np.arange(step * number, (step + 1) * number), len(self.passed))
        return np.array([self._order(p)[i] for p, i in zip(passes, places, strict=True)], dtype=np.int64)

    def _order(self, number: int) -> np.ndarray:
        with self._lock:
            if number not in self._orders:
                for old in [p for p in self._orders if p < number - 1]:
                    del self._orders[old]
                self._orders[number] = self._drawn(np.random.default_rng((self.seed, 1, number)))
            return self._orders[number]

    def _drawn(self, random: np.random.Generator) -> np.ndarray:
        """Returns one pass: what comes in it, in its order."""
        return random.permutation(self.passed)


class ShuffledSampler(Sampler):
    """Each image once a pass (an epoch), in a new order each time; needs no person with two, and no people at all."""

    def __init__(self, annotations: Annotations, batch_size: int, seed: int):
        """Raises UserError where a batch is larger than the data: an image would be twice in it."""
        super().__init__(annotations, batch_size, seed)
        if not 1 <= batch_size <= len(annotations):
            raise UserError(f"batch_size is 1 to the number of images, {len(annotations):,}; received {batch_size}")
        self.passed = np.arange(len(annotations), dtype=np.int32)

    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)`; where a pass ends inside a batch, an image of the next may be there twice."""
        return self._next(step, self.batch_size)


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
        self._need_positives()
        of_people = annotations.labels[: self.labelled]
        self.passed = np.flatnonzero((self.counts >= 2)[of_people]).astype(np.int32)

    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)`."""
        random = np.random.default_rng((self.seed, 0, step))
        anchors = self._next(step, self.batch_size // 3)
        people = self.annotations.labels[anchors]
        starts, counts = self.annotations.starts[people], self.counts[people]
        positives = starts + (anchors - starts + random.integers(1, counts)) % counts
        others = random.integers(0, self.labelled - counts)
        negatives = others + counts * (others >= starts)  # step over the anchor's own block
        return np.concatenate([anchors, positives, negatives])

    @property
    def parts(self) -> tuple[int, ...]:
        """Anchors, positives, negatives."""
        return (self.batch_size // 3,) * 3

    def triples(self, labels: np.ndarray) -> np.ndarray:
        """Returns the whole batch: it is triples."""
        return np.arange(len(labels))


class PeopleSampler(Sampler):
    """`images_each` images of each of batch_size / images_each people (Hermans et al. 2017, arXiv:1703.07737, "PK").

    Passes are over people with two images or more, everyone once where `power` is 0. Else a pass is as many draws as
    there are people, and somebody comes in it in proportion to their number of images to that power: at 1 images of
    people with `images_each` or more come about equally often; between 0 and 1 people with many images come more often,
    but not that much.

    Who has fewer than `images_each` gives all of them; other images, drawn at random, fill the batch, those of people
    with one image among them. No image is twice in a batch.
    """

    def __init__(self, annotations: Annotations, batch_size: int, seed: int, images_each: int = 4, power: float = 0.0):
        """Raises UserError where there are fewer images than a batch holds, nobody has two, or a setting is off."""
        super().__init__(annotations, batch_size, seed)
        self._need_positives()
        if images_each < 2 or not 0 <= power <= 1:
            raise UserError(f"images_each is 2 or more, power 0 to 1; received {images_each} and {power:g}")
        if not 2 * images_each <= batch_size <= self.labelled:
            raise UserError(
                f"batch_size is at least {2 * images_each} and at most the number of images,"
                f" {self.labelled:,}; received {batch_size}"
            )
        self.images_each, self.power = images_each, power
        self.passed = np.flatnonzero(self.counts >= 2).astype(np.int32)
        self.weights = np.cumsum(self.counts[self.passed] ** float(power))

    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)`, the images of a person beside each other."""
        random = np.random.default_rng((self.seed, 0, step))
        people = np.unique(self._next(step, self.batch_size // self.images_each))  # a pass may name somebody twice
        counts, starts = self.counts[people].tolist(), self.annotations.starts[people].tolist()
        drawn = [
            start + random.choice(count, min(count, self.images_each), replace=False)
            for start, count in zip(starts, counts, strict=True)
        ]
        chosen = np.concatenate(drawn)
        spare = random.choice(self.labelled, self.batch_size, replace=False)
        spare = spare[~np.isin(spare, chosen)]
        return np.concatenate([chosen, spare[: self.batch_size - len(chosen)]]).astype(np.int64)

    def _drawn(self, random: np.random.Generator) -> np.ndarray:
        """Returns people at even distances along their weights (systematic sampling), shuffled."""
        if self.power == 0:
            return super()._drawn(random)
        places = (np.arange(len(self.passed)) + random.random()) / len(self.passed)
        drawn = np.searchsorted(self.weights, places * self.weights[-1], side="right")
        return random.permutation(self.passed[np.minimum(drawn, len(self.passed) - 1)])


class MixedSampler(Sampler):
    """People's images as `labelled` draws them, and behind them images of nobody in particular (label -1).

    Those images are the rows behind the people's (`utils.unlabelled`); passes go over them. They teach by their teacher
    alone. Whoever imitates only a teacher needs no mixing: `ShuffledSampler` passes over all rows alike.
    """

    def __init__(self, labelled: Sampler, extra: int):
        """Adds `extra` images a batch; raises UserError where there are fewer, or none are asked for."""
        super().__init__(labelled.annotations, labelled.batch_size + extra, labelled.seed)
        self.people, self.extra = labelled, extra
        self.passed = np.arange(self.labelled, len(self.annotations), dtype=np.int32)
        if not 1 <= extra <= len(self.passed):
            most = f"{len(self.passed):,}, the number of photos without a person"
            raise UserError(f"unlabelled_images is 1 to {most}; received {extra}")

    def rows(self, step: int) -> np.ndarray:
        """Returns int64 `(batch_size,)`: the labelled sampler's rows first."""
        return np.concatenate([self.people.rows(step), self._next(step, self.extra)])

    @property
    def parts(self) -> tuple[int, ...]:
        """The labelled sampler's, then nobody's."""
        return (*self.people.parts, self.extra)

    def triples(self, labels: np.ndarray) -> np.ndarray:
        """Returns those of the labelled part."""
        return self.people.triples(labels[: self.people.batch_size])


SAMPLERS: dict[str, type[Sampler]] = {
    "triples": TripleSampler,
    "people": PeopleSampler,
    "shuffled": ShuffledSampler,
}


def sampler_of(settings: Any, annotations: Annotations) -> Sampler:
    """Returns the sampler that train.py's settings ask for; raises UserError where it does not fit the data."""
    options = {}
    if settings.sampler == "people":
        options = {"images_each": settings.images_each, "power": settings.people_power}
    sampler = SAMPLERS[settings.sampler](annotations, settings.batch_size, settings.seed, **options)
    if sampler.labelled == len(annotations) or settings.sampler == "shuffled":
        return sampler
    return MixedSampler(sampler, settings.unlabelled_images)
