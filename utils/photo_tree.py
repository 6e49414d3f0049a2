"""The photos in a folder and in the folders inside it, and a name for what is made of each."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from utils.people_folder import GROUPS_FILE, IMAGE_SUFFIXES, LEADS_UPWARDS, leads_upwards
from utils.settings import UserError

MADE = {GROUPS_FILE: "group.py", "alignment.json": "align.py"}  # what lies in its folder -> whose output that is


class Photo(NamedTuple):
    """A photo as it was when the folder was listed."""

    path: str  # relative to the folder, with / between its parts
    bytes: int
    modified: int  # nanoseconds since 1970

    @property
    def stem(self) -> str:
        """The path without its suffix."""
        return str(PurePosixPath(self.path).with_suffix(""))


Skipped = dict[str, tuple[int, str]]  # reason -> how many, an example


def list_photos(folder: str | os.PathLike[str], leave_out: str | os.PathLike[str]) -> tuple[list[Photo], Skipped]:
    """Returns the photos (by suffix) in `folder` at any depth, sorted by path, and what was skipped.

    Links to folders are followed, but not those that lead upwards or to a folder that was listed already. Hidden files,
    folders inside this one that group.py or align.py made of photos, and the folder `leave_out` are skipped.
    Raises UserError for a folder that cannot be listed, or that holds no photo.
    """
    photos: list[Photo] = []
    skipped: Skipped = {}
    left_out = os.path.realpath(leave_out) if os.fspath(leave_out) else ""
    for entry, path in _entries(os.fspath(folder), left_out, skipped):
        photos.append(_photo(entry, path))
    if not photos:
        kinds = " ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        made = "".join(f"; {number} {reason} skipped" for reason, (number, _) in skipped.items() if "made" in reason)
        raise UserError(f"no photo in '{os.fspath(folder)}' or the folders inside it ({kinds}){made}")
    return sorted(photos), skipped


def _entries(folder: str, left_out: str, skipped: Skipped) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yields (photo, its path in `folder`): first what is there, then what links to folders lead to."""
    waiting, links, listed = [""], list[str](), set[str]()
    while waiting or links:
        inner = waiting.pop() if waiting else links.pop(0)
        place = os.path.join(folder, inner)
        real = os.path.realpath(place)
        if real in listed:
            _skip(skipped, "links to folders that are there already", inner)
            continue
        listed.add(real)
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            expected = "" if inner else "; a folder of photos is expected"
            raise UserError(f"cannot list '{place.rstrip(os.sep)}': {error.strerror}{expected}") from error
        for entry in entries:
            path = f"{inner}/{entry.name}" if inner else entry.name
            try:
                reason = _why_skipped(entry, left_out)
            except OSError as error:  # a link that leads to itself
                reason = error.strerror or str(error)
            if reason:
                _skip(skipped, reason, path)
            elif entry.is_dir():
                (links if entry.is_symlink() else waiting).append(path)
            else:
                yield entry, path


def _skip(skipped: Skipped, reason: str, path: str) -> None:
    number, example = skipped.get(reason, (0, path))
    skipped[reason] = number + 1, example


def _why_skipped(entry: os.DirEntry[str], left_out: str) -> str:
    if entry.name.startswith("."):
        return "hidden files and folders"
    if "\n" in entry.name:
        return "names with a newline"
    if entry.is_dir():
        if leads_upwards(entry):
            return LEADS_UPWARDS
        for file, script in MADE.items():
            if os.path.exists(os.path.join(entry.path, file)):
                return f"folders that {script} made"
        return "the output" if os.path.realpath(entry.path) == left_out else ""
    return "" if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES else "files that are no images (by suffix)"


def _photo(entry: os.DirEntry[str], path: str) -> Photo:
    try:
        status = entry.stat()
    except OSError:  # a broken link: reading it will say so
        return Photo(path, 0, 0)
    return Photo(path, status.st_size, status.st_mtime_ns)


def crop_stems(photos: list[Photo], taken: dict[str, str]) -> dict[str, str]:
    """Returns path -> path of its crop without suffix: the photo's own, with its suffix where two would be one.

    a.jpg gives a; beside a.png both keep their suffix (so that their crops are a.jpg.webp and a.png.webp). `taken` maps
    a stem that exists already to the photo that it was made of. Letters' case does not tell names apart, for on some
    systems it does not tell files apart.
    """
    claims = Counter(photo.stem.casefold() for photo in photos)
    claims.update(photo.path.casefold() for photo in photos)
    folders = {str(folder) for photo in photos for folder in PurePosixPath(photo.path).parents if folder.suffix}
    claims.update(str(PurePosixPath(folder).with_suffix("")).casefold() for folder in folders)
    owners = {stem.casefold(): path for stem, path in taken.items()}
    return {
        photo.path: photo.stem if _is_free(photo, claims, owners) else photo.path
        for photo in photos
    }  # fmt: skip


def _is_free(photo: Photo, claims: Counter[str], owners: dict[str, str]) -> bool:
    stem = photo.stem.casefold()
    return claims[stem] == 1 and owners.get(stem, photo.path) == photo.path
