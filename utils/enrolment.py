"""Many photos into a store of people: read ahead, embedded in batches, written every few hundred, resumed."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from utils.images import ImageError, Pixels, printable
from utils.people_folder import GROUPS_FILE, PeopleFolder
from utils.photo_reading import photos_in, read_ahead
from utils.quality import quality
from utils.settings import UserError
from utils.stores import Origin, Store, clean_name, clean_source
from utils.terminal import progress_bar

if TYPE_CHECKING:
    from utils.embedder import Embedder, Flip

AT_ONCE = 64  # crops; raw photos may have 100 MB each, so that fewer of them are in memory
RAW_AT_ONCE = 16
EXAMPLES = 5  # photos that are named of those that were left out
WRITTEN = 512  # photos that are written together: a kill loses these at most,
SECONDS = 5.0  # and these at most

Work = list[tuple[str, str]]  # (person, path)


@dataclass
class Enrolled:
    """What became of the photos."""

    photos: int = 0  # enrolled now
    known: int = 0  # enrolled before
    several: int = 0  # of those enrolled, photos with several faces, of which the main one was taken
    refused: list[str] = field(default_factory=list)  # a line each: which photo, and why
    renamed: dict[str, str] = field(default_factory=dict)  # folder's name -> whose its photos are by now

    def lines(self, skipped: dict[str, tuple[int, str]]) -> list[str]:
        """Returns what became of the photos in words; skipped: reason -> (how many files, an example)."""
        refused = len(self.refused)
        found = [f"enrolled {self.photos:,} photos; {self.known:,} were there already; {refused:,} left out"]
        if self.several:
            found.append(f"several faces on {self.several:,} of them: the main one was taken (large, near the centre)")
        found += [f"left out: {line}" for line in self.refused[:EXAMPLES]]
        if refused > EXAMPLES:
            found.append(f"left out: {refused - EXAMPLES:,} more")
        found += [f"skipped: {number:,} {reason}, as {example}" for reason, (number, example) in skipped.items()]
        renamed = list(self.renamed.items())[:EXAMPLES]
        return found + [f"photos of {folder} are enrolled as {person}, and stay so" for folder, person in renamed]


def photos_to_enroll(paths: Sequence[str], person: str = "") -> tuple[Work, dict[str, tuple[int, str]]]:
    """Returns (person, path) of photos, and what was skipped: reason -> (how many, an example).

    Of one person: photos, or folders of them, at any depth. Of nobody: folders of people, `<person>/<photo>`. Raises
    UserError where there is nothing to enroll.
    """
    work: Work = []
    skipped: dict[str, tuple[int, str]] = {}
    for path in paths:
        if person:
            work += [(person, photo) for photo in photos_in([path])]
        elif not os.path.lexists(path):
            raise UserError(f"no such file or folder: '{path}'")
        elif not os.path.isdir(path):
            raise UserError(f"'{path}' is a file: whose photo is it? --person NAME, or a folder with a folder a person")
        else:
            people = PeopleFolder(path)
            work += [(name, os.path.join(path, name, photo)) for name, photos in people for photo in photos]
            for reason, (number, example) in people.skipped.items():
                before, first = skipped.get(reason, (0, example))
                skipped[reason] = (before + number, first)
    if not work:
        inside = next(iter(skipped.items()), None)
        found = f" (found: {inside[1][0]} {inside[0]}, as {inside[1][1]})" if inside else ""
        raise UserError(f"no photo as <person>/<photo> in {', '.join(paths)}{found}; --person NAME is for one person's")
    return work, skipped


def origin_for(embedder: "Embedder") -> Origin:
    """Returns what a new store notes of the embedder; mirrored photos count where its calibration was made so."""
    flip = embedder.card.get("calibration", {}).get("about", {}).get("flip")
    flip = flip or (embedder.thresholds or {}).get("flip", "none")
    size = embedder.network.output_shape[1] * (2 if flip == "concat" else 1)
    path, alignment = embedder.path, embedder.cropper.alignment
    cut = alignment.name if alignment else "no"
    return Origin(embedder.card["sha256"], size, flip, os.path.abspath(path) if path else "", cut)


def enroll_photos(embedder: "Embedder", store: Store, work: Work, written: int = WRITTEN) -> Enrolled:
    """Enrolls photos that are not in the store yet; a photo that cannot be read, or shows no face, is left out.

    What is new in the folder of a person who was renamed is of the person under the new name.
    """
    done = Enrolled()
    work = list({clean_source(path): (person, path) for person, path in work}.values())  # named twice, enrolled once
    paths = [path for _, path in work]
    owners, ever = store.owners(paths), store.owners(paths, changed=True)
    done.renamed = _renamed(work, ever, {person.name for person in store.people()})
    todo = {}
    for (person, path), owner, before in zip(work, owners, ever, strict=True):
        name = done.renamed.get(person, clean_name(person))
        if owner is None and before in (None, name):
            todo[path] = name
        elif owner is None:
            done.refused.append(f"{printable(path)} was a photo of {before} and has changed: give it another name")
        elif owner == name:
            done.known += 1
        else:
            done.refused.append(
                f"{printable(path)} is enrolled as {owner}: rename or merge the two, or remove it there"
            )
    waiting: list[Batch] = []
    last = time.monotonic()
    with progress_bar(total=len(work), initial=done.known, desc="enrolling", unit=" photos") as bar:
        for part in read_ahead(list(todo), RAW_AT_ONCE if embedder.cropper.aligns else AT_ONCE):
            waiting.append(_embedded(embedder, part, store.origin.flip, done))
            bar.update(len(part))
            if sum(len(batch.paths) for batch in waiting) >= written or time.monotonic() > last + SECONDS:
                _write(store, waiting, todo, done)
                last = time.monotonic()
        _write(store, waiting, todo, done)
    return done


def _renamed(work: Work, owners: Sequence[str | None], enrolled: set[str]) -> dict[str, str]:
    """Returns folder's name -> the one person whose all of its known photos are, where nobody has the folder's name."""
    found: dict[str, set[str]] = {}
    for (person, path), owner in zip(work, owners, strict=True):
        if owner and person == os.path.basename(os.path.dirname(path)) and clean_name(person) not in enrolled:
            found.setdefault(person, set()).add(owner)
    return {person: names.pop() for person, names in found.items() if len(names) == 1}


@dataclass
class Batch:
    """Photos with a face."""

    paths: list[str]  # N
    embeddings: NDArray[np.float32]  # (N,D)
    weights: NDArray[np.float32]  # (N,) 0..1


def _embedded(embedder: "Embedder", part: list[tuple[str, Pixels | ImageError]], flip: "Flip", done: Enrolled) -> Batch:
    """Returns the embeddings of the photos that have a face; notes the others."""
    read = [(path, photo) for path, photo in part if not isinstance(photo, ImageError)]
    done.refused += [str(photo) for _, photo in part if isinstance(photo, ImageError)]
    shown = []
    for (path, photo), crop in zip(read, embedder.cropper([photo for _, photo in read]), strict=True):
        if crop.faces == 0:
            done.refused.append(f"{printable(path)}: no face found")
        elif (crop.faces or 1) > 1 and _of_groups(path):
            done.refused.append(f"{printable(path)}: several faces, and group.py's folder does not say whose this is")
        else:
            shown.append((path, photo, crop))
    done.several += sum((crop.faces or 1) > 1 for *_, crop in shown)
    images = [embedder.fit(crop) for *_, crop in shown]
    weights = [quality(photo, crop.face).weight for _, photo, crop in shown]
    stacked = np.stack(images) if images else np.empty((0, *embedder.size, 3), np.uint8)
    return Batch([path for path, *_ in shown], embedder.embed_images(stacked, flip), np.array(weights, np.float32))


def _of_groups(path: str) -> bool:
    """Says whether the photo is in a folder of a person that group.py made: one of its faces is that person's."""
    return os.path.exists(os.path.join(os.path.dirname(os.path.dirname(path)), GROUPS_FILE))


def _write(store: Store, waiting: list[Batch], people: dict[str, str], done: Enrolled) -> None:
    """Writes batches in one go, and empties the list."""
    paths = [path for batch in waiting for path in batch.paths]
    if paths:
        embeddings, weights = (
            np.concatenate([b.embeddings for b in waiting]),
            np.concatenate([b.weights for b in waiting]),
        )
        names = np.array([people[path] for path in paths])
        with store.batch():
            for name in dict.fromkeys(names.tolist()):
                rows = np.flatnonzero(names == name)
                store.enroll(name, embeddings[rows], [paths[row] for row in rows], weights[rows])
        done.photos += len(paths)
    waiting.clear()
