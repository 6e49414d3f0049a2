"""A pile of photos that were grouped: what is on each, and in which group. One file, written whole; no pickle."""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.alignment_log import NO_FACE
from utils.clustering import ALONE, Labels
from utils.files import written_whole
from utils.grouping import NEW
from utils.people_folder import GROUPS_FILE
from utils.photo_faces import Seen
from utils.settings import UserError

STATE = GROUPS_FILE
ADDED = ("flip", "input_size")  # of the origin: the first piles do not say them
ARRAYS = ("placed", "photo", "boxes", "embeddings", "labels")


@dataclass
class Pile:
    """P photos with F faces in all; `origin` says what made the vectors: others cannot be compared with them."""

    origin: dict[str, Any]
    photos: list[str] = field(default_factory=list)  # relative to the input, with / between the parts
    problems: list[str] = field(default_factory=list)  # why there is no face, or empty
    placed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))  # (P,) stands in its folders
    photo: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))  # (F,) which one the face is on
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))  # (F,4), NaN: all of it
    embeddings: NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0), np.float16))  # (F,D)
    labels: Labels = field(default_factory=lambda: np.zeros(0, np.int64))  # (F,) group, -1 alone, -2 not yet grouped

    @classmethod
    def open(cls, folder: Path, origin: dict[str, Any]) -> "Pile":
        """Returns the pile in `folder`, a new one where that is empty or missing.

        Raises UserError where the folder holds something else, or vectors of another origin.
        """
        path = folder / STATE
        if not path.exists():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                what = "is not empty and holds no" if folder.is_dir() else "is a file; expected is a folder with"
                raise UserError(f"'{folder}' {what} {STATE}: choose another --output")
            return cls(origin)
        pile = cls._read(path)
        pile.origin = {name: origin[name] for name in ADDED if name in origin and name not in pile.origin} | pile.origin
        changed = [name for name in origin if pile.origin.get(name) != origin[name]]
        if changed:
            pairs = "; ".join(f"{name} {_short(pile.origin.get(name))}, now {_short(origin[name])}" for name in changed)
            raise UserError(f"'{folder}' was made with {pairs}: choose another --output")
        return pile

    @classmethod
    def _read(cls, path: Path) -> "Pile":
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                origin, photos, problems = (bytes(stored[name]) for name in ("origin", "photos", "problems"))
                arrays = {name: stored[name] for name in ARRAYS}
                return cls(json.loads(origin), _lines(photos), _lines(problems), **arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read ({error}): choose another --output") from error

    def save(self, folder: Path) -> None:
        """Writes all of it into `folder`, or nothing."""
        texts = {"origin": json.dumps(self.origin).encode(), "photos": _blob(self.photos)}
        texts["problems"] = _blob(self.problems)
        stored: dict[str, Any] = {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
        stored |= {name: getattr(self, name) for name in ARRAYS}
        with written_whole(folder / STATE) as temporary:
            np.savez(temporary, **stored)

    def add(self, photos: Sequence[str], seen: Sequence[Seen]) -> None:
        """Puts photos behind the others; their faces are in no group yet."""
        number = np.repeat(np.arange(len(photos)) + len(self.photos), [len(some.boxes) for some in seen])
        vectors = np.concatenate([some.embeddings for some in seen]).astype(np.float16)
        self.embeddings = np.concatenate([self.embeddings, vectors]) if len(self.embeddings) else vectors
        self.boxes = np.concatenate([self.boxes, *(some.boxes for some in seen)])
        self.photo = np.append(self.photo, number.astype(np.int32))
        self.labels = np.append(self.labels, np.full(len(number), NEW))
        self.placed = np.append(self.placed, np.zeros(len(photos), bool))
        self.photos += photos
        self.problems += [" ".join(some.problem.split()) for some in seen]

    def forget_unread(self) -> set[str]:
        """Takes photos out that could not be read, and returns them: they may have been mended since."""
        kept = np.array([problem in ("", NO_FACE) for problem in self.problems], bool)
        gone = {photo for photo, stays in zip(self.photos, kept, strict=True) if not stays}
        self.photo = (np.cumsum(kept) - 1).astype(np.int32)[self.photo]
        self.placed = self.placed[kept]
        self.photos = [photo for photo, stays in zip(self.photos, kept, strict=True) if stays]
        self.problems = [problem for problem, stays in zip(self.problems, kept, strict=True) if stays]
        return gone

    def relabel(self, labels: Labels) -> None:
        """Puts the faces into groups (F,); the photos of those that changed are to be placed."""
        self.placed[self.photo[labels != self.labels]] = False
        self.labels = labels

    def groups_of_photos(self) -> list[set[int]]:
        """Returns the groups that each photo's faces are in; a face that is alone is in none."""
        found: list[set[int]] = [set() for _ in self.photos]
        for photo, label in zip(self.photo.tolist(), self.labels.tolist(), strict=True):
            if label > ALONE:
                found[photo].add(label)
        return found


def _short(value: Any) -> str:
    return str(value)[:40]


def _blob(lines: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(line) + b"\n" for line in lines)


def _lines(blob: bytes) -> list[str]:
    return [os.fsdecode(line) for line in blob.split(b"\n")[:-1]]
