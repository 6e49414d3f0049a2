"""Who is on which photo: `label;path` a line, labels 0..P-1 without gaps; beside it the people's names, one a line.

A path may hold any byte but a newline: a line is cut at its first semicolon only, and bytes stay bytes until one
path is asked for. 5,000,000 lines are arrays (one blob of text, offsets), never 5,000,000 strings.
"""

import dataclasses
import os
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from utils.files import written_whole
from utils.photo_files import shard_damage
from utils.settings import UserError
from utils.text_rows import TextRows, read_lines


@dataclasses.dataclass(frozen=True, eq=False)
class Annotations:
    """Photos sorted by label (stable): the rows of person p are `starts[p]:starts[p + 1]`."""

    labels: NDArray[np.int32]  # (N,)
    starts: NDArray[np.int64]  # (P + 1,)
    people: list[str]  # P names
    paths: TextRows  # N, as in the file
    folder: str  # what relative paths are relative to
    repeated: int = 0  # lines that were dropped: the same path under the same label

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def number_of_people(self) -> int:
        return len(self.starts) - 1

    def path(self, row: int) -> str:
        """Returns the path of the photo in `row`."""
        return os.path.join(self.folder, self.paths[row])

    def select(self, people: NDArray[np.integer]) -> "Annotations":
        """Returns the photos of `people` (M,), who become 0..M-1 in the order given; ValueError for one twice."""
        people = np.asarray(people, np.int64)
        if len(np.unique(people)) < len(people):
            raise ValueError("a person is selected twice")
        counts = self.starts[people + 1] - self.starts[people]
        starts = np.concatenate(([0], np.cumsum(counts)))
        rows = np.arange(starts[-1]) + np.repeat(self.starts[people] - starts[:-1], counts)
        labels = np.repeat(np.arange(len(people), dtype=np.int32), counts)
        names = [self.people[person] for person in people]
        return Annotations(labels, starts, names, self.paths.take(rows), self.folder, self.repeated)


def people_path(path: str | os.PathLike[str]) -> str:
    """Returns where the names of the people of annotation file `path` are: line k is the person of label k."""
    return os.path.splitext(path)[0] + ".people.txt"


def write_annotations(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], people: Iterable[tuple[str, list[str]]]
) -> NDArray[np.int64]:
    """Writes `path` and its people file from `people`, (person, photos) of `folder`; returns photos per person (P,).

    Paths are relative to the annotation file's folder where `folder` is inside it, else absolute.
    Raises UserError, with nothing written, where there are fewer than two people.
    """
    prefix, counts = _prefix(os.path.abspath(os.path.dirname(path)), os.path.abspath(folder)), []
    with (
        written_whole(people_path(path)) as names_path,
        written_whole(path) as text_path,  # renamed first: where that fails, neither is there
        open(text_path, "wb") as text,
        open(names_path, "wb") as names,
    ):
        for label, (person, photos) in enumerate(people):
            start = f"{label};{prefix}{person}/"
            text.write(os.fsencode("".join(f"{start}{photo}\n" for photo in photos)))
            names.write(os.fsencode(person + "\n"))
            counts.append(len(photos))
        if len(counts) < 2:
            found = f"{'one person' if counts else 'nobody'} with a photo in '{os.fspath(folder)}'"
            raise UserError(f"{found}: two people or more are expected, as <person>/<photo>.jpg")
        Path(people_path(path)).unlink(missing_ok=True)  # old names never stand beside new lines, if it ends here
    return np.array(counts)


def _prefix(base: str, folder: str) -> str:
    inside = os.path.splitdrive(base)[0] == os.path.splitdrive(folder)[0] and os.path.commonpath((base, folder)) == base
    prefix = os.path.relpath(folder, base) if inside else folder
    if "\n" in prefix:
        raise UserError(f"{prefix!r} has a newline in its name; a line of an annotation file cannot hold it")
    return "" if prefix == "." else prefix.replace(os.sep, "/").rstrip("/") + "/"


def read_annotations(path: str | os.PathLike[str]) -> Annotations:
    """Returns the annotations in `path`; labels may come in any order, lines may end in CRLF.

    Raises UserError for a missing file, a line that is not `label;path`, a label without a photo between 0 and the
    largest, fewer than two people, a path under two labels, a people file that does not fit, or shards beside it that
    are not whole.
    """
    try:
        lines = read_lines(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; python txt_annotation.py writes it") from error
    labels, paths = _cut(path, lines)
    kept = _without_repeats(path, labels, paths)
    order = kept[np.argsort(labels[kept], kind="stable")]
    repeated = len(labels) - len(kept)
    labels, paths = labels[order], paths.take(order)
    starts = np.append(np.flatnonzero(np.diff(labels, prepend=-1)), len(labels))
    _check_labels(path, labels[starts[:-1]])
    folder = os.path.dirname(os.path.abspath(path))
    damage = shard_damage(folder)
    if damage:
        raise UserError(damage)
    return Annotations(labels, starts, _names(path, paths.take(starts[:-1])), paths, folder, repeated)


def _cut(path: str | os.PathLike[str], lines: TextRows) -> tuple[NDArray[np.int32], TextRows]:
    """Returns (labels, paths) of the lines; raises UserError with the first that is not `label;path`."""
    labels, at = np.zeros(len(lines), np.int32), lines.begin.copy()
    for _ in range(9):  # so many digits fit an int32
        digits = lines.text[at] - np.uint8(ord("0"))  # wraps: what is no digit lies above 9
        reading = digits <= 9
        if not reading.any():
            break
        labels = np.where(reading, labels * 10 + digits, labels)
        at += reading  # stays at the first byte that is no digit
    bad = np.flatnonzero((at == lines.begin) | (lines.text[at] != ord(";")) | (at + 1 >= lines.end))
    if len(bad):
        what = "is not 'label;path' (label: a whole number from 0)"
        raise UserError(f"{path}, line {bad[0] + 1}: {lines[bad[0]][:200]!r} {what}")
    return labels, TextRows(lines.text, at + 1, lines.end)


def _without_repeats(path: str | os.PathLike[str], labels: NDArray[np.int32], paths: TextRows) -> NDArray[np.int64]:
    """Returns the rows (K,) left when repeats of a path are dropped; raises UserError for a path under two labels."""
    first, second = paths.repeats()
    clashes = np.flatnonzero(labels[first] != labels[second])
    if len(clashes):
        clash = clashes[np.argmin(second[clashes])]
        one, two = first[clash], second[clash]
        lines = f"label {labels[one]} on line {one + 1} and label {labels[two]} on line {two + 1}"
        raise UserError(f"{path}: {paths[one]!r} has {lines}; one photo shows one person")
    return np.delete(np.arange(len(labels)), second)


def _check_labels(path: str | os.PathLike[str], present: NDArray[np.int32]) -> None:
    """Raises UserError where the sorted labels that have a photo are not 0, 1, ..., at least two."""
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise UserError(f"{path}: no photo has label {gaps[0]}; labels 0 to {present[-1]} without a gap are expected")
    if len(present) < 2:
        raise UserError(f"{path} names {'one person' if len(present) else 'nobody'}: two people or more are expected")


def _names(path: str | os.PathLike[str], photos: TextRows) -> list[str]:
    """Returns the people's names: those of the people file, or else the folders of their first `photos` (P)."""
    try:
        with open(people_path(path), "rb") as file:
            names = os.fsdecode(file.read()).removesuffix("\n").split("\n")
    except FileNotFoundError:
        return [os.path.basename(os.path.dirname(photos[row])) for row in range(len(photos))]
    except OSError as error:
        raise UserError(f"cannot read {people_path(path)}: {error.strerror}") from error
    if len(names) != len(photos):
        lines = f"{people_path(path)} has {len(names)} names, {path} has {len(photos)} people"
        raise UserError(f"{lines}: they do not belong together; python txt_annotation.py writes both")
    crlf = all(name.endswith("\r") for name in names)  # else it belongs to the name
    return [name.removesuffix("\r") for name in names] if crlf else names


def split_people(
    annotations: Annotations, held_out: float, seed: int, among: Collection[str] | None = None
) -> tuple[Annotations, Annotations]:
    """Returns (rest, held out): nobody is in both, and those held out have two photos or more.

    `held_out` below 1 is a share of the people who have two photos (rounded, two at least), else a number of people;
    the draw is a function of `seed`. Only people `among` these names are held out, all of them if there are no more.
    Raises UserError where one side would have fewer than two people.
    """
    people = annotations.number_of_people
    able = np.flatnonzero(np.diff(annotations.starts) > 1)
    number = max(2, round(held_out * len(able))) if 0 < held_out < 1 else int(min(people, held_out))
    if among is not None:
        named = np.array([person for person in able.tolist() if annotations.people[person] in among], np.int64)
        if len(named) > len({annotations.people[person] for person in named.tolist()}):
            drawn = np.random.default_rng(seed).permutation(able)[:number]
            if {annotations.people[person] for person in drawn.tolist()} != set(among):
                raise UserError("several people have one name: which of them were held out before cannot be told")
            named = drawn
        able, number = named, min(number, len(named))
    asked = number != 0 or (among is not None and held_out > 0)
    if asked and not 2 <= number <= min(len(able), people - 2):
        has = f"of {people} people, {len(able)} with two photos or more"
        raise UserError(f"cannot hold out {held_out:g} {has}: two must be held out, two left (or val_people 0)")
    chosen = np.sort(np.random.default_rng(seed).permutation(able)[:number])
    return annotations.select(np.setdiff1d(np.arange(people), chosen)), annotations.select(chosen)
