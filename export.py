"""Writes an embedder for programs without Keras, checks it against the original, and refuses to write what differs.

python export.py --format onnx --photos datasets/people
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from utils.runs import find_embedder, named
from utils.settings import UserError, at_least, run_script, typed_names

if TYPE_CHECKING:
    import numpy as np

    from utils.embedder import Embedder
    from utils.export_check import Check
    from utils.pairs import PairSet


@dataclass(frozen=True)
class Settings:
    """Photos in (uint8 RGB), unit vector out. Run: python export.py --format onnx --photos datasets/people"""

    model_path: str = ""  # embedder (.keras, or .h5 of facenet-tf2); empty: the newest run's, else the released one
    format: Literal["onnx", "tflite", "saved_model"] = "onnx"  # ONNX Runtime; LiteRT (phones); TensorFlow (a folder)
    quantize: Literal["none", "float16", "int8"] = "none"  # weights in a half, or weights and arithmetic in a quarter
    representative: str = ""  # int8: folder of training photos, on which the ranges of its numbers are measured
    photos: str = "datasets/people"  # folder of photos on which the file is checked: others than the representative
    number: int = 256  # photos of each folder that are used, evenly spread
    output: str = ""  # file, or folder of a SavedModel; empty: beside the embedder (m.onnx, m-int8.tflite, ...)
    largest_difference: float = 0.0  # squared distance of embeddings, refused above; 0: 1e-6, float16 1e-3, int8 0.05
    lfw_dir: str = ""  # folder of people: measure the accuracy too, before and after; empty: do not
    lfw_pairs: str = "model_data/lfw_pairs.txt"  # pairs of --lfw_dir
    accuracy_lost: float = 0.005  # of accuracy on these pairs, refused above
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


def main(settings: Settings) -> None:
    """Reads photos, converts, checks, writes."""
    check(settings)
    model_path = find_embedder(settings.model_path, settings.input_size)
    output = output_path(settings, model_path)
    representative: list[str] = []
    if settings.quantize == "int8":
        representative = chosen("--representative", settings.representative, settings.number)
    photos = chosen("--photos", settings.photos, settings.number, representative)
    pairs = pairs_of(settings)
    embedder = load(model_path, settings)
    images, ranges = read(embedder, photos, "reading"), read(embedder, representative, "ranges")
    write(embedder, output, settings, (images, ranges), pairs)


def check(settings: Settings) -> None:
    """Raises UserError for settings that do not fit, before anything heavy is imported."""
    from utils.cropping import check_choice
    from utils.exported import is_exported

    check_choice(settings.align)
    idle = sorted(typed_names(settings) & {"lfw_pairs", "accuracy_lost"})
    if idle and not settings.lfw_dir and not settings.lfw_pairs.endswith(".bin"):
        raise UserError(f"--{idle[0]} is for the accuracy on the pairs of --lfw_dir; received none")
    if (settings.quantize == "int8") != bool(settings.representative):
        raise UserError("--quantize int8 and --representative FOLDER (training photos) are given together")
    if settings.quantize != "none" and settings.format == "saved_model":
        raise UserError(f"--quantize {settings.quantize} is for onnx and tflite; a SavedModel stays float32")
    at_least(1, settings, "number")
    at_least(0, settings, "largest_difference", "accuracy_lost")
    if settings.model_path and is_exported(settings.model_path):
        raise UserError(f"--model_path {settings.model_path} is exported already; name the .keras it was made of")


def output_path(settings: Settings, model_path: Path) -> Path:
    """Returns where to write; raises UserError for a name that does not fit the format."""
    from utils.exporting import SUFFIX

    suffix, mark = SUFFIX[settings.format], "" if settings.quantize == "none" else f"-{settings.quantize}"
    own = model_path.with_name(f"{model_path.stem}{mark}{suffix}")
    path = Path(settings.output) if settings.output else own
    if settings.format != "saved_model" and path.suffix != suffix:
        raise UserError(f"--output {path}: a name that ends in {suffix} is expected for --format {settings.format}")
    if settings.format != "saved_model" and path.is_dir():
        raise UserError(f"--output {path} is a folder; a file is expected for --format {settings.format}")
    if settings.format == "saved_model" and path.exists() and not (path / "saved_model.pb").is_file():
        raise UserError(f"--output {path} is there, and is no SavedModel; name another folder")
    return path


def chosen(flag: str, folder: str, number: int, besides: Sequence[str] = ()) -> list[str]:
    """Returns at most `number` photos of a folder, evenly spread, none of them of `besides`; raises UserError."""
    from utils.photo_tree import list_photos

    try:
        photos, _ = list_photos(folder, leave_out="")
    except UserError as error:
        raise UserError(f"{flag}: {error}; a folder of photos of faces is expected") from error
    taken = set(map(os.path.realpath, besides))
    left = [path for path in (str(Path(folder, photo.path)) for photo in photos) if os.path.realpath(path) not in taken]
    if not left:
        raise UserError(f"--photos {folder} has no photo besides those of --representative; a larger folder is needed")
    number = min(number, len(left))
    return [left[place * len(left) // number] for place in range(number)]


def pairs_of(settings: Settings) -> "PairSet | None":
    """Returns the pairs on which the accuracy is measured, if it is."""
    from utils.pairs import read_pairs

    wanted = settings.lfw_dir or settings.lfw_pairs.endswith(".bin")  # which holds its images itself
    return read_pairs(settings.lfw_pairs, settings.lfw_dir) if wanted else None


def load(model_path: Path, settings: Settings) -> "Embedder":
    """Starts Keras and returns the embedder, which cuts photos as `--align` says."""
    from utils.backend import start_keras

    start_keras()
    from utils.embedder import Embedder
    from utils.exporting import check_packages

    check_packages(settings.format)
    embedder = Embedder.load(model_path, settings.input_size or None, on_keras=True)
    print(f"embedder     {named(model_path, settings.model_path)}")
    embedder.crop_photos(settings.align)
    return embedder


def read(embedder: "Embedder", photos: list[str], what: str) -> "np.ndarray":
    """Returns photos as the network sees them, uint8 (N, H, W, 3)."""
    import numpy as np

    from utils.terminal import progress_bar

    images = [embedder.read(photo) for photo in progress_bar(photos, desc=what, leave=False, disable=not photos)]
    return np.stack(images) if images else np.empty((0, *embedder.size, 3), np.uint8)


def write(
    embedder: "Embedder",
    output: Path,
    settings: Settings,
    photos: "tuple[np.ndarray, np.ndarray]",
    pairs: "PairSet | None",
) -> None:
    """Converts, checks, and leaves file and card at `output`, or raises UserError and leaves what was there."""
    from utils.export_check import BOUNDS, exported_card, refuse
    from utils.exported import fingerprint, own_card
    from utils.exporting import convert, exported_whole
    from utils.files import write_json

    images, ranges = photos
    with exported_whole(output, settings.format) as temporary:
        print(f"converting   {settings.format}, quantize {settings.quantize} ...")
        convert(embedder.network, temporary, settings.format, settings.quantize, ranges)
        found = checked(embedder, temporary, images, pairs, settings)
        print(*found.lines(), sep="\n")
        refuse(found, settings.largest_difference or BOUNDS[settings.quantize], settings.accuracy_lost)
        how: dict[str, Any] = {"format": settings.format, "quantize": settings.quantize}
        card = exported_card(embedder, fingerprint(temporary), how, found)
    write_json(own_card(output), card)  # an older one is of another SHA-256, and counts for nothing
    print(f"written      {output}, {own_card(output).name} beside it")
    if embedder.thresholds and "thresholds" not in card:
        print(f"thresholds   its own: python eval_lfw.py --model_path {output} --lfw_dir FOLDER")


def checked(
    embedder: "Embedder", temporary: Path, images: "np.ndarray", pairs: "PairSet | None", settings: Settings
) -> "Check":
    """Returns what the exported network differs by, takes and weighs."""
    from utils.cropping import alignment_of
    from utils.embedder import Embedder
    from utils.export_check import Check, compared, figures, megabytes
    from utils.exported import exported_network
    from utils.one_core import milliseconds

    made = Embedder(exported_network(temporary, embedder.card), embedder.card, temporary)
    both = embedder, made
    differences = compared(both, images)
    for one in both if pairs else ():
        one.crop_photos(settings.align, alignment_of(pairs.images[0], settings.lfw_dir) if pairs else None)
    assert embedder.path
    accuracy, val = figures(both, pairs) if pairs else (None, {})
    return Check(
        len(images),
        *differences,
        accuracy,
        (megabytes(embedder.path), megabytes(temporary)),
        milliseconds((embedder.path, temporary), images[:64]),
        val,
    )


if __name__ == "__main__":
    run_script(main, Settings)
