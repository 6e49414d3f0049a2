"""Looks for what is wrong with a set of faces before a network learns it: a report, a CSV, a cleaned annotation file.

python audit.py --annotation_path cls_train.txt --model_path F --against lfw --apply cls_clean.txt
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.annotations import people_path, read_annotations
from utils.files import refuse_photo, written_whole
from utils.findings import APPLIED, KINDS, Findings, csv_path, kinds_of, wrong_kinds
from utils.people_folder import PeopleFolder
from utils.runs import find_embedder
from utils.settings import UserError, at_least, nearest, run_script
from utils.terminal import say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from utils.audit_people import PeopleAuditor
    from utils.audit_photos import Auditor, Limits

CSV_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


@dataclass(frozen=True)
class Settings:
    """Duplicates, bad photos and, with an embedder, wrong labels. Run: python audit.py"""

    annotation_path: str = "cls_train.txt"  # photos and who is on them (txt_annotation.py writes it)
    model_path: str = ""  # embedder (.keras, .onnx, .tflite, .h5); empty: only what needs none
    against: str = ""  # a folder of people who must not be in training (LFW); empty: none
    save_dir: str = "audit"  # folder of report.html, findings.csv and of what is remembered between runs
    apply: str = ""  # path of the cleaned annotation file; empty: none; photos are never touched
    apply_kinds: str = APPLIED  # what it leaves out, by commas; see the first column of findings.csv
    faces: bool = False  # look for faces with MTCNN too (some 100 photos a second)
    min_images: int = 2  # photos a person
    min_side: int = 64  # pixels of the shorter side
    sharpness: float = 30.0  # least variance of the Laplacian, in the middle, at 112 pixels
    dark: float = 40.0  # least mean brightness of the middle, 0..255
    overexposed: float = 215.0  # largest mean brightness of the middle, 0..255
    grey: float = 4.0  # least colour: mean of the largest less the smallest channel, 0..255
    top: int = 20  # cases of each kind in the report
    align: str = "auto"  # photos that are no crop yet: auto (cut as the embedder's were), no, or landmarks-160-0 or so
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


def main(settings: Settings) -> None:
    """Reads each photo once, collects findings of every kind, writes report and CSV, and the cleaned file."""
    model_path = _check(settings)
    annotations = read_annotations(settings.annotation_path)
    against = PeopleFolder(settings.against) if settings.against else None
    evaluation = list(against or [])
    if against and not evaluation:
        found = "; ".join(f"{number:,} {reason} ({name})" for reason, (number, name) in against.skipped.items())
        raise UserError(f"--against {settings.against} holds nobody as <person>/<photo>: {found or 'it is empty'}")
    print(f"{settings.annotation_path}: {len(annotations):,} photos of {annotations.number_of_people:,} people")
    from utils.audit_photos import Auditor
    from utils.inspection import inspect
    from utils.photo_reading import keep_photos

    paths = [annotations.path(row) for row in range(len(annotations))]
    keep_photos(paths, settings, "apply")
    folder = Path(settings.save_dir)
    facts, errors = inspect(paths, folder / "facts.npz")
    with written_whole(csv_path(folder)) as temporary, open(temporary, "w", **CSV_TEXT) as file:
        auditor = Auditor(annotations, facts, Findings(file, settings.top))
        people = _compare_people(auditor, model_path, evaluation, settings)
        auditor.unreadable(errors)
        own = people.own if people else None
        auditor.duplicates(own)
        auditor.few_images(_limits(settings))
        if settings.faces:
            auditor.faceless(_faces(auditor, folder), own)
        auditor.quality(_limits(settings))
    _report(auditor, people.unsaid if people else set(), settings)
    if settings.apply:
        _apply(auditor, settings)


def _check(settings: Settings) -> Path | None:
    """Refuses what cannot work, before anything is read; returns the embedder's path."""
    from utils.cropping import check_choice

    unknown = wrong_kinds(settings.apply_kinds)
    if unknown:
        hint = nearest(unknown[0], KINDS)
        raise UserError(f"--apply_kinds: unknown kind '{unknown[0]}'{hint}; choose from {', '.join(KINDS)}")
    if settings.apply_kinds != APPLIED and not settings.apply:
        raise UserError("--apply_kinds is what --apply FILE leaves out; received no --apply")
    at_least(0, settings, "min_images", "min_side", "top")
    check_choice(settings.align)
    refuse_photo("apply", settings.apply)
    if settings.apply and _files(settings.apply) & _files(settings.annotation_path):
        raise UserError(f"--apply {settings.apply} would overwrite the annotation itself; give it another name")
    return find_embedder(settings.model_path, settings.input_size) if settings.model_path else None


def _files(annotation: str) -> set[str]:
    return {os.path.realpath(annotation), os.path.realpath(people_path(annotation))}


def _limits(settings: Settings) -> "Limits":
    from utils.audit_photos import Limits

    fields = (settings.min_images, settings.min_side, settings.sharpness)
    return Limits(*fields, settings.dark, settings.overexposed, settings.grey)


def _compare_people(
    auditor: "Auditor", model_path: Path | None, evaluation: list[tuple[str, list[str]]], settings: Settings
) -> "PeopleAuditor | None":
    """Notes what names say of people, and embeddings where there is an embedder; returns what compared them."""
    from utils.audit_evaluation import note_same_names, note_same_pictures
    from utils.audit_people import PeopleAuditor
    from utils.cached_embeddings import embeddings_of
    from utils.inspection import inspect

    names = [name for name, _ in evaluation]
    photos = [[os.path.join(settings.against, name, photo) for photo in some] for name, some in evaluation]
    note_same_names(auditor, photos, names)
    folder = Path(settings.save_dir)
    facts, unread = inspect([photo for some in photos for photo in some], folder / "facts.npz")
    note_same_pictures(auditor, facts, photos, names)
    if unread:
        say(f"{len(unread):,} of {len(facts):,} photos of {settings.against} cannot be read; as {unread[min(unread)]}")
    if model_path is None:
        return None
    from utils.cropping import recorded_alignment
    from utils.embedder import Embedder

    embedder = Embedder.load(model_path, settings.input_size or None)
    beside = os.path.dirname(auditor.annotations.path(0))
    say(f"embedder: {embedder.crop_photos(settings.align, recorded_alignment(beside)).describe()}")
    readable = [auditor.annotations.path(row) for row in auditor.readable.tolist()]
    people = PeopleAuditor(auditor, embeddings_of(embedder, readable, folder))
    people.mislabelled()
    people.same_person()
    if evaluation:
        embedder.crop_photos(settings.align, recorded_alignment(settings.against))
        width = iter(facts["width"].tolist())
        kept = [[photo for photo in some if next(width)] for some in photos]
        every = [photo for some in kept for photo in some]
        people.in_evaluation_set(embeddings_of(embedder, every, folder), kept, names)
    return people


def _faces(auditor: "Auditor", folder: Path) -> "NDArray[np.int32]":
    """Returns how many faces MTCNN sees on each photo (N,), -1 for those that cannot be read."""
    import numpy as np

    from utils.detector import Detector
    from utils.face_counts import count_faces

    paths = [auditor.annotations.path(row) for row in auditor.readable.tolist()]
    counts = np.full(len(auditor.facts), -1, np.int32)
    counts[auditor.readable] = count_faces(paths, folder / "faces.npz", Detector(second_look=False).detect)
    return counts


def _report(auditor: "Auditor", unsaid: set[str], settings: Settings) -> None:
    """Writes the HTML, and prints a line a kind, of which nothing can be said of those `unsaid`."""
    from utils.audit_report import certainties, write_report

    findings, folder = auditor.findings, Path(settings.save_dir)
    annotations = auditor.annotations
    about = [
        f"{settings.annotation_path}: {len(annotations):,} photos of {annotations.number_of_people:,} people",
        f"embedder: {settings.model_path or 'none; labels were not compared with faces'}",
        *([f"evaluation set: {settings.against}"] if settings.against else []),
        f"faces: {'looked for with MTCNN' if settings.faces else 'not looked for (--faces yes)'}",
    ]
    asked = {
        "mislabelled": (settings.model_path, "--model_path"),
        "same_person": (settings.model_path, "--model_path"),
        "in_evaluation_set": (settings.against, "--against"),
        "faceless": (settings.faces, "--faces yes"),
    }
    unasked = {kind: f"with {flag}" for kind, (given, flag) in asked.items() if not given}
    unlooked = unasked | dict.fromkeys(unsaid, "too few photos to say")
    write_report(folder / "report.html", findings, about, csv_path(folder).name, unlooked)
    for kind, (title, *_) in KINDS.items():
        sure = certainties(findings, kind)
        if kind == "in_evaluation_set" and not settings.model_path:
            sure = "by name; by face: --model_path"
        if kind in unlooked:
            print(f"{kind:<18}{'-':>9}  {title} ({unlooked[kind]})")
        else:
            print(f"{kind:<18}{findings.counts[kind]:>9,}  {title}{f' ({sure})' if sure else ''}")
    print(f"report  {folder / 'report.html'}\nCSV     {csv_path(folder)}")


def _apply(auditor: "Auditor", settings: Settings) -> None:
    """Writes the cleaned annotation file, and prints what it leaves out."""
    from utils.cleaning import clean, write_cleaned

    labels, counts = clean(auditor.annotations, auditor.findings, kinds_of(settings.apply_kinds), settings.min_images)
    people, photos = write_cleaned(settings.apply, auditor.annotations, labels)
    for kind, number in counts.items():
        what = "people joined with another" if kind == "same_person" else "photos left out"
        print(f"{kind:<18}{number:>9,}  {what}")
    print(f"written {settings.apply}: {photos:,} photos of {people:,} people")


if __name__ == "__main__":
    run_script(main, Settings)
