"""People of an evaluation set who are told without an embedder: by their names, and by pictures that are in both."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.audit_photos import Auditor
from utils.findings import Finding


def note_same_names(auditor: Auditor, photos: list[list[str]], names: list[str]) -> None:
    """Notes people who are called as one of an evaluation set: photos by person, names (P,)."""
    people = auditor.annotations.people
    for label, other in same_names(people, names):
        auditor.findings.add(
            Finding(
                "in_evaluation_set",
                auditor.photos(label, 4),
                people[label],
                np.nan,
                "leave the person out: the names are equal",
                tuple(photos[other][:4]),
                names[other],
                "likely",
                worst=2.0,  # above every likeness
                drop_label=label,
            )
        )


def note_same_pictures(auditor: Auditor, facts: NDArray[Any], photos: list[list[str]], names: list[str]) -> None:
    """Notes people of whom a picture is in an evaluation set too: FACTS of its photos, photos by person, names (P,)."""
    owners = np.repeat(np.arange(len(photos)), [len(some) for some in photos]).tolist()
    paths = [photo for some in photos for photo in some]
    places = {facts["pixels"][k].tobytes(): k for k in reversed(np.flatnonzero(facts["width"] > 0).tolist())}
    seen = set()
    for row in auditor.readable.tolist():
        place = places.get(auditor.facts["pixels"][row].tobytes())
        pair = int(auditor.annotations.labels[row]), owners[place] if place is not None else -1
        if place is None or pair in seen:
            continue
        seen.add(pair)
        auditor.findings.add(
            Finding(
                "in_evaluation_set",
                (auditor.annotations.path(row),),
                auditor.person(row),
                np.nan,
                "leave the person out: this picture is in both",
                (paths[place],),
                names[pair[1]],
                "likely",
                worst=3.0,
                drop_label=pair[0],
            )
        )


def same_names(people: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Returns (person, other) for equal names, whatever their case, spaces, underscores and points."""
    places = {_letters(name): place for place, name in enumerate(others)}
    found = ((place, places.get(_letters(name))) for place, name in enumerate(people) if _letters(name))
    return [(place, other) for place, other in found if other is not None]


def _letters(name: str) -> str:
    return "".join(letter for letter in os.fspath(name).casefold() if letter.isalnum())
