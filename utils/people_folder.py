"""A folder of people: `folder/<person>/<photo>`, and why what else lies in it is left out."""

import os
from collections.abc import Callable, Iterable, Iterator

from utils.settings import UserError

NOBODYS = ("alone", "no_face")  # folders that group.py makes beside those of people,
GROUPS_FILE = "groups.npz"  # and what it leaves beside them
LEADS_UPWARDS = "links that lead upwards"
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".gif"))


class PeopleFolder:
    """The people in `folder/<person>/<photo>`: iterating gives (person, sorted photos), people sorted.

    People without a photo are left out. `skipped` then holds reason -> (how many, an example).
    Raises UserError where `folder` cannot be listed.
    """

    def __init__(self, folder: str | os.PathLike[str], bar: Callable[[list[str]], Iterable[str]] = iter):
        self.folder = os.fspath(folder)
        self.skipped: dict[str, tuple[int, str]] = {}
        self._bar = bar  # tqdm, where a progress bar is wanted
        try:
            self._people = self._kept("", _why_no_person)
        except OSError as error:
            raise UserError(f"cannot list '{self.folder}': {error.strerror}; a folder of people is expected") from error

    def __iter__(self) -> Iterator[tuple[str, list[str]]]:
        for person in self._bar(self._people):
            try:
                photos = self._kept(person, _why_no_photo)
            except OSError as error:
                self._skip(f"folders: {error.strerror}", person)
                continue
            if photos:
                yield person, photos
            else:
                self._skip("folders without a photo", person)

    def _kept(self, person: str, why_not: Callable[[os.DirEntry[str]], str]) -> list[str]:
        kept = []
        with os.scandir(os.path.join(self.folder, person)) as entries:
            for entry in entries:
                try:
                    reason = why_not(entry)
                except OSError as error:  # a link that leads to itself
                    reason = error.strerror or str(error)
                if reason:
                    self._skip(reason, os.path.join(person, entry.name))
                else:
                    kept.append(entry.name)
        return sorted(kept)

    def _skip(self, reason: str, name: str) -> None:
        count, example = self.skipped.get(reason, (0, name))
        self.skipped[reason] = (count + 1, example)


def _why_no_person(entry: os.DirEntry[str]) -> str:
    if entry.name.startswith("."):
        return "hidden files and folders"
    if "\n" in entry.name:
        return "names with a newline"
    if entry.name in NOBODYS and os.path.exists(os.path.join(os.path.dirname(entry.path), GROUPS_FILE)):
        return "folders of faces that group.py put to nobody"
    if leads_upwards(entry):
        return LEADS_UPWARDS
    return "" if entry.is_dir() else "files outside a person's folder"


def leads_upwards(entry: os.DirEntry[str]) -> bool:
    """Says whether a link in a folder leads to that folder, or to one around it: followed, it would never end."""
    if not entry.is_symlink():
        return False
    around, target = os.path.realpath(os.path.dirname(entry.path)), os.path.realpath(entry.path)
    return os.path.join(around, "").startswith(os.path.join(target, ""))


def _why_no_photo(entry: os.DirEntry[str]) -> str:
    name = entry.name
    if name.startswith("."):
        return "hidden files and folders"
    if entry.is_dir():
        return "folders inside a person's folder"
    if name[name.rfind(".") :].lower() not in IMAGE_SUFFIXES:
        return "files that are no images (by suffix)"
    if "\n" in name:
        return "names with a newline"
    return "" if entry.is_file() else "broken links and special files"
