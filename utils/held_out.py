"""Who is held out of a training, and is again wherever its embedder is trained on or measured.

A run's folder has their names (`held_out.txt`); its embedder's card says what drew them, and has digests of their names
and of everybody's.
"""

import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from utils.annotations import Annotations, split_people
from utils.files import write_text
from utils.settings import UserError

NAMES = "held_out.txt"  # in a run's folder; a name a line
ENCODED: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}  # a folder's name need not be UTF-8


def write_names(folder: str | os.PathLike[str], people: Collection[str]) -> None:
    """Writes the names of those held out into a run's folder."""
    write_text(Path(folder) / NAMES, "".join(f"{name}\n" for name in sorted(people)))


def names_in(folder: str | os.PathLike[str]) -> set[str] | None:
    """Returns the names of those held out of the run in `folder`; None where it does not say."""
    path = Path(folder) / NAMES
    return set(path.read_text(**ENCODED).split("\n")) - {""} if path.is_file() else None


def digest(people: Collection[str]) -> str:
    """Returns 16 hexadecimal digits that stand for these names, in whatever order; the names cannot be read from it."""
    return hashlib.sha256("\n".join(sorted(people)).encode(**ENCODED)).hexdigest()[:16]


def seed_of(settings: dict[str, Any]) -> int:
    """Returns what drew the people held out of a training, from the settings on an embedder's card."""
    drawn: int = settings.get("val_seed", -1)  # the first cards have none
    return settings.get("seed", 0) if drawn < 0 else drawn


def held_out_of(
    annotations: Annotations, name: str, card: dict[str, Any], names: Collection[str] | None = None
) -> Annotations | None:
    """Returns those held out of the training of an embedder, where this is the annotation that it was trained with.

    With the `names` of its run, the annotation may have grown or shrunk since: half of them at least are in it. Else
    they are drawn as they were then. None for other people. Raises UserError where it was trained on all of these, and
    where those who are drawn are not those of then.
    """
    trained = card.get("trained") or {}
    settings = trained.get("settings") or {}
    share, people = settings.get("val_people", 0), annotations.number_of_people
    if not share:
        counts = trained.get("people") == people and trained.get("images") == len(annotations)
        if counts or trained.get("everybody") == digest(annotations.people):
            raise UserError(f"the embedder was trained on all people of {name}: it knows them; others are needed")
        return None
    if names:
        rows = [number for number, person in enumerate(annotations.people) if person in names]
        return annotations.select(np.array(rows)) if len(rows) >= max(2, len(names) / 2) else None
    try:
        rest, held_out = split_people(annotations, share, seed_of(settings))
    except UserError:  # too few people: it was trained with others
        return None
    if "everybody" not in trained:  # the first cards; unlabelled photos count as people, one each
        same = rest.number_of_people == trained.get("people") or (
            bool(settings.get("unlabelled")) and os.path.basename(settings.get("annotation_path", "")) == name
        )
        return held_out if same else None
    if trained["everybody"] != digest(annotations.people):
        return None
    if trained["held_out"] != digest(held_out.people):
        raise UserError(f"the embedder knows people of {name}; whom it held out is in {NAMES} of its run, not here")
    return held_out
