"""A folder a group, with links to the photos or copies of them, and a table of all faces."""

import contextlib
import csv
import filecmp
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from utils.files import written_whole
from utils.people_folder import NOBODYS
from utils.pile import Pile
from utils.settings import UserError

MARK = ".group"  # in a group's folder: its number, so that the folder may be renamed
ALONE_FOLDER, NO_FACE_FOLDER = NOBODYS
TABLE = "groups.csv"
COLUMNS = ("photo", "face", "group", "distance", "left", "top", "right", "bottom", "problem")


def folder_names(output: Path, groups: Iterable[int]) -> dict[int, str]:
    """Returns the name of each group's folder: the one that carries its number, else person_0001 and so on.

    Raises UserError where two folders carry one number (a copied folder).
    """
    found: dict[int, str] = {}
    for mark in sorted(output.glob(f"*/{MARK}")):
        with contextlib.suppress(ValueError, OSError):
            number = int(mark.read_text(encoding="utf-8")) - 1
            if number in found:
                raise UserError(f"{output / found[number]} and {mark.parent} are the same group (see {MARK} in them)")
            found[number] = mark.parent.name
    return {number: found.get(number, f"person_{number + 1:04d}") for number in groups}


def place(pile: Pile, source: Path, output: Path, names: dict[int, str], how: Literal["link", "copy"]) -> int:
    """Puts the photos that are not in place yet into the folders of their groups; returns how many.

    What stands there already stays: no file is overwritten, and none removed but a photo's own link or copy in `alone`,
    once it is in a group. Raises UserError where that cannot be done; done again, it goes on.
    """
    faces = np.bincount(pile.photo, minlength=len(pile.photos))
    todo = np.flatnonzero(~pile.placed)
    groups = pile.groups_of_photos()
    for number in todo.tolist():
        photo = source / pile.photos[number]
        try:
            for group in sorted(groups[number]):
                folder = output / names[group]
                if not (folder / MARK).exists():
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / MARK).write_text(f"{group + 1}\n", encoding="utf-8")
                _put(photo, folder, how)
            if faces[number]:
                _take_away(photo, output / NO_FACE_FOLDER)  # where it was while it could not be read
            if groups[number]:
                _take_away(photo, output / ALONE_FOLDER)
            else:
                folder = output / (ALONE_FOLDER if faces[number] else NO_FACE_FOLDER)
                folder.mkdir(parents=True, exist_ok=True)
                _put(photo, folder, how)
        except OSError as error:
            way_out = "; --files copy needs no links" if how == "link" else ""
            reason = error.strerror or error
            raise UserError(f"cannot {how} {photo} to {output}: {reason}{way_out}; the same command goes on") from error
    pile.placed[todo] = True
    return len(todo)


def _put(photo: Path, folder: Path, how: Literal["link", "copy"]) -> None:
    """Makes a link or a copy under the photo's name, or the next one that is free; none where there is one already."""
    for target in _names(photo, folder):
        if _is_of(target, photo):
            return
        if os.path.lexists(target):
            continue
        if how == "link":
            target.symlink_to(os.path.relpath(os.path.abspath(photo), os.path.realpath(folder)))
        elif photo.exists():  # else it is gone since it was read
            with written_whole(target) as temporary:
                shutil.copy2(photo, temporary)
        return


def _take_away(photo: Path, folder: Path) -> None:
    for target in _names(photo, folder):
        if not os.path.lexists(target):
            return
        if _is_of(target, photo):
            target.unlink()
            return


def _names(photo: Path, folder: Path) -> Iterable[Path]:
    """Yields photo.jpg, photo_2.jpg, photo_3.jpg, ... in the folder."""
    yield folder / photo.name
    number = 2
    while True:
        yield folder / f"{photo.stem}_{number}{photo.suffix}"
        number += 1


def _is_of(target: Path, photo: Path) -> bool:
    """Whether the target is a link to the photo or a copy of it."""
    if target.is_symlink():
        return os.path.realpath(target) == os.path.realpath(photo)
    return target.is_file() and photo.is_file() and filecmp.cmp(target, photo, shallow=False)


def write_table(pile: Pile, path: Path, names: dict[int, str], distances: NDArray[np.floating]) -> None:
    """Writes a row a face, and one for each photo without: photo, group's folder, mean distance (F,) to the group."""
    number = np.zeros(len(pile.photos), np.int64)
    with (
        written_whole(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for face, photo in enumerate(pile.photo.tolist()):
            number[photo] += 1
            label = int(pile.labels[face])
            distance = f"{distances[face]:.4f}" if label >= 0 else ""
            box = ["" if np.isnan(edge) else f"{edge:.1f}" for edge in pile.boxes[face]]
            rows.writerow([pile.photos[photo], number[photo], names.get(label, ""), distance, *box, ""])
        for photo in np.flatnonzero(number == 0).tolist():
            rows.writerow([pile.photos[photo], 0, "", "", "", "", "", "", pile.problems[photo]])
