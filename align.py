"""Cuts the faces out of photos, all in the same way: a folder of photos becomes a folder of crops, laid out alike.

Beside the crops, alignment.csv says of each photo what was found, or why nothing was; alignment.json how it was done.
A run that was broken off goes on where it stopped.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from utils.settings import UserError, at_least, run_script

if TYPE_CHECKING:
    from utils.alignment_log import AlignmentLog
    from utils.photo_tree import Skipped


SMALLEST, LARGEST = 32, 4096  # pixels of a crop: no network takes less


@dataclass(frozen=True)
class Settings:
    """Cuts the faces out of photos. Run: python align.py --input photos --output datasets/people"""

    input: str = "photos"  # a folder of photos, or of folders of photos, at any depth
    output: str = "datasets/people"  # the folder for the crops, in the same layout
    size: int = 160  # pixels of a crop, square
    mode: Literal["landmarks", "box"] = "landmarks"  # turned and scaled by eyes, nose and mouth; or the face's box
    context: float = 0.0  # landmarks: pixels of the crop around ArcFace's, on each side
    margin: float = 32.0  # box: pixels of the crop around the box, both sides together
    faces: Literal["main", "all"] = "main"  # of each photo: the largest near the centre, or every one (name_0, name_1)
    min_face: int = 40  # pixels of the photo, the longer side: smaller ones are left out (large photos: a 25th)
    min_confidence: float = 0.8  # 0 to 1, of the detector
    suffix: Literal[".jpg", ".png", ".webp"] = ".jpg"  # quality 95, lossless (3.5 times the size), or 95 (half of it)
    workers: int = 0  # processes; 0: this one, with threads
    again: bool = False  # remove what an earlier run left in the output, and do all anew


def main(settings: Settings) -> None:
    """Finds, cuts and writes the faces, and says what was left out and why."""
    check(settings)
    from utils.alignment import Alignment
    from utils.alignment_log import AlignmentLog
    from utils.detector_weights import DETECTOR, check_weights
    from utils.photo_tree import crop_stems, list_photos

    border = settings.context if settings.mode == "landmarks" else settings.margin
    alignment = Alignment(settings.mode, settings.size, border)
    photos, skipped = list_photos(settings.input, leave_out=settings.output)
    log = AlignmentLog(settings.output, record(settings, alignment.name, DETECTOR), settings.again)
    todo = log.to_do(photos)
    if not settings.again and (gone := len(log.done.keys() - {photo.path for photo in photos})):
        print(f"{gone:,} photos of before are gone from {settings.input}; their crops stay (--again leaves them out)")
    if not todo:
        print(f"nothing to do: all {len(photos):,} photos of {settings.input} are in {log.csv}")
        return
    check_weights()
    stems = crop_stems(photos, log.stems())
    log.begin(todo, list(stems.values()) if settings.again else [])
    seconds = align_all(settings, alignment, [(photo, stems[photo.path]) for photo in todo], log)
    report(log.end(), len(todo), seconds, log, skipped)


def check(settings: Settings) -> None:
    """Raises UserError for settings that do not fit, before anything heavy is imported."""
    import os
    from pathlib import Path

    ignored = "margin" if settings.mode == "landmarks" else "context"
    if getattr(settings, ignored) != getattr(Settings, ignored):
        raise UserError(f"--{ignored} is not for --mode {settings.mode}: landmarks has --context, box has --margin")
    if not 0 <= settings.min_confidence <= 1:
        raise UserError(f"--min_confidence is {settings.min_confidence:g}; 0 to 1 is expected")
    at_least(0, settings, "workers")
    if not SMALLEST <= settings.size <= LARGEST:
        raise UserError(f"--size is {settings.size} pixels; crops have {SMALLEST} to {LARGEST}")
    if settings.min_face < 12:
        raise UserError(f"--min_face is {settings.min_face} pixels; the detector sees 12 and more")
    source, target = os.path.realpath(settings.input), os.path.realpath(settings.output)
    if Path(source).is_relative_to(target):
        raise UserError(f"--input {settings.input} lies in --output {settings.output}: crops would mix with photos")


def record(settings: Settings, alignment: str, detector: str) -> dict[str, Any]:
    """Returns what alignment.json holds, and must be the same when a run goes on."""
    import os

    source, target = os.path.abspath(settings.input), os.path.abspath(settings.output)
    if os.path.splitdrive(source)[0] == os.path.splitdrive(target)[0]:
        source = os.path.relpath(source, target)  # so that both can be moved
    found = {"alignment": alignment, "input": source.replace(os.sep, "/")}
    names = ("faces", "min_face", "min_confidence", "suffix")
    return found | {name: getattr(settings, name) for name in names} | {"detector": detector}


def align_all(settings: Settings, alignment: Any, items: list[Any], log: "AlignmentLog") -> float:
    """Writes crops and rows; returns the seconds that it took."""
    import time

    from utils.aligner import Job, align_photos
    from utils.terminal import progress_bar

    kept = {
        name: getattr(settings, name) for name in ("input", "output", "faces", "min_face", "min_confidence", "suffix")
    }
    began = time.perf_counter()
    try:
        with progress_bar(total=len(items), desc="aligning", unit=" photos") as bar:
            for rows in align_photos(Job(alignment=alignment, **kept), items, settings.workers):
                log.append(rows)
                bar.update(len(rows))
    except KeyboardInterrupt:
        print(f"stopped: {len(log.done):,} photos are done")
        print("  the same command without --again goes on with the others")
        raise
    return time.perf_counter() - began


def report(counts: dict[str, int], photos: int, seconds: float, log: "AlignmentLog", skipped: "Skipped") -> None:
    """Prints what is in the output, and what to look at."""
    from utils.terminal import say

    print(f"aligned: {photos:,} photos in {seconds:,.1f} s, {photos / seconds:,.1f} photos/s with the start")
    for name, number in counts.items():
        print(f"{name}: {number:,}")
    for reason, (number, example) in sorted(skipped.items()):
        say(f"skipped: {number:,} {reason}, for example {example!r}")
    print(f"written: {log.folder}")
    print(f"what was found on each photo, or why nothing: {log.csv}")


if __name__ == "__main__":
    run_script(main, Settings)
