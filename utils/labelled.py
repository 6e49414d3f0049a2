"""Photos of known people to measure with: out of a folder of people or an annotation, and not of those trained on."""

import os
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.alignment import Alignment
from utils.annotations import read_annotations
from utils.cropping import common_alignment
from utils.held_out import digest, held_out_of
from utils.people_folder import PeopleFolder
from utils.settings import UserError


class Labelled(NamedTuple):
    """N photos, sorted by person."""

    paths: list[str]  # N
    labels: NDArray[np.int64]  # (N,) 0..P-1
    people: list[str]  # P names
    source: str  # what they come from, without the user's own folders

    def select(self, people: NDArray[np.integer]) -> "Labelled":
        """Returns the photos of `people` (M,), who become 0..M-1, in their order."""
        people = np.sort(people)
        rows = np.flatnonzero(np.isin(self.labels, people))
        labels = np.searchsorted(people, self.labels[rows])
        names = [self.people[person] for person in people.tolist()]
        return Labelled([self.paths[row] for row in rows.tolist()], labels, names, self.source)

    def at_most(self, photos: int, seed: int = 0, fewest: int = 2) -> "Labelled":
        """Returns the photos of people drawn at random until there are about so many photos, of `fewest` at least."""
        if len(self.paths) <= photos:
            return self
        order = np.random.default_rng(seed).permutation(len(self.people))
        counts = np.bincount(self.labels, minlength=len(self.people))[order]
        return self.select(order[: max(fewest, int(np.searchsorted(np.cumsum(counts), photos, side="right")))])


def read_labelled(
    source: str, card: dict[str, Any] | None = None, held_out_names: Collection[str] | None = None
) -> Labelled:
    """Reads a folder `<person>/<photo>`, or an annotation file (`label;path` a line).

    Args:
        card: of an embedder that is to be measured: of the annotation that it was trained with, those are taken whom
            train.py held out. None: everybody.
        held_out_names: theirs, where the embedder's run has them.

    Raises UserError where there is neither, or where nobody was held out.
    """
    if not source:
        raise UserError("a folder of people (<person>/<photo>) or an annotation file is needed; received none")
    if os.path.isdir(source):
        folder = PeopleFolder(source)
        found = [(person, os.path.join(source, person, photo)) for person, photos in folder for photo in photos]
        people, labels = np.unique([person for person, _ in found], return_inverse=True)
        if len(people) < 2:
            raise UserError(f"{source} holds photos of {len(people)} people as <person>/<photo>; two are expected")
        refuse_trained_on(source, people.tolist(), card)
        order = np.argsort(labels, kind="stable")
        paths = [found[row][1] for row in order.tolist()]
        return Labelled(paths, labels[order], people.tolist(), os.path.basename(os.path.abspath(source)))
    annotations, name = read_annotations(source), os.path.basename(source)
    held_out = held_out_of(annotations, name, card or {}, held_out_names)
    if held_out:
        annotations, name = held_out, f"people held out of {name}"
    paths = [annotations.path(row) for row in range(len(annotations))]
    return Labelled(paths, annotations.labels.astype(np.int64), annotations.people, name)


def refuse_trained_on(source: str, people: Collection[str], card: dict[str, Any] | None) -> None:
    """Raises UserError where these are the people whom an embedder with this card was trained on, or held out of."""
    if ((card or {}).get("trained") or {}).get("everybody") == digest(people):
        raise UserError(
            f"the embedder was trained on people of {source}: name the annotation file that train.py was given, of"
            " which those are taken whom it held out"
        )


def joined(first: Labelled, second: Labelled) -> tuple[Labelled, NDArray[np.bool_]]:
    """Returns both as one, people of one name being one person, and which photos (N,) are of the first."""
    people, numbers = np.unique(first.people + second.people, return_inverse=True)
    own, other = np.split(numbers, [len(first.people)])
    labels = np.concatenate((own[first.labels], other[second.labels]))
    order = np.argsort(labels, kind="stable")
    paths = first.paths + second.paths
    both = Labelled(
        [paths[row] for row in order.tolist()], labels[order], people.tolist(), f"{first.source}, {second.source}"
    )
    return both, order < len(first.paths)


def crops_of(people: Labelled, cropped: str) -> Alignment | None:
    """Returns how the photos were cropped, where `--cropped` or align.py's record says it.

    Raises UserError where some are cropped otherwise than others.
    """
    return Alignment.parse(cropped) if cropped else common_alignment(map(os.path.dirname, people.paths))
