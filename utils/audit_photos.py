"""Findings that need no embedder: duplicates, one picture under two labels, and what is wrong with single photos."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.annotations import Annotations
from utils.duplicates import Rows, distances, first_equal, groups, near_pairs
from utils.findings import Finding, Findings
from utils.images import read_image
from utils.inspection import same_picture, thumbnail
from utils.terminal import progress_bar

RADIUS = 10  # bits of 128; two pictures of different people seldom come nearer, and `same_picture` tells them apart
SAME_PICTURE = 0.95  # correlation of the middles: of 712 pairs in `train` above it, none was found to be two pictures
VERIFIED = 4096  # pairs whose photos are in memory at once


@dataclass(frozen=True)
class Limits:
    """Where a photo or a person becomes a finding."""

    min_images: int  # photos a person
    min_side: int  # pixels
    sharpness: float
    dark: float  # 0..255
    overexposed: float  # 0..255
    grey: float  # 0..255


class Auditor:
    """An annotation file with the facts on its photos, and the collector of what is found."""

    def __init__(self, annotations: Annotations, facts: NDArray[Any], findings: Findings):
        self.annotations, self.facts, self.findings = annotations, facts, findings
        self.readable: Rows = np.flatnonzero(facts["width"] > 0)

    def person(self, row: int) -> str:
        """Returns whose photo `row` is."""
        return self.annotations.people[self.annotations.labels[row]]

    def photos(self, label: int, number: int, but: int = -1) -> tuple[str, ...]:
        """Returns the first readable photos of a person, without one of them."""
        first, last = np.searchsorted(self.readable, self.annotations.starts[label : label + 2])
        rows = [row for row in self.readable[first : min(last, first + number + 1)].tolist() if row != but]
        return tuple(self.annotations.path(row) for row in rows[:number])

    def note(self, kind: str, row: int, score: float, worst: float, action: str, **more: Any) -> None:
        """Adds a finding on one photo."""
        paths = (self.annotations.path(row),)
        self.findings.add(Finding(kind, paths, self.person(row), float(score), action, worst=float(worst), **more))

    def unreadable(self, errors: dict[int, str]) -> None:
        """Photos that gave no pixels: row -> why."""
        for row, reason in sorted(errors.items()):
            self.note("unreadable", row, np.nan, 0, f"take out: {reason}", drop=row)

    def quality(self, limits: Limits) -> None:
        """Tiny, blurred, dark, overexposed and grey photos."""
        facts = self.facts
        side = np.minimum(facts["width"], facts["height"])
        checks = (
            ("tiny", side, side < limits.min_side, -1),
            ("blurred", facts["sharpness"], facts["sharpness"] < limits.sharpness, -1),
            ("dark", facts["brightness"], facts["brightness"] < limits.dark, -1),
            ("overexposed", facts["brightness"], facts["brightness"] > limits.overexposed, 1),
            ("grey", facts["colour"], facts["colour"] < limits.grey, -1),
        )
        for kind, values, found, direction in checks:
            action = "nothing, unless there are many" if kind == "grey" else "look at it"
            for row in self.readable[found[self.readable]].tolist():
                self.note(kind, row, values[row], direction * values[row], action, drop=row)

    def few_images(self, limits: Limits) -> None:
        """People with fewer readable photos than asked for."""
        counts = np.bincount(self.annotations.labels[self.readable], minlength=self.annotations.number_of_people)
        for label in np.flatnonzero(counts < limits.min_images).tolist():
            number = int(counts[label])
            action = f"add {limits.min_images - number:,}, or leave the person out"
            paths = self.photos(label, 4) or (self.annotations.path(int(self.annotations.starts[label])),)
            person = self.annotations.people[label]
            self.findings.add(Finding("few_images", paths, person, number, action, worst=-number))

    def faceless(self, counts: NDArray[np.integer], own: NDArray[np.floating] | None) -> None:
        """Photos in which the detector saw no face, the farthest from their own centre (`own`, (N,)) first.

        `counts` (N,) is -1 where nobody looked.
        """
        worst = np.zeros(len(counts)) if own is None else np.nan_to_num(own)
        for row in np.flatnonzero(counts == 0).tolist():
            self.note("faceless", row, np.nan, worst[row], "look at it", drop=row)

    def duplicates(self, own: NDArray[np.floating] | None) -> None:
        """Photos that show one picture, of one person or of several; it is whose centre is nearest, by `own` (N,)."""
        number = len(self.facts)
        first = self.readable[first_equal(self.facts["pixels"][self.readable])]
        one, two, _ = near_pairs(self.facts["look"][self.readable[first == self.readable]], RADIUS)
        distinct = self.readable[first == self.readable]
        kept = _verified(self.annotations, distinct[one], distinct[two])
        pairs = np.concatenate([first, distinct[one][kept]]), np.concatenate([self.readable, distinct[two][kept]])
        root = groups(number, *pairs)[self.readable]
        order = np.argsort(root, kind="stable")
        ends = np.flatnonzero(np.diff(root[order], append=-1)) + 1
        starts = np.concatenate(([0], ends[:-1]))
        for start, end in zip(starts[ends - starts > 1].tolist(), ends[ends - starts > 1].tolist(), strict=True):
            self._group(self.readable[order[start:end]], own)

    def _group(self, rows: Rows, own: NDArray[np.floating] | None) -> None:
        """Notes what is found in the photos `rows` (K,) of one picture."""
        labels = self.annotations.labels[rows]
        chosen, where = np.unique(labels, return_index=True)  # of each person the first photo
        copies: dict[tuple[int, bytes], int] = {}  # of each person's pixels the first
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
            first = int(rows[where[np.searchsorted(chosen, label)]])
            kept = copies.setdefault((label, self.facts["pixels"][row].tobytes()), row)
            if row != first:
                self._duplicate(row, kept if kept != row else first)
        if len(chosen) == 1:
            return
        nearest = -1
        if own is not None and np.isfinite(own[rows]).any():
            nearest = int(rows[np.nanargmin(own[rows])])
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
            if nearest < 0:
                other = int(rows[where[0 if label != chosen[0] else 1]])
                self._two_labels(row, other, "take both out, or see whose it is")
            elif label != self.annotations.labels[nearest]:
                self._two_labels(row, nearest, f"take out; it is nearer to {self.person(nearest)}")

    def _duplicate(self, row: int, kept: int) -> None:
        facts, other = self.facts, {"others": (self.annotations.path(kept),), "other_person": self.person(kept)}
        if (facts["pixels"][row] == facts["pixels"][kept]).all():
            same_file = bool((facts["file"][row] == facts["file"][kept]).all())
            self.note("exact_duplicate", row, 1 if same_file else 2, 0, "take out", drop=row, **other)
        else:
            bits = distances(facts["look"][row : row + 1], facts["look"][kept : kept + 1])[0]
            self.note("near_duplicate", row, bits, -bits, "take one out", drop=row, **other)

    def _two_labels(self, row: int, other: int, action: str) -> None:
        bits = distances(self.facts["look"][row : row + 1], self.facts["look"][other : other + 1])[0]
        with_whom = {"others": (self.annotations.path(other),), "other_person": self.person(other)}
        self.note("two_labels", row, bits, -bits, action, drop=row, **with_whom)


def _verified(annotations: Annotations, one: Rows, two: Rows) -> NDArray[np.bool_]:
    """Returns (M,): whether the photos in rows `one` (M,) and `two` (M,) are one picture, as pixels say."""
    kept = np.zeros(len(one), bool)
    with ThreadPoolExecutor() as pool, progress_bar(total=len(one), desc="comparing", unit=" pairs") as bar:
        for first in range(0, len(one), VERIFIED):
            part = slice(first, first + VERIFIED)
            rows = np.unique(np.concatenate([one[part], two[part]])).tolist()
            images = dict(
                zip(rows, pool.map(lambda row: thumbnail(read_image(annotations.path(row))), rows), strict=True)
            )
            pairs = zip(one[part].tolist(), two[part].tolist(), strict=True)
            kept[part] = [same_picture(images[a], images[b]) >= SAME_PICTURE for a, b in pairs]
            bar.update(len(kept[part]))
    return kept
