"""Photos a second out of loose files and out of shards (pack.py), in turn, with a cold cache and a warm one.

Run as `python -m benchmarks.shards` on photos drawn here, or with --annotation_path on those of an annotation file.
--folder puts what is written on the disk that is to be measured. Cold: with the rights of root Linux drops its caches
(/proc/sys/vm/drop_caches); without, each file's pages are given up one by one (posix_fadvise), and the names and places
of the loose files stay known, which favours them. Look at the ratios, and at what the last lines say of the machine.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import show
from benchmarks.photos import draw_photos, write_lines
from utils.memory_estimate import peak_memory
from utils.settings import UserError, run_script

if TYPE_CHECKING:
    from utils.annotations import Annotations

DROP = "/proc/sys/vm/drop_caches"
BATCH = 96  # photos that a thread reads in a go, as the loader does


@dataclass(frozen=True)
class Settings:
    """Loose files against shards, in turn."""

    annotation_path: str = ""  # of loose photos; empty: photos drawn here
    folder: str = ""  # where drawn photos and shards are written; empty: where temporary files are
    photos: int = 4000  # that are drawn, and read a turn
    photo_size: int = 112  # pixels, of those drawn
    threads: int = 4  # that read
    rounds: int = 5  # turns of each
    shard_mb: int = 1000  # as pack.py's
    lines: int = 0  # of a packed annotation file, made up, whose reading is measured; 0: photos are read instead
    people: int = 93_000  # in it


def drop_caches(paths: list[str]) -> str:
    """Makes the next reading of the files a cold one; returns by what means."""
    os.sync()
    try:
        Path(DROP).write_text("3\n")
        return "all caches dropped"
    except OSError:
        for path in paths:
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return "the files' pages dropped"


def rate(read: Callable[[str], Any], paths: list[str], threads: int) -> tuple[float, float]:
    """Returns photos a second, and microseconds of processor time a photo."""
    batches = [paths[first : first + BATCH] for first in range(0, len(paths), BATCH)]
    began, worked = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda batch: [read(path) for path in batch], batches):
            pass
    worked = time.process_time() - worked
    return len(paths) / (time.perf_counter() - began), worked / len(paths) * 1e6


def draw(folder: Path, settings: Settings) -> Path:
    """Draws photos of a fiftieth as many people; returns their annotation file."""
    (folder / "photos").mkdir()
    names = [
        f"photos/{Path(path).name}" for path in draw_photos(folder / "photos", settings.photos, settings.photo_size)
    ]
    write_lines(folder / "cls_train.txt", names, max(2, settings.photos // 50), settings.photos)
    return folder / "cls_train.txt"


def measure(
    loose: "Annotations", packed: "Annotations", settings: Settings
) -> tuple[dict[str, list[tuple[float, float]]], str]:
    """Returns `rate` of each way in each round, and how the caches were emptied."""
    import numpy as np

    from utils.images import read_bytes, read_image
    from utils.photo_files import member_of

    rates: dict[str, list[tuple[float, float]]] = {}
    rows = np.random.default_rng(0).permutation(len(loose))[: settings.photos].tolist()  # as a sampler draws them
    ways = {"loose files": [loose.path(row) for row in rows], "shards": [packed.path(row) for row in rows]}
    files = sorted({member.shard if (member := member_of(path)) else path for paths in ways.values() for path in paths})
    if any(read_bytes(one) != read_bytes(other) for one, other in zip(*ways.values(), strict=True)):
        raise UserError("a photo in the shards has other bytes than its file")
    for turn in range(settings.rounds):
        for way, paths in list(ways.items())[:: 1 if turn % 2 else -1]:
            for what, read in (("bytes", read_bytes), ("pixels", read_image)):
                how = drop_caches(files)
                for state in ("cold", "warm"):
                    found = rates.setdefault(f"{what}, {state}, {way}", [])
                    found.append(rate(read, paths, settings.threads))
    return rates, how


def measure_start(folder: Path, settings: Settings) -> None:
    """Prints what train.py takes from a packed annotation file of `lines` lines to the first batch's rows."""
    from utils.annotations import read_annotations, split_people
    from utils.files import sha256
    from utils.photo_files import shard_name
    from utils.samplers import TripleSampler

    path = folder / "cls_train.txt"
    with open(path, "w") as file:
        for line in range(settings.lines):
            person, place = line * settings.people // settings.lines, divmod(line * 5632, settings.shard_mb * 1_000_000)
            file.write(f"{person};{shard_name(place[0])}:{place[1]}:4301/{person:07d}/{line:08d}.jpg\n")
    began, worked = time.perf_counter(), time.process_time()
    annotations = read_annotations(path)
    people, _ = split_people(annotations, 0.05, 0)
    TripleSampler(people, 96, 0).rows(0)
    sha256(path)
    took, worked = time.perf_counter() - began, time.process_time() - worked
    peak = peak_memory() / 1e9
    lines = f"{len(annotations):,} lines"
    show(f"{lines}: to the first batch", took, "s", f"{worked:.1f} s of one core, load {os.getloadavg()[0]:.1f}")
    show(f"{lines}: peak memory", peak, "GB", f"the file has {path.stat().st_size / 1e9:.2f} GB")


def main(settings: Settings) -> None:
    """Packs the photos, reads both in turn, prints photos a second and ratios; or measures the start."""
    if settings.lines:
        with tempfile.TemporaryDirectory(dir=settings.folder or None) as name:
            return measure_start(Path(name), settings)
    import cv2
    import numpy as np

    from utils.annotations import read_annotations
    from utils.packing import pack

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=settings.folder or None) as name:
        folder = Path(name)
        source = Path(settings.annotation_path) if settings.annotation_path else draw(folder, settings)
        loose = read_annotations(source)
        done = pack(loose, source, folder / "packed", settings.shard_mb * 1_000_000)
        rates, how = measure(loose, read_annotations(folder / "packed" / source.name), settings)
    size = sum(done.lengths) / len(loose)
    print(f"{len(loose):,} photos in {len(done.lengths)} shards, {size:,.0f} bytes a photo there")
    for what in ("bytes, cold", "bytes, warm", "pixels, cold", "pixels, warm"):
        files, shards = rates[f"{what}, loose files"], rates[f"{what}, shards"]
        ratios = sorted(b / a for (a, _), (b, _) in zip(files, shards, strict=True))
        (rate_files, work_files), (rate_shards, work_shards) = (np.median(one, axis=0) for one in (files, shards))
        ratio = f"{statistics.median(ratios):.2f} of files (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
        show(f"{what}: loose files", rate_files, "photos/s", f"{work_files:.0f} us of a core")
        show(f"{what}: shards", rate_shards, "photos/s", f"{ratio}, {work_shards:.0f} us of a core")
    print(f"cold: {how}; {settings.threads} threads, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    run_script(main, Settings)
