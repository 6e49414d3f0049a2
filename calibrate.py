"""Measures what an embedder's distances mean: probability of one person, false-accept rates; stored in its card.

python calibrate.py --people cls_train.txt --model_path F
"""

import dataclasses
import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from utils.cards import stored_card
from utils.held_out import names_in
from utils.labelled import Labelled, crops_of, read_labelled
from utils.metrics import rate_name
from utils.runs import find_embedder, named
from utils.settings import at_least, run_script, typed_names
from utils.terminal import say_of

if TYPE_CHECKING:
    from utils.calibration import Calibration, Method
    from utils.embedder import Embedder
    from utils.reliability import PeoplePairs, Reliability

RATES = (1e-2, 1e-3, 1e-4, 1e-5)  # false-accept rates that get a line, and a threshold where they are measured


@dataclass(frozen=True)
class Settings:
    """On people that it was not trained on: python calibrate.py --people cls_train.txt"""

    people: str = "cls_train.txt"  # folder of people, or an annotation; of that of the training, those held out count
    model_path: str = ""  # embedder (.keras, .onnx, .tflite, .h5); empty: the newest run's, else the released one
    method: Literal["measured", "platt", "isotonic"] = "measured"  # measured: the one with less log loss on new people
    photos: int = 6000  # photos that are embedded, at most: people are drawn until there are so many
    flip: Literal["none", "sum", "concat"] = "none"  # the mirrored photo too: embeddings summed or concatenated
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    cropped: str = ""  # how the photos were cropped already (landmarks-112-0 or so); empty: found out
    save_dir: str = ""  # folder of the picture; empty: <model>_calibration beside the model
    store: bool = True  # write both into the embedder's card; unless typed, not over a calibration of more people
    seed: int = 0  # of who is drawn, and of the pairs
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


def main(settings: Settings) -> None:
    """Reads the people, embeds them, measures both methods on held-back people, fits one on all, draws, stores."""
    from utils.cropping import check_choice

    check_choice(settings.align)
    at_least(100, settings, "photos")  # fewer measure no rates
    at_least(0, settings, "seed")
    model_path = find_embedder(settings.model_path, settings.input_size)
    people = read_labelled(settings.people, stored_card(model_path), names_in(model_path.parent))
    from utils.embedder import Embedder
    from utils.reliability import FOLDS, check_people

    people = people.at_most(settings.photos, settings.seed, fewest=2 * FOLDS)
    check_people(people.labels)  # before photos are embedded
    embedder = Embedder.load(model_path, settings.input_size or None)
    say_of("embedder", f"{named(model_path, settings.model_path)}")
    say_of("people", f"{len(people.people):,} people, {len(people.paths):,} photos: {people.source}")
    say_of("crops", embedder.crop_photos(settings.align, crops_of(people, settings.cropped)).describe())
    embeddings = embedder.embed_files(people.paths, settings.flip, progress="embedding")
    calibration, measured, pairs = fitted(embeddings, people, settings)
    print(*table(calibration, measured), sep="\n")
    folder = Path(settings.save_dir) if settings.save_dir else model_path.with_name(f"{model_path.stem}_calibration")
    from utils.calibration import Calibration
    from utils.identification_plots import reliability_figure

    reliability_figure(folder / "reliability.png", calibration, measured, pairs)
    say_of("picture", f"reliability.png in {folder}")
    known = Calibration.of_card(embedder.card)
    if settings.store and known and known.people > calibration.people and "store" not in typed_names(settings):
        say_of("kept", f"the card's calibration of {known.people:,} people (--store yes puts this one in its place)")
    elif settings.store:
        store(embedder, calibration, pairs)
        say_of("stored", f"calibration and thresholds, beside {model_path}")


def fitted(
    embeddings: np.ndarray, people: Labelled, settings: Settings
) -> "tuple[Calibration, dict[Method, Reliability], PeoplePairs]":
    """Returns the calibration by the method that does better (or was asked for), both methods' errors, the pairs."""
    from utils.calibration import Calibration
    from utils.reliability import METHODS, cross_validated, people_pairs

    measured = cross_validated(embeddings, people.labels, settings.seed)
    wanted = [method for method in METHODS if settings.method in ("measured", method)]
    method = min(wanted, key=lambda name: measured[name].log_loss)
    about = {
        "data": people.source,
        "flip": settings.flip,
        "photos": len(people.paths),
        "ece": measured[method].ece,
        "ece_interval": list(measured[method].interval),
        "date": datetime.date.today().isoformat(),
    }
    pairs = people_pairs(embeddings, people.labels, seed=settings.seed)
    calibration = Calibration.fit(pairs.distances, pairs.same, len(people.people), method)
    return dataclasses.replace(calibration, about=about), measured, pairs


def table(calibration: "Calibration", measured: "dict[Method, Reliability]") -> list[str]:
    """Returns the figures as lines of at most 80 columns."""
    lines = ["", f"{'':<12}{'log loss':>9}{'ECE':>9}   95% interval, on people held back (5 folds)"]
    for method, found in measured.items():
        low, high = found.interval
        kept = "  <- kept" if method == calibration.method else ""
        lines.append(f"{method:<12}{found.log_loss:>9.4f}{found.ece:>9.4f}   {low:.4f} .. {high:.4f}{kept}")
    lines += ["", f"{'':<12}{'distance':>9}{'VAL':>9}   probability of one person at that distance"]
    for rate in RATES:
        at = calibration.distance_at(rate)
        note = "" if rate >= calibration.finest_rate else "   (extrapolated)"
        val, probability = calibration.val(at), calibration.probability(at)
        lines.append(f"FAR {rate_name(rate):<8}{at:>9.3f}{val:>9.4f}   {probability:.1%}{note}")
    return [*lines, ""]


def store(embedder: "Embedder", calibration: "Calibration", pairs: "PeoplePairs") -> None:
    """Writes calibration and thresholds into the embedder's card."""
    from utils.calibration import even_weights
    from utils.metrics import best_point, curve, midpoint

    order = np.argsort(pairs.distances, kind="stable")
    points = curve(pairs.distances[order], pairs.same[order], even_weights(pairs.same)[order])
    best = best_point(points)  # both kinds of pairs weigh alike
    entry = {"threshold": midpoint(points, best), "far": float(points.far[best]), "val": float(points.val[best])}
    thresholds: dict[str, Any] = {"best_accuracy": entry}
    for rate in RATES:
        if rate >= calibration.finest_rate:
            at = calibration.distance_at(rate)
            entry = {"threshold": at, "far": float(calibration.far(at)), "val": float(calibration.val(at))}
            thresholds[f"far_{rate_name(rate)}"] = entry
    about = {name: calibration.about[name] for name in ("data", "flip", "date")}
    embedder.reread_card()
    embedder.card = calibration.into_card(embedder.card)
    embedder.store_thresholds(thresholds | about | {"pairs": len(pairs.same)})


if __name__ == "__main__":
    run_script(main, Settings)
