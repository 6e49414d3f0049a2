"""Measures identification: who is this among the enrolled, and is it nobody? Figures with intervals, plot, errors.

python eval_identify.py --people lfw, or python eval_identify.py --gallery staff --probes visitors
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from utils.bootstrap import check_replicates
from utils.calibration import Calibration, one_to_many
from utils.cards import stored_card
from utils.files import refuse_photo, write_json
from utils.group_figures import as_json, check_far, common_threshold, group_figures, group_table, read_groups
from utils.held_out import names_in
from utils.labelled import Labelled, crops_of, joined, read_labelled
from utils.metrics import rate_name
from utils.open_set import FPIRS, Searches, cmc, dir_at, figures, fpir_at, intervals, search, split, threshold_at
from utils.runs import find_embedder, named
from utils.settings import UserError, at_least, run_script
from utils.terminal import say_of

if TYPE_CHECKING:
    from utils.embedder import Embedder


@dataclass(frozen=True)
class Settings:
    """Two folders of people, or one that is split: python eval_identify.py --people lfw"""

    gallery: str = ""  # folder of the people who are enrolled, <person>/<photo>, or an annotation file
    probes: str = ""  # folder of photos to be named; who has no folder of the same name in gallery is a stranger
    people: str = ""  # in place of both: one folder of people, or an annotation file, that is split
    strangers: float = 0.5  # share of the people with two photos who are not enrolled; who has one photo never is
    enrolled: int = 0  # photos of each person that are enrolled, the others are probes; 0: half of them
    templates: Literal["mean", "all"] = "mean"  # a person is the mean of their photos, or each of them
    groups: str = ""  # CSV: person, and columns that part people (age, camera, …): a report for each group
    far: float = 1e-3  # false-accept rate of the one threshold that all groups are measured at
    model_path: str = ""  # embedder (.keras, .onnx, .tflite, .h5); empty: the newest run's, else the released one
    flip: Literal["none", "sum", "concat"] = "none"  # the mirrored photo too: embeddings summed or concatenated
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    cropped: str = ""  # how the photos were cropped already (landmarks-112-0 or so); empty: found out
    report: str = ""  # path of a JSON report; empty: none
    save_dir: str = ""  # folder of the pictures; empty: <model>_identify beside the model
    bootstrap: int = 1000  # replicates behind the 95% intervals; 0: no intervals
    seed: int = 0  # of the split and of the bootstrap
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


def main(settings: Settings) -> None:
    """Reads and parts the people, embeds every photo once, searches, measures, draws; then group by group."""
    from utils.cropping import check_choice

    check_choice(settings.align)
    at_least(0, settings, "enrolled", "seed")
    check_replicates(settings.bootstrap)
    refuse_photo("report", settings.report)
    model_path = find_embedder(settings.model_path, settings.input_size)
    people, gallery, probes, strangers = _parted(settings, model_path)
    groups = read_groups(settings.groups, people.people) if settings.groups else {}
    if groups:
        check_far(people.labels, settings.far)  # before photos are embedded
    from utils.embedder import Embedder

    embedder = Embedder.load(model_path, settings.input_size or None)
    say_of("embedder", f"{named(model_path, settings.model_path)}")
    say_of("crops", embedder.crop_photos(settings.align, crops_of(people, settings.cropped)).describe())
    embeddings = embedder.embed_files(people.paths, settings.flip, progress="embedding")
    calibration = Calibration.of_card(embedder.card)
    if calibration and calibration.about.get("flip", "none") != settings.flip:
        calibration = None  # distances of mirrored and of plain photos are different ones
    found, templates = _searched(embeddings, people.labels, (gallery, probes, strangers), settings, calibration)
    sizes = len(np.unique(people.labels[gallery])), templates
    report = _identification(found, people.labels[probes], sizes, calibration, settings)
    folder = Path(settings.save_dir) if settings.save_dir else model_path.with_name(f"{model_path.stem}_identify")
    _draw(folder, (embedder, embeddings), people, (gallery, probes), found)
    report["groups"] = _group_report(folder, embeddings, people, groups, settings)
    if settings.report:
        write_json(
            settings.report, report | {"settings": dataclasses.asdict(settings), "sha256": embedder.card["sha256"]}
        )
        say_of("report", settings.report)


def _parted(settings: Settings, model_path: Path) -> tuple[Labelled, np.ndarray, np.ndarray, np.ndarray]:
    """Returns all photos, the rows enrolled, the rows probed, and the people who are strangers; says how many."""
    if not 0 <= settings.strangers <= 1:
        raise UserError(f"--strangers is a share, 0 to 1; received {settings.strangers:g}")
    if not 0 < settings.far < 1:
        raise UserError(f"--far {settings.far:g}: a rate between 0 and 1 is expected")
    if bool(settings.people) == bool(settings.gallery or settings.probes):
        raise UserError("give --people (one folder, which is split), or --gallery and --probes")
    card, names = stored_card(model_path), names_in(model_path.parent)
    if settings.people:
        people = read_labelled(settings.people, card, names)
        parted = split(people.labels, settings.strangers, settings.enrolled, settings.seed)
        gallery, probes, strangers = parted.gallery, parted.probes, parted.strangers
    else:
        people, first = joined(*(read_labelled(one, card, names) for one in (settings.gallery, settings.probes)))
        gallery, probes = np.flatnonzero(first), np.flatnonzero(~first)
        strangers = np.setdiff1d(people.labels[probes], people.labels[gallery])
    unknown = np.isin(people.labels[probes], strangers)
    if unknown.all() or not unknown.any():
        raise UserError(
            f"of {len(probes):,} probes {np.count_nonzero(~unknown):,} show people of the gallery: some must, and"
            " some must not; a person's folder has the same name in both"
        )
    enrolled = len(np.unique(people.labels[gallery]))
    say_of("data", f"{len(people.paths):,} photos of {len(people.people):,} people: {people.source}")
    say_of("enrolled", f"{enrolled:,} people, {len(gallery):,} photos ({settings.templates})")
    say_of(
        "probes",
        f"{np.count_nonzero(~unknown):,} of them, {np.count_nonzero(unknown):,} of {len(strangers):,} strangers",
    )
    return people, gallery, probes, strangers


def _searched(
    embeddings: np.ndarray,
    labels: np.ndarray,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray],
    settings: Settings,
    calibration: Calibration | None,
) -> tuple[Searches, int]:
    """Returns what the probes found, and among how many templates. Means are compared as identify.py does."""
    from utils.templates import as_between_photos, templates

    gallery, probes, strangers = parts
    enrolled, whose = np.unique(labels[gallery], return_inverse=True)
    names = {number: str(number) for number in range(len(enrolled))}
    made = templates(names, whose, embeddings[gallery], np.ones(len(gallery)), settings.templates)
    person = np.where(np.isin(labels[probes], strangers), -1, np.searchsorted(enrolled, labels[probes]))
    corrected = None
    if calibration and settings.templates == "mean":
        corrected = partial(as_between_photos, lengths=made.lengths, strangers=calibration.distance_at(0.5))
    whose = np.array(made.names).astype(int)
    return search(embeddings[probes], person, made.vectors, whose, corrected), len(made.names)


def _identification(
    found: Searches,
    people: np.ndarray,
    sizes: tuple[int, int],
    calibration: Calibration | None,
    settings: Settings,
) -> dict[str, Any]:
    """Prints the figures, and what the card's calibration foresaw; returns them all; sizes: people, templates."""
    enrolled, templates = sizes
    values = figures(found)
    if enrolled < 5:
        values["rank_5"] = math.nan
    ends = intervals(found, people, settings.bootstrap, settings.seed) if settings.bootstrap else {}
    print("", *table(values, ends), sep="\n")
    foreseen = {}
    if calibration:
        print("", f"{'thresholds of the card':<24}{'FPIR':>8}{'DIR':>9}", sep="\n")
        for rate in FPIRS:
            at = calibration.distance_at(one_to_many(rate, templates))
            fpir, named = fpir_at(found, at), dir_at(found, at)
            foreseen[f"{rate:g}"] = {"threshold": at, "fpir": fpir, "dir": named}
            print(f"asked for FPIR {rate_name(rate):<9}{fpir:>8.4f}{named:>9.4f}   below {at:.3f}")
    print()
    ends = {name: span for name, span in ends.items() if not math.isnan(values[name])}
    numbers = {name: None if math.isnan(value) else value for name, value in values.items()}
    return {"figures": numbers, "intervals": ends, "cmc": cmc(found).tolist(), "thresholds_of_the_card": foreseen}


def table(values: dict[str, float], ends: dict[str, tuple[float, float]]) -> list[str]:
    """Returns the figures with their 95% intervals, as lines of at most 80 columns."""
    lines = [f"{'':<24}{'value':>8}   95% interval"]
    for name, label in labels().items():
        threshold = values.get(name.replace("dir", "threshold"), math.nan)
        note = f"below {threshold:.3f}" if name.startswith("dir") else ""
        if math.isnan(values[name]):
            few = "too few probes of strangers" if name.startswith("dir") else "fewer than five people enrolled"
            lines.append(f"{label:<24}{'-':>8}   {few}")
            continue
        span = " .. ".join(f"{end:.4f}" for end in ends.get(name, ()))
        lines.append(f"{label:<24}{values[name]:>8.4f}   {span:<18}{note}".rstrip())
    return lines


def _draw(
    folder: Path,
    embedded: "tuple[Embedder, np.ndarray]",
    people: Labelled,
    rows: tuple[np.ndarray, np.ndarray],
    found: Searches,
) -> None:
    from utils.identification_plots import identification_figure, search_errors
    from utils.plots import error_sheet

    embedder, embeddings = embedded
    measured = [threshold for threshold in (threshold_at(found, fpir) for fpir in FPIRS) if not math.isnan(threshold)]
    threshold = measured[-1] if measured else float(np.median(found.distance))
    enrolled = len(np.unique(people.labels[rows[0]]))
    identification_figure(folder / "identification.png", found, threshold, enrolled)
    first, second, same, distances = search_errors(embeddings, people.labels, rows, found, threshold)
    files = [(people.paths[a], people.paths[b]) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    error_sheet(folder / "errors.png", files, distances, same, threshold, embedder.read)
    say_of("pictures", f"identification.png and errors.png in {folder}")


def _group_report(
    folder: Path, embeddings: np.ndarray, people: Labelled, groups: dict[str, np.ndarray], settings: Settings
) -> dict[str, Any]:
    """Prints, draws and returns the figures of each column's groups."""
    if not groups:
        return {}
    from utils.identification_plots import groups_figure

    threshold = common_threshold(embeddings, people.labels, settings.far, settings.seed)
    found = {c: group_figures(embeddings, people.labels, g, threshold, settings.seed) for c, g in groups.items()}
    print("", f"one threshold for all: below {threshold:.3f}, FAR {rate_name(settings.far)} among everybody", sep="\n")
    for column, rows in found.items():
        print("", *group_table(column, rows), sep="\n")
    groups_figure(folder / "groups.png", found, settings.far)
    print()
    say_of("picture", f"groups.png in {folder}")
    return {column: [as_json(row) for row in rows] for column, rows in found.items()}


def labels() -> dict[str, str]:
    """Returns figure -> what its line is called."""
    return {"rank_1": "rank-1", "rank_5": "rank-5"} | {f"dir_{f:g}": f"DIR at FPIR {rate_name(f)}" for f in FPIRS}


if __name__ == "__main__":
    run_script(main, Settings)
