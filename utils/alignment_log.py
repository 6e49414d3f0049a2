"""What `align.py` has done: alignment.csv, a row a photo (or a face), and alignment.json, how it was done.

Rows are appended as photos are done, and a killed run goes on behind them: a torn last line is dropped.
"""

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from utils.files import read_json, write_json, written_whole
from utils.photo_tree import Photo
from utils.settings import UserError

POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")  # left in the photo
NUMBERS = (
    *("confidence", "left", "top", "right", "bottom"),
    *(f"{point}_{axis}" for point in POINTS for axis in "xy"),
    *("scale", "blur"),
)
COLUMNS = ("photo", "crop", "faces", "problem", *NUMBERS, "bytes", "modified")
CSV, JSON = "alignment.csv", "alignment.json"
NO_FACE = "no face found"


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
        if self.json.exists():
            made = read_json(self.json)
            if not again:
                self._check(made if isinstance(made, dict) else {})
            self._read_done(made.get("faces") == "all")
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
                if tuple(rows.fieldnames or COLUMNS) != COLUMNS:
                    raise UserError(f"{self.csv} has other columns than expected: --again to redo it all")
                for row in rows:
                    if None in row or None in row.values() or not (row["bytes"] + row["modified"]).isdecimal():
                        raise UserError(f"{self.csv}, line {rows.line_num} is damaged: --again to redo it all")
                    yield row
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"cannot read {self.csv}: {error.strerror}") from error

    def to_do(self, photos: list[Photo]) -> list[Photo]:
        """Returns the photos that are not done as they are now."""
        if self._again:
            return photos
        return [photo for photo in photos if photo.path not in self.done or self.done[photo.path].photo != photo]

    def stems(self) -> dict[str, str]:
        """Returns the paths of the crops that stay, without suffix -> the photo that they are of."""
        if self._again:
            return {}
        return {
            str(PurePosixPath(crop).with_suffix("")): path for path, done in self.done.items() for crop in done.crops
        }

    def begin(self, photos: list[Photo]) -> None:
        """Writes how it will be done, and takes what was done of these photos out of the record, their crops away."""
        redo = list(self.done) if self._again else [photo.path for photo in photos if photo.path in self.done]
        crops = [crop for path in redo for crop in self.done.pop(path).crops]
        write_json(self.json, self._settings | {"counts": None})
        with (
            written_whole(self.csv) as temporary,
            open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            file.write(_lines([COLUMNS]))
            file.writelines(_lines([list(row.values())]) for row in self._rows() if row["photo"] in self.done)
        for crop in crops:
            with contextlib.suppress(FileNotFoundError):
                (self.folder / crop).unlink()

    def append(self, photos: list[list[Row]]) -> None:
        """Adds the rows of whole photos; raises UserError where they cannot be written."""
        try:
            with open(self.csv, "a", encoding="utf-8", errors="surrogateescape", newline="") as file:
                file.write(_lines([row.texts() for rows in photos for row in rows]))
        except OSError as error:
            raise UserError(f"cannot write {self.csv}: {error.strerror}; the same command goes on") from error
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
        return counts


def _lines(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
