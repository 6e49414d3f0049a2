"""Two photos compared: what is said of their faces, and the picture of both."""

import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from utils.cropping import Crop, edges
from utils.files import written_whole
from utils.fonts import name_fonts
from utils.images import Pixels, printable, read_image
from utils.plots import DIFFERENT, DOTS_PER_INCH, NEUTRAL, SAME
from utils.quality import quality
from utils.verdict import Verdict

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")
SHOWN_PIXELS = 1000  # longer side of a photo in the picture
SHOWN_CHARACTERS = 40  # of a file's name above its photo
NOTE_CHARACTERS = 120  # of a line below the photos


class Photo(NamedTuple):
    """A file and its pixels, uint8 (H,W,3) RGB."""

    path: str
    image: Pixels


def read_photo(path: str | os.PathLike[str]) -> Photo:
    """Reads a photo; raises ImageError."""
    return Photo(os.fspath(path), read_image(path))


def faces_line(name: str, crop: Crop) -> str:
    """Returns what was done about the faces of a raw photo, in words; empty for a crop."""
    if crop.faces is None:
        return ""
    if crop.face is None:
        return f"{name}: no face found; the whole photo is compared, so there is no verdict"
    side = round(max(crop.face.box[2:] - crop.face.box[:2]))
    if crop.faces == 1:
        return f"{name}: a face of {side} pixels"
    return f"{name}: {crop.faces} faces; compared is the main one (of {side} pixels: large and near the centre)"


def quality_line(name: str, photo: Photo, crop: Crop) -> str:
    """Returns what of the photo lowers the trust in a verdict, in words; empty where nothing does."""
    reasons = [] if crop.faces == 0 else quality(photo.image, crop.face).reasons()
    return f"{name} lowers the trust: {'; '.join(reasons)}" if reasons else ""


def comparison_figure(
    path: str | os.PathLike[str], photos: tuple[Photo, Photo], verdict: Verdict, note: str, crops: Sequence[Crop]
) -> None:
    """Draws both photos side by side with their names, the verdict above and `note` below.

    Box and landmarks mark the face that was cut out, a dashed frame the part of a crop that is compared. Raises
    UserError where `path` cannot be written.
    """
    figure = Figure(figsize=(8, 5.2), dpi=DOTS_PER_INCH, layout="constrained")
    colour = {True: SAME, False: DIFFERENT, None: NEUTRAL}[verdict.same]
    fonts = name_fonts()
    headline = str(verdict).replace(": ", "\n", 1).replace("; ", "\n", 1)  # not a word alone on the last line
    figure.suptitle(headline, fontsize=13, color=colour, fontweight="bold", wrap=True)
    for axes, photo, name, crop in zip(figure.subplots(1, 2), photos, _shown_names(photos), crops, strict=True):
        shown = _shrunk(photo.image)
        axes.imshow(shown)
        axes.set_title(name, fontsize=10, parse_math=False, family=fonts)
        axes.set(xticks=[], yticks=[], xlim=axes.get_xlim(), ylim=axes.get_ylim())  # what is marked changes no limits
        for spine in axes.spines.values():
            spine.set(color=colour, linewidth=2)
        _mark(axes, shown.shape[1] / photo.image.shape[1], shown.shape, crop)
    named = zip(names_of(photos), photos, crops, strict=True)
    lines = [note, *(printable(quality_line(*each)) for each in named)]
    framed = any(crop.face is None and crop.cut != 1 for crop in crops)
    notes = [textwrap.fill(line, NOTE_CHARACTERS) for line in lines if line]
    notes += ["compared is what the dashed frame holds"] * framed
    figure.supxlabel("\n".join(notes).strip(), fontsize=8, color=NEUTRAL, parse_math=False, family=fonts)
    with warnings.catch_warnings(), written_whole(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph")  # names in a script that no font has: boxes, no warnings
        figure.savefig(temporary)


def _mark(axes: Axes, scale: float, shape: tuple[int, ...], crop: Crop) -> None:
    """Draws the face of a photo shown at `scale`, or the frame of what is compared of a crop of `shape` as shown."""
    if crop.face:
        left, top, right, bottom = (edge * scale - 0.5 for edge in crop.face.box)
        points = (crop.face.landmarks + 0.5) * scale - 0.5
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color="white", linewidth=1.5))
        axes.scatter(points[:, 0], points[:, 1], s=12, color="white", edgecolors="black", linewidths=0.6)
    elif crop.cut != 1:
        height, width = shape[:2]
        left, top, right, bottom = edges(crop.cut)
        frame = (right - left) * width, (bottom - top) * height
        corner = left * width - 0.5, top * height - 0.5
        axes.add_patch(Rectangle(corner, *frame, fill=False, color="white", linestyle="--"))


def names_of(photos: Sequence[Photo]) -> list[str]:
    """Returns the files' names, with their folders' where the names are the same."""
    paths = [Path(photo.path) for photo in photos]
    parts = 1 if paths[0].name != paths[1].name else 2
    return ["/".join(path.parts[-parts:]) for path in paths]


def _shown_names(photos: Sequence[Photo]) -> list[str]:
    """Returns the names as the picture has them, shortened in the middle."""
    half = SHOWN_CHARACTERS // 2
    names = [printable(name) for name in names_of(photos)]
    return [name if len(name) <= SHOWN_CHARACTERS else f"{name[: half - 1]}…{name[-half:]}" for name in names]


def _shrunk(image: Pixels) -> Pixels:
    """Returns a photo with its longer side at most SHOWN_PIXELS."""
    scale = SHOWN_PIXELS / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def open_picture(path: str | os.PathLike[str]) -> bool:
    """Shows a picture in a window of the desktop's viewer; returns False where there is no display or no viewer."""
    if sys.platform == "win32":
        os.startfile(path)
        return True
    if sys.platform != "darwin" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    viewer = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if viewer is None:
        return False
    # in a session of its own: Ctrl-C at our prompt does not close the window
    subprocess.Popen(
        [viewer, os.fspath(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    return True
