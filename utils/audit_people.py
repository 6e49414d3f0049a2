"""Findings that need an embedder: wrong labels, one person under two labels, people of an evaluation set."""

import numpy as np
from numpy.typing import NDArray

from utils.audit_photos import Auditor
from utils.duplicates import first_equal
from utils.findings import Finding
from utils.identities import (
    Contrasts,
    Likeness,
    Vectors,
    alike,
    contrasts,
    people_vectors,
    sums_by_label,
)
from utils.tails import Tail, bulk_quantiles, cut, fit_tail, share_of_wrong

LIKELY, POSSIBLE = 0.9, 0.5  # the share of those reported that should be right
FOUND = 0.905  # of random wrong labels: the cut for "likely" need not lie lower, where look-alikes are
FEWEST = 30  # photos, or pairs of people, below which nothing can be said of what is ordinary


class Cuts:
    """From which score on a photo is possibly, and likely, mislabelled; infinity where the embedder cannot say."""

    def __init__(self, found: Contrasts):
        scores = found.score[found.drawn]
        self.possible = self.likely = float("inf")
        if min(len(scores), len(found.as_wrong)) < FEWEST:
            return
        share = share_of_wrong(scores, found.as_wrong)
        tail = fit_tail(bulk_quantiles(scores, found.as_wrong, share))
        every = found.score[np.isfinite(found.score)]
        right = np.count_nonzero(np.isfinite(found.own)) * (1 - share)
        precise = cut(every, tail, right, LIKELY)
        self.likely = max(precise, float(np.quantile(found.as_wrong, 1 - FOUND)))
        self.possible = min(self.likely, cut(every, tail, right, POSSIBLE))


def mislabelled(
    found: Contrasts, labels: NDArray[np.integer], cuts: Cuts | None = None
) -> tuple[NDArray[np.int64], Cuts]:
    """Returns the photos (K,) that are possibly mislabelled, the worst first, and the cuts; labels (N,) from 0.

    Of two photos of a person neither can be told to be the wrong one but by the other people: the worse is taken.
    """
    cuts, score = cuts or Cuts(found), np.nan_to_num(found.score, nan=-9.0)
    rows = np.flatnonzero(score >= cuts.possible)
    rows = rows[np.argsort(-score[rows], kind="stable")]
    of_two = np.bincount(labels)[labels[rows]] == 2
    again = np.ones(len(rows), bool)
    again[np.unique(labels[rows], return_index=True)[1]] = False  # the worst of each person is no repetition
    return rows[~(of_two & again)], cuts


class PeopleAuditor:
    """Compares the people of an audit by their embeddings (N,D) of the readable photos, in order.

    Of a person's copies of one picture the first alone is looked at: they would vouch for each other.
    """

    def __init__(self, auditor: Auditor, embeddings: Vectors):
        labels = auditor.annotations.labels[auditor.readable]
        pictures = np.column_stack([labels.astype(np.uint64), auditor.facts["pixels"][auditor.readable]])
        first = first_equal(pictures) == np.arange(len(labels))
        self._auditor, self._photos, self._labels = auditor, auditor.readable[first], labels[first]
        embeddings = embeddings[first]
        people = auditor.annotations.number_of_people
        self._contrasts = contrasts(embeddings, self._labels, people)
        self._rows, self._cuts = mislabelled(self._contrasts, self._labels)
        trusted = np.ones(len(self._labels), bool)
        trusted[self._rows[self._contrasts.score[self._rows] >= self._cuts.likely]] = False
        self._people = vectors_of(embeddings[trusted], self._labels[trusted], people)

    @property
    def own(self) -> NDArray[np.float32]:
        """(rows of the annotation,): the distance of each photo to its own centre, NaN where there is none."""
        distance = np.full(len(self._auditor.facts), np.nan, np.float32)
        distance[self._photos] = self._contrasts.own
        return distance

    @property
    def unsaid(self) -> set[str]:
        """Kinds of findings of which nothing can be said, for want of photos or of people."""
        number = int(np.count_nonzero(self._people.any(axis=1)))
        few = {"same_person": number * (number - 1) / 2 < FEWEST, "mislabelled": np.isinf(self._cuts.possible)}
        return {kind for kind, unknown in few.items() if unknown}

    def mislabelled(self) -> None:
        """Notes the photos that are likely or possibly mislabelled."""
        auditor, found = self._auditor, self._contrasts
        usual = np.nanquantile(found.own, 0.9)
        for at in self._rows.tolist():
            row, score, label = int(self._photos[at]), float(found.score[at]), int(found.nearest[at])
            likely, other = score >= self._cuts.likely, auditor.annotations.people[label]
            action = f"see whether it is {other}" if found.other[at] <= usual else "look at it"
            own = auditor.photos(int(self._labels[at]), 4, but=row)
            paths = (auditor.annotations.path(row), *own)
            action = f"take out; {action}" if likely else action
            auditor.findings.add(
                Finding(
                    "mislabelled",
                    paths,
                    auditor.person(row),
                    score,
                    action,
                    auditor.photos(label, 3),
                    other,
                    _certainty(likely),
                    worst=score,
                    drop=row,
                )
            )

    def same_person(self) -> None:
        """Notes pairs of people who look like one."""
        number = int(np.count_nonzero(self._people.any(axis=1)))
        names = self._auditor.annotations.people
        for first, second, score, certainty in _pairs(alike(self._people), number * (number - 1) / 2):
            self._auditor.findings.add(
                Finding(
                    "same_person",
                    self._auditor.photos(first, 4),
                    names[first],
                    score,
                    f"merge with {names[second]}, if they are one",
                    self._auditor.photos(second, 4),
                    names[second],
                    certainty,
                    worst=score,
                    labels=(first, second),
                )
            )

    def in_evaluation_set(self, embeddings: Vectors, photos: list[list[str]], names: list[str]) -> None:
        """Notes people who look like one of an evaluation set: embeddings (M,D) and photos by person, names (P,)."""
        labels = np.repeat(np.arange(len(photos)), [len(some) for some in photos])
        others = vectors_of(embeddings, labels, len(photos))
        number = len(others) * int(np.count_nonzero(self._people.any(axis=1)))
        people = self._auditor.annotations.people
        for other, label, score, certainty in _pairs(alike(others, self._people), number):
            self._auditor.findings.add(
                Finding(
                    "in_evaluation_set",
                    self._auditor.photos(label, 4),
                    people[label],
                    score,
                    "leave the person out, if they are one",
                    tuple(photos[other][:4]),
                    names[other],
                    certainty,
                    worst=score,
                    drop_label=label,
                )
            )


def vectors_of(embeddings: Vectors, labels: NDArray[np.integer], people: int) -> NDArray[np.float32]:
    """Returns (people, D): vectors whose products are likenesses of people; labels (N,) are sorted."""
    return people_vectors(sums_by_label(embeddings, labels, people), np.bincount(labels, minlength=people))


def _pairs(found: Likeness, number: float) -> list[tuple[int, int, float, str]]:
    """Returns (first, second, likeness, certainty) of the pairs above the cuts, of `number` pairs that there are."""
    if len(found.at_random) < FEWEST or number < FEWEST:
        return []
    median = float(np.median(found.at_random))
    closeness, tail = _closeness(found.score, median), stranger_tail(_closeness(found.at_random, median), number)
    likely, possible = (cut(closeness, tail, number, share) for share in (LIKELY, POSSIBLE))
    kept = np.flatnonzero(closeness >= min(likely, possible))
    return [
        (int(found.first[k]), int(found.second[k]), float(found.score[k]), _certainty(closeness[k] >= likely))
        for k in kept.tolist()
    ]


def _closeness(likeness: Vectors, median: float) -> Vectors:
    """Returns the likenesses (M,) on a scale that ends nowhere: less the logarithm of the distance, strangers' being 1.

    Likenesses crowd below 1, and a tail fitted to them would reach beyond. A quarter of the strangers' distance is
    added: one person's centres differ too.
    """
    distance = (1 - np.asarray(likeness, np.float64)) / max(1 - median, 1e-6)
    return -np.log(np.maximum(distance + 0.25, 0.01))


def stranger_tail(at_random: Vectors, number: float) -> Tail:
    """Returns the upper tail of closenesses (M,) drawn from `number` pairs, nearly all of them of strangers.

    It is fitted as far out as those allow: 20 pairs or more lie beyond, so that a few of one person do not count.
    """
    beyond = min(0.1, max(1e-4, 20 / min(len(at_random), number)))
    levels = (0.5, 1 - float(np.sqrt(0.5 * beyond)), 1 - beyond)
    return fit_tail(np.quantile(at_random, levels), levels)


def _certainty(likely: bool) -> str:
    return "likely" if likely else "possible"
