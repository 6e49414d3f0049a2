"""What `align.py` has done: alignment.csv, a row a photo (or a face), and alignment.json, how it was done.

Rows are appended as photos are done, and a killed run goes on behind them: a torn last line is dropped.
"""

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from utils.files import FolderLock, read_json, write_json, written_whole
from utils.photo_tree import Photo
from utils.settings import UserError

POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")  # left in the photo
NUMBERS = (
    *("confidence", "left", "top", "right", "bottom"),
    *(f"{point}_{axis}" for point in POINTS for axis in "xy"),
    *("scale", "blur"),
)
COLUMNS = ("photo", "crop", "faces", "problem", *NUMBERS, "bytes", "modified")
SUFFIXES = (".jpg", ".png", ".webp")  # of crops
CSV, JSON = "alignment.csv", "alignment.json"
NO_FACE = "no face found"
UNOPENED = "cannot read "  # so a problem begins that is the disk's or the network's, and may pass


class Row(NamedTuple):
    """A face that was cut out, or a photo that gave none: then `crop` is empty and `problem` says why."""

    photo: Photo
    faces: int  # found in the photo
    crop: str = ""  # relative to the output, with / between its parts
    problem: str = ""
    numbers: tuple[float, ...] = ()  # as NUMBERS: places in pixels of the photo, scale in pixels of the crop per pixel

    def texts(self) -> list[str]:
        """The row as it stands in the file."""
        places = (4, *[2] * (len(NUMBERS) - 3), 4, 1)  # behind the point
        numbers = [f"{number:.{k}f}" for number, k in zip(self.numbers, places, strict=False)] or [""] * len(NUMBERS)
        start = [self.photo.path, self.crop, str(self.faces), " ".join(self.problem.split())]
        return [*start, *numbers, str(self.photo.bytes), str(self.photo.modified)]


class Done(NamedTuple):
    """What the record says of a photo."""

    photo: Photo
    faces: int
    crops: tuple[str, ...]
    problem: str


class AlignmentLog:
    """The record in the folder `output`; `done` maps the path of a photo to what was done.

    `settings` are JSON's kinds of values. Raises UserError where the folder holds something else or was made with other
    settings (unless `again`: `begin` then removes all of it), or where the record cannot be read.
    """

    def __init__(self, output: str | os.PathLike[str], settings: dict[str, Any], again: bool = False):
        self.folder, self._settings, self._again = Path(output), settings, again
        self.csv, self.json = self.folder / CSV, self.folder / JSON
        self.done: dict[str, Done] = {}
        self._lock: FolderLock | None = None
        if self.json.exists():
            made = {} if again else read_json(self.json)
            if not again:
                self._check(made if isinstance(made, dict) else {})
            self._read_done(isinstance(made, dict) and made.get("faces") == "all")
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise UserError(f"'{self.folder}' is not empty and holds no {JSON}: choose another --output")

    def _check(self, made: dict[str, Any]) -> None:
        changed = [name for name, value in self._settings.items() if made.get(name) != value]
        if changed:
            pairs = "; ".join(f"{name} {made.get(name)}, now {self._settings[name]}" for name in changed)
            raise UserError(
                f"'{self.folder}' was made with {pairs}: choose another --output, or --again to redo it all"
            )

    def _read_done(self, all_faces: bool) -> None:
        """Fills `done`; photos of several faces whose rows are not all there are left out, and so are done again."""
        for row in self._rows():
            photo = Photo(row["photo"], int(row["bytes"]), int(row["modified"]))
            crops = (*(self.done[photo.path].crops if photo.path in self.done else ()), row["crop"])
            self.done[photo.path] = Done(photo, int(row["faces"]), crops, row["problem"])
        for path, done in list(self.done.items()):
            crops = tuple(crop for crop in done.crops if crop)
            if all_faces and not done.problem and len(crops) < done.faces:
                del self.done[path]
            else:
                self.done[path] = done._replace(crops=crops)

    def _rows(self) -> Iterator[dict[str, str]]:
        """Yields the whole rows as column -> text; raises UserError where they are not as this version writes them."""
        try:
            with open(self.csv, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                rows = csv.DictReader(line for line in file if line.endswith("\n"))
                if tuple(rows.fieldnames or COLUMNS) != COLUMNS and not self._again:
                    raise UserError(f"{self.csv} has other columns than expected: --again to redo it all")
                for row in rows:
                    if self._is_whole(row):
                        yield row
                    elif not self._again:
                        raise UserError(f"{self.csv}, line {rows.line_num} is damaged: --again to redo it all")
        except FileNotFoundError:
            return
        except csv.Error as error:
            if not self._again:
                raise UserError(f"{self.csv} is damaged ({error}): --again to redo it all") from error
        except OSError as error:
            raise UserError(f"cannot read {self.csv}: {error.strerror}") from error

    def _is_whole(self, row: dict[str, str]) -> bool:
        """Says whether a row is as it was written; its crop lies in the folder, whoever wrote the row."""
        if None in row or None in row.values() or COLUMNS[:4] != tuple(row)[:4]:
            return False
        whole = all(re.fullmatch(r"-?\d+", row[name]) for name in ("faces", "bytes", "modified"))
        crop = PurePosixPath(row["crop"])
        return whole and not (crop.is_absolute() or ".." in crop.parts or "\\" in row["crop"] or ":" in row["crop"])

    def to_do(self, photos: list[Photo]) -> list[Photo]:
        """Returns the photos that are not done as they are now, and those that could not be opened."""
        if self._again:
            return photos
        return [photo for photo in photos if not self._is_done(photo)]

    def _is_done(self, photo: Photo) -> bool:
        done = self.done.get(photo.path)
        return done is not None and done.photo == photo and not done.problem.startswith(UNOPENED)

    def stems(self) -> dict[str, str]:
        """Returns the paths of the crops that stay, without suffix -> the photo that they are of."""
        if self._again:
            return {}
        numbered = self._settings.get("faces") == "all"
        return {
            re.sub(r"_\d+$", "", stem) if numbered else stem: path
            for path, done in self.done.items()
            for stem in (str(PurePosixPath(crop).with_suffix("")) for crop in done.crops)
        }

    def begin(self, photos: list[Photo], stems: Iterable[str] = ()) -> None:
        """Writes how it will be done, and takes what was done of these photos out of the record, their crops away.

        `stems`: of crops that may be there without being in the record (a run was killed), and go too.
        Raises UserError where another process aligns into this folder.
        """
        if not self.folder.exists():
            write_json(self.json, self._settings | {"counts": None})
        self._lock = FolderLock(self.folder)  # until `end`
        redo = list(self.done) if self._again else [photo.path for photo in photos if photo.path in self.done]
        crops = [crop for path in redo for crop in self.done.pop(path).crops]
        write_json(self.json, self._settings | {"counts": None})
        with (
            written_whole(self.csv) as temporary,
            open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            file.write(_lines([COLUMNS]))
            file.writelines(_lines([list(row.values())]) for row in self._rows() if row["photo"] in self.done)
        for crop in [*crops, *self._unrecorded(stems)]:
            with contextlib.suppress(FileNotFoundError):
                (self.folder / crop).unlink()

    def _unrecorded(self, stems: Iterable[str]) -> Iterator[str]:
        """Yields the crops of these stems that are in the folder, numbered ones too, whatever their suffix."""
        for suffix in SUFFIXES:
            for stem in stems:
                if (self.folder / (stem + suffix)).is_file():
                    yield stem + suffix
                for number in count():
                    if not (self.folder / f"{stem}_{number}{suffix}").is_file():
                        break
                    yield f"{stem}_{number}{suffix}"

    def append(self, photos: list[list[Row]]) -> None:
        """Adds the rows of whole photos; raises UserError where they cannot be written."""
        try:
            with open(self.csv, "a", encoding="utf-8", errors="surrogateescape", newline="") as file:
                file.write(_lines([row.texts() for rows in photos for row in rows]))
        except OSError as error:
            raise UserError(f"cannot write {self.csv}: {error.strerror}; without --again it goes on") from error
        for rows in photos:
            crops = tuple(row.crop for row in rows if row.crop)
            self.done[rows[0].photo.path] = Done(rows[0].photo, rows[0].faces, crops, rows[0].problem)

    def end(self) -> dict[str, int]:
        """Writes the counts beside the settings, and returns them."""
        done = self.done.values()
        counts = {
            "photos": len(done),
            "crops": sum(len(photo.crops) for photo in done),
            "photos with several faces": sum(photo.faces > 1 for photo in done),
            "photos without a face": sum(photo.problem == NO_FACE for photo in done),
            "photos that cannot be used": sum(photo.problem not in ("", NO_FACE) for photo in done),
        }
        write_json(self.json, self._settings | {"counts": counts})
        if self._lock:
            self._lock.release()
        return counts


def _lines(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
