"""Measures an embedder on pairs of photos (LFW and the like): figures with intervals, pictures, thresholds.

python eval_lfw.py --model_path F --lfw_dir D --lfw_pairs P
"""

import dataclasses
import datetime
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from utils.bootstrap import Intervals, bootstrap, check_replicates, figures
from utils.cards import stored_card
from utils.files import refuse_photo, write_json
from utils.labelled import refuse_trained_on
from utils.metrics import Verification, check_pairs, rate_name, verify
from utils.pairs import PairSet, folder_pairs, read_pairs
from utils.people_folder import PeopleFolder
from utils.runs import find_embedder, named
from utils.settings import UserError, at_least, run_script
from utils.terminal import say_of

if TYPE_CHECKING:
    from utils.alignment import Alignment
    from utils.embedder import Embedder


@dataclass(frozen=True)
class Settings:
    """Edit these, or give them as flags: python eval_lfw.py --lfw_dir datasets/lfw"""

    model_path: str = ""  # embedder (.keras, .onnx, .tflite, .h5); empty: the newest run's, else the released one
    lfw_dir: str = "datasets/lfw"  # folder of people: crops, or photos as downloaded (a .bin holds its images itself)
    lfw_pairs: str = "model_data/lfw_pairs.txt"  # pairs.txt, `path path 0|1` lines, .bin, CFP's Protocol, CALFW's list
    random_pairs: int = 0  # pairs drawn from lfw_dir instead of lfw_pairs; 0: none
    same_ratio: float = 0.333  # share of same pairs among the random pairs
    seed: int = 0  # of the random pairs and of the bootstrap
    flip: Literal["none", "sum", "concat"] = "none"  # the mirrored photo too: embeddings summed or concatenated
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    cropped: str = ""  # how the photos were cropped already (landmarks-112-0 or so); empty: found out
    skip_missing: bool = False  # leave out pairs whose photos are missing, instead of stopping
    report: str = ""  # path of a JSON report; empty: none
    save_dir: str = ""  # folder of the pictures; empty: <model>_lfw beside the model
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160
    compare: str = ""  # another embedder: how much better is this one on these pairs, beyond chance; empty: none
    bootstrap: int = 1000  # replicates behind the 95% intervals; 0: no intervals
    store_thresholds: Literal["auto", "yes", "no"] = "auto"  # into the card, for predict.py; auto: a calibration's stay


def main(settings: Settings) -> None:
    """Reads the pairs, loads the embedder, evaluates."""
    from utils.cropping import check_choice

    check_choice(settings.align)
    pairs = _read_pairs(settings)
    check_pairs(pairs.same, pairs.fold)  # before photos are embedded
    crops = _crops(pairs, settings)
    model_path = _find_model(settings)
    if settings.random_pairs:
        people = [person for person, _ in PeopleFolder(settings.lfw_dir)]
        refuse_trained_on(settings.lfw_dir, people, stored_card(model_path))
    beside = find_embedder(settings.compare, settings.input_size, "compare") if settings.compare else None
    from utils.embedder import Embedder

    embedder = Embedder.load(model_path, settings.input_size or None)
    say_of("crops", embedder.crop_photos(settings.align, crops).describe())
    other = Embedder.load(beside, settings.input_size or None) if beside else None
    if other:
        say_of("compared", f"{settings.compare}: {other.crop_photos(settings.align, crops).describe()}")
    evaluate(embedder, pairs, model_path, settings, other)


def evaluate(
    embedder: "Embedder", pairs: PairSet, model_path: Path, settings: Settings, other: "Embedder | None" = None
) -> dict[str, Any]:
    """Embeds each image once and measures the pairs; prints, writes, draws, stores; returns the report."""
    from utils.validation import distances_of

    began = time.perf_counter()
    say_of("data", f"{len(pairs.same):,} pairs of {len(pairs.images):,} images: {_data(settings)}")
    if pairs.left_out:
        say_of("left out", f"{pairs.left_out:,} pairs, for want of their images (skip_missing)")
    if pairs.remark:
        say_of("remark", pairs.remark)
    distances = distances_of(embedder, pairs, settings.flip, "embedding")
    images_per_second = len(pairs.images) / (time.perf_counter() - began)
    say_of("embedded", f"{len(pairs.images):,} images, {images_per_second:,.0f} images/s, flip {settings.flip}")
    if embedder.cropper.raw:
        say_of("aligned", embedder.cropper.summary())

    result = verify(distances, pairs.same, pairs.fold)
    people = pairs.people_of_pairs()
    intervals = bootstrap(distances, pairs.same, pairs.fold, people, settings.bootstrap, settings.seed)
    print("", *table(result, intervals), "", sep="\n")
    compared = _compared(distances, other, pairs, settings) if other else {}

    report = _report(embedder, pairs, result, intervals) | {
        "seconds": time.perf_counter() - began,
        "images_per_second": images_per_second,
        "model_path": str(model_path),
        "raw_photos": len(embedder.cropper.raw),
        "without_a_face": sum(faces == 0 for faces in embedder.cropper.raw.values()),
        "settings": dataclasses.asdict(settings),
        **compared,
    }
    if settings.report:
        write_json(settings.report, report)
        say_of("report", settings.report)
    folder = Path(settings.save_dir) if settings.save_dir else model_path.with_name(f"{model_path.stem}_lfw")
    _draw(folder, embedder, pairs, distances, (result, intervals))
    if settings.store_thresholds != "no":
        say_of("thresholds", _store(embedder, result, pairs, settings))
    return report


def _compared(distances: np.ndarray, other: "Embedder", pairs: PairSet, settings: Settings) -> dict[str, Any]:
    """Measures another embedder on the same pairs, and prints by how much this one is better; returns the same."""
    from utils.differences import difference_table, differences
    from utils.validation import distances_of

    theirs = distances_of(other, pairs, settings.flip, "embedding")
    people = pairs.people_of_pairs()
    found = differences(distances, theirs, pairs.same, pairs.fold, people, settings.bootstrap, settings.seed)
    print(f"beside {settings.compare}", "", *difference_table(found), "", sep="\n")
    return {"compare": {name: each._asdict() for name, each in found.items()}}


def table(result: Verification, intervals: Intervals) -> list[str]:
    """Returns the figures with their 95% intervals, as lines of at most 80 columns."""
    same = round(result.true_positives + result.false_negatives)
    different = round(result.true_negatives + result.false_positives)
    rows = [("accuracy", "accuracy_mean", f"std over folds {result.accuracy_std:.4f}")]
    for rate, far in result.far.items():
        note = f"too few different pairs: {different:,}" if math.isnan(far) else f"measured FAR {far:.2g}"
        rows.append((f"VAL at FAR {rate_name(rate)}", f"val_{rate_name(rate)}", note))
    rows += [("AUC", "auc", ""), ("EER", "eer", ""), ("threshold", "threshold", "squared distance, all pairs")]
    counts = {
        "true_positives": same,
        "false_negatives": same,
        "true_negatives": different,
        "false_positives": different,
    }
    rows += [(name.replace("_", " "), name, f"of {number:,} at the threshold") for name, number in counts.items()]

    found = figures(result)
    lines = [f"{'':<18}{'value':>8}   {'95% interval':<18}"]
    for label, name, note in rows:
        form = ",.0f" if name in counts else ".4g" if name == "threshold" else ".4f"
        value = format(found[name], form) if name in found else "-"
        span = " .. ".join(format(end, form) for end in intervals.figures.get(name, ()))
        lines.append(f"{label:<18}{value:>8}   {span:<18}{note}".rstrip())
    return lines


def _data(settings: Settings) -> str:
    """Names the data without the user's own folders: it goes into the embedder's card."""
    if _is_bin(settings):
        return Path(settings.lfw_pairs).name
    source = "random pairs" if settings.random_pairs else Path(settings.lfw_pairs).name
    return f"{source} of {Path(settings.lfw_dir).resolve().name}"


def _is_bin(settings: Settings) -> bool:
    return Path(settings.lfw_pairs).suffix == ".bin" and not settings.random_pairs


def _read_pairs(settings: Settings) -> PairSet:
    at_least(0, settings, "random_pairs", "seed")
    check_replicates(settings.bootstrap)
    refuse_photo("report", settings.report)
    if settings.compare and not settings.bootstrap:
        raise UserError("--compare tells by intervals whether two embedders differ; received --bootstrap 0")
    if settings.random_pairs:
        return folder_pairs(settings.lfw_dir, settings.random_pairs, settings.same_ratio, settings.seed)
    if settings.lfw_dir == Settings.lfw_dir and not Path(settings.lfw_dir).exists() and not _is_bin(settings):
        raise UserError(f"no folder {settings.lfw_dir}: python download.py lfw makes it; --lfw_dir names another")
    return read_pairs(settings.lfw_pairs, settings.lfw_dir, settings.skip_missing)


def _crops(pairs: PairSet, settings: Settings) -> "Alignment | None":
    """Returns how the photos were cropped, where the settings, the kind of file or align.py's record say it."""
    from utils.cropping import Alignment, alignment_of

    return Alignment.parse(settings.cropped) if settings.cropped else alignment_of(pairs.images[0], settings.lfw_dir)


def _find_model(settings: Settings) -> Path:
    model_path = find_embedder(settings.model_path, settings.input_size)
    say_of("embedder", f"{named(model_path, settings.model_path)}")
    return model_path


def _draw(
    folder: Path,
    embedder: "Embedder",
    pairs: PairSet,
    distances: np.ndarray,
    figures: tuple[Verification, Intervals],
) -> None:
    from utils.plots import error_sheet, roc_figure

    result, intervals = figures
    files = [(pairs.images[a], pairs.images[b]) for a, b in zip(pairs.first, pairs.second, strict=True)]
    roc_figure(folder / "roc.png", distances, pairs.same, result.threshold, intervals)
    error_sheet(folder / "errors.png", files, distances, pairs.same, result.threshold, embedder.read)
    say_of("pictures", f"roc.png and errors.png in {folder}")


def _store(embedder: "Embedder", result: Verification, pairs: PairSet, settings: Settings) -> str:
    """Writes the thresholds into the embedder's card, but auto those of a calibration stay; returns what was done."""
    from utils.calibration import Calibration

    embedder.reread_card()
    if settings.store_thresholds == "auto" and Calibration.of_card(embedder.card):
        return "those of its calibration stay in the card (--store_thresholds yes: these)"
    about = {"data": _data(settings), "pairs": len(pairs.same), "flip": settings.flip}
    embedder.store_thresholds({**result.thresholds, **about, "date": datetime.date.today().isoformat()})
    return f"{', '.join(result.thresholds)}: stored in the embedder's card"


def _report(embedder: "Embedder", pairs: PairSet, result: Verification, intervals: Intervals) -> dict[str, Any]:
    found = dataclasses.asdict(result)
    for name in ("val", "far"):  # JSON has neither numbers as keys nor NaN
        found[name] = {rate_name(rate): None if math.isnan(x) else x for rate, x in found[name].items()}
    return found | {
        "pairs": len(pairs.same),
        "images": len(pairs.images),
        "pairs_left_out": pairs.left_out,
        "remark": pairs.remark,
        "intervals": intervals.figures,
        "sha256": embedder.card.get("sha256"),
    }


if __name__ == "__main__":
    run_script(main, Settings)
