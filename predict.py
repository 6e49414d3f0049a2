"""Says whether two photos show the same person: python predict.py, or python predict.py a.jpg b.jpg"""

import contextlib
import io
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.calibration import Calibration
from utils.runs import find_embedder, named
from utils.settings import UserError, positional, run_script
from utils.terminal import say

if TYPE_CHECKING:
    from utils.comparison import Photo
    from utils.embedder import Embedder
    from utils.verdict import Verdict


@dataclass(frozen=True)
class Settings:
    """Are two photos of the same person? Without photos, asks for them until you quit."""

    photos: tuple[str, ...] = positional()  # two photos to compare, once; none: asks for them, again and again
    model_path: str = ""  # embedder (.keras, .onnx, .tflite, .h5); empty: the newest run's, else the released one
    save_path: str = "comparison.png"  # where the picture of both photos is saved
    show: bool = True  # open the picture in a window, where there is a display
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


def main(settings: Settings) -> None:
    """Loads the embedder, compares the two photos given, or asks for photos."""
    from utils.comparison import PICTURE_SUFFIXES, read_photo
    from utils.cropping import check_choice
    from utils.verdict import basis

    if len(settings.photos) not in (0, 2):
        raise UserError(f"two photos are compared; received {len(settings.photos)}; without any, they are asked for")
    if Path(settings.save_path).suffix.lower() not in PICTURE_SUFFIXES:
        raise UserError(f"--save_path '{settings.save_path}' must end in one of {' '.join(PICTURE_SUFFIXES)}")
    check_choice(settings.align)
    photos = tuple(read_photo(path) for path in settings.photos)
    model_path = find_embedder(settings.model_path, settings.input_size)
    from utils.embedder import Embedder

    embedder = Embedder.load(model_path, settings.input_size or None)
    say(f"embedder {named(model_path, settings.model_path)}")
    say(embedder.crop_photos(settings.align).describe())
    say(
        basis(embedder.thresholds, Calibration.of_card(embedder.card))
        or "nothing was measured with these weights: there will be distances, no verdicts; measure them with"
        f" python calibrate.py --model_path {model_path} --people FOLDER"
    )
    if photos:
        compare(embedder, (photos[0], photos[1]), settings)
    else:
        ask_and_compare(embedder, settings)


def ask_and_compare(embedder: "Embedder", settings: Settings) -> None:
    """Asks for two photos and compares them, again and again, until q, Ctrl-D or Ctrl-C."""
    with contextlib.suppress(ImportError):  # Windows has no readline
        import readline

        readline.set_completer_delims("")  # spaces and hyphens are part of a path
        readline.parse_and_bind("tab: complete")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # file names need not be UTF-8
    say("Two photos to compare (a path may be dragged here); q leaves.")
    try:
        while (first := ask("first photo: ")) and (second := ask("second photo: ")):
            try:
                compare(embedder, (first, second), settings)
            except UserError as error:
                print(error)
    except KeyboardInterrupt:
        print()


def ask(question: str) -> "Photo | None":
    """Asks until it is given a photo that can be read; returns None for q or Ctrl-D."""
    from utils.comparison import read_photo

    while True:
        try:
            answer = input(question).strip()
        except EOFError:
            print()
            return None
        if answer.lower() in ("q", "quit", "exit"):
            return None
        if not answer:
            print("a path of a photo, or q to leave")
            continue
        try:
            return read_photo(typed_path(answer))
        except UserError as error:
            print(error)


def typed_path(text: str) -> str:
    """Returns the path that was typed or dragged into a terminal: without its quotes and backslashes, ~ expanded."""
    words = [text]
    if not os.path.lexists(os.path.expanduser(text)):
        with contextlib.suppress(ValueError):  # an apostrophe that opens no quotation
            words = shlex.split(text)
    path = os.path.expanduser(words[0] if len(words) == 1 else text)
    # where neither is there, the error shows what was typed: on Windows, backslashes are no quotation
    return path if os.path.lexists(path) else os.path.expanduser(text.strip("\"'"))


def compare(embedder: "Embedder", photos: "tuple[Photo, Photo]", settings: Settings) -> "Verdict":
    """Prints the verdict on two photos, draws both, and opens the picture; raises UserError."""
    from utils.comparison import comparison_figure, faces_line, names_of, open_picture, quality_line
    from utils.metrics import check_finite, squared_distances
    from utils.photo_reading import keep_photos
    from utils.verdict import basis, decide

    keep_photos([photo.path for photo in photos], settings, "save_path")
    crops = embedder.cropper([photo.image for photo in photos])
    for name, photo, crop in zip(names_of(photos), photos, crops, strict=True):
        for line in (faces_line(name, crop), quality_line(name, photo, crop)):
            if line:
                say(line)
    thresholds, calibration = embedder.thresholds, Calibration.of_card(embedder.card)
    # what was measured holds for embeddings made in the same way
    flip = (calibration.about if calibration else thresholds or {}).get("flip", "none")
    embeddings = embedder.embed_images(np.stack([embedder.fit(crop) for crop in crops]), flip)
    faceless = any(crop.faces == 0 for crop in crops)
    check_finite(embeddings)
    verdict = decide(float(squared_distances(embeddings[:1], embeddings[1:])[0]), thresholds, faceless, calibration)
    say(str(verdict))
    note = "" if faceless else basis(thresholds, calibration)
    comparison_figure(settings.save_path, photos, verdict, note, crops)
    picture = os.path.abspath(settings.save_path)
    print(f"picture {picture}")
    if settings.show:
        open_picture(picture)
    return verdict


if __name__ == "__main__":
    run_script(main, Settings)
