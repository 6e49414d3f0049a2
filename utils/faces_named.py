"""The faces on photos and who they are, and the picture that shows it."""

import csv
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from utils.alignment import Face, align
from utils.cropping import Crop, Cropper, Finder
from utils.files import written_whole
from utils.fonts import name_fonts
from utils.identification import Answer, Identifier
from utils.images import ImageError, Pixels, printable
from utils.photo_reading import read_ahead
from utils.plots import DIFFERENT, DOTS_PER_INCH, NEUTRAL, SAME

if TYPE_CHECKING:
    from utils.embedder import Embedder

AT_ONCE = 16  # photos
SIDES = ("left", "top", "right", "bottom")  # of a face, in pixels
ESCAPED = "surrogateescape"  # a file's name need not be UTF-8


class Seen(NamedTuple):
    """A photo, and who is on it."""

    path: str
    photo: Pixels | None  # None: it cannot be read
    faces: list[tuple[Crop, Answer]]
    problem: str  # why there is no answer; empty where there is one

    def lines(self) -> list[str]:
        """Returns who is on the photo in words, a line a face, from the left."""
        found = []
        for number, (crop, answer) in enumerate(self.faces, 1):
            which = f", face {number} of {len(self.faces)}" if len(self.faces) > 1 else ""
            size = f" [{round(max(crop.face.box[2:] - crop.face.box[:2]))} px]" if crop.face else ""
            found.append(f"{printable(self.path)}{which}{size}: {answer}")
        return found + [self.problem] * bool(self.problem)

    def without_pixels(self) -> "Seen":
        """Returns the same without the photo and its crops, whose pixels then take no memory."""
        empty = np.empty((0, 0, 3), np.uint8)
        return self._replace(photo=None, faces=[(crop._replace(image=empty), answer) for crop, answer in self.faces])


class EveryFace:
    """Crops all faces of a photo where a Cropper takes the main one: it finds for it, and remembers what it found."""

    def __init__(self, cropper: Cropper, finder: Finder | None = None):
        self._cropper = Cropper(cropper.alignment, cropper.crops, cropper.every, cropper.cut, finder=self)
        self._found: list[list[Face]] = []
        self._finder = finder

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Returns the faces of each photo."""
        from utils.detector import Detector  # its networks take a second: only where a photo is raw

        self._finder = self._finder or Detector()
        self._found = self._finder.detect(images)
        return self._found

    def __call__(self, photos: Sequence[Pixels]) -> list[list[Crop]]:
        """Returns the crops of the faces of each photo, from the left; of a photo that is a crop, itself."""
        self._found = []
        main = self._cropper(photos)
        raw = [number for number, crop in enumerate(main) if crop.faces is not None]  # in the others none were sought
        found = dict(zip(raw, self._found, strict=True))
        return [
            [self._crop(photo, face, crop) for face in sorted(found[number], key=lambda face: face.box[0])]
            if found.get(number)
            else [crop]
            for number, (photo, crop) in enumerate(zip(photos, main, strict=True))
        ]

    def _crop(self, photo: Pixels, face: Face, main: Crop) -> Crop:
        assert self._cropper.alignment
        return (
            main if face is main.face else Crop(align(photo, face, self._cropper.alignment), main.cut, face, main.faces)
        )


def name_faces(
    embedder: "Embedder", identifier: Identifier, paths: Sequence[str], every: bool = True
) -> Iterator[Seen]:
    """Yields what is on each photo: every face, or of several the main one."""
    every_face = EveryFace(embedder.cropper) if every else None
    for part in read_ahead(paths, AT_ONCE):
        photos = [photo for _, photo in part if not isinstance(photo, ImageError)]
        found = every_face(photos) if every_face else [[crop] for crop in embedder.cropper(photos)]
        crops = [[crop for crop in some if crop.faces != 0] for some in found]
        fitted = [embedder.fit(crop) for some in crops for crop in some]
        answers: Iterator[Answer] = iter(())
        if fitted:
            answers = iter(identifier.who(embedder.embed_images(np.stack(fitted), identifier.store.origin.flip)))
        waiting = iter(crops)
        for path, photo in part:
            if isinstance(photo, ImageError):
                yield Seen(path, None, [], str(photo))
                continue
            faces = [(crop, next(answers)) for crop in next(waiting)]
            yield Seen(path, photo, faces, "" if faces else f"{path}: no face found")


def write_table(path: str | os.PathLike[str], seen: Sequence[Seen]) -> None:
    """Writes a CSV with a line a face, or a line for a photo without one."""
    with written_whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8", errors=ESCAPED) as file:
        table = csv.writer(file)
        table.writerow(("photo", *SIDES, "name", "nearest", "distance", "strangers_as_near", "problem"))
        for each in seen:
            for crop, (name, nearest, distance, chance) in each.faces:
                box = crop.face.box.round(1).tolist() if crop.face else [""] * 4
                rate = "" if chance is None else f"{chance:.3g}"
                table.writerow((each.path, *box, name or "", nearest, f"{distance:.4f}", rate, ""))
            if each.problem:
                table.writerow((each.path, *[""] * 8, each.problem))


def faces_figure(path: str | os.PathLike[str], seen: Sequence[Seen], note: str) -> None:
    """Draws photos, each face framed and named; raises UserError where `path` cannot be written."""
    shown = [each for each in seen if each.photo is not None]
    columns = min(4, max(1, len(shown)))
    rows = -(-len(shown) // columns) or 1
    figure = Figure(figsize=(max(6.0, 3.2 * columns), 3.5 * rows + 0.6), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, each in zip(figure.subplots(rows, columns, squeeze=False).flat, shown, strict=False):
        _draw(axes, each)
    for axes in figure.axes[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel(note, fontsize=8, color=NEUTRAL, wrap=True)
    with warnings.catch_warnings(), written_whole(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph")  # names in a script that no font has: boxes, no warnings
        figure.savefig(temporary)


def _draw(axes: Axes, seen: Seen) -> None:
    assert seen.photo is not None
    axes.imshow(seen.photo)
    axes.set(xticks=[], yticks=[], xlim=axes.get_xlim(), ylim=axes.get_ylim())
    fonts = name_fonts()
    title = printable(os.path.basename(seen.path)) + (": no face found" if not seen.faces else "")
    axes.set_title(title, fontsize=9, parse_math=False, family=fonts)
    for crop, answer in seen.faces:
        colour = SAME if answer.name else DIFFERENT if answer.chance is not None else NEUTRAL
        height, width = seen.photo.shape[:2]
        left, top, right, bottom = crop.face.box if crop.face else (0, 0, width - 1, height - 1)
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color=colour, linewidth=2))
        name = answer.name or ("unknown" if answer.chance is not None else f"{answer.nearest}?")
        box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
        at = (max(0.0, left), min(height, bottom))
        axes.text(*at, name, color="white", fontsize=8, va="top", bbox=box, parse_math=False, family=fonts)
