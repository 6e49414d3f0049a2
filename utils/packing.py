"""Packs the photos of an annotation file into shards, plain tars, for disks on which opening a file takes long.

The folder then holds shard-00000.tar, shard-00001.tar, ..., an annotation file whose lines say where each photo lies
(utils/photo_files.py), the people's names and alignment.json. The bytes of the photos stay as they are, in the order of
the annotations: a person's photos lie side by side. The same photos give the same bytes again.
"""

import itertools
import os
import shutil
import tarfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from utils.annotations import Annotations, people_path
from utils.cropping import RECORD, alignment_record
from utils.files import sha256, write_json, write_text, written_whole
from utils.image_headers import Refused
from utils.images import ImageError, read_bytes
from utils.packed_from import FROM, as_noted, mark_of, note_of, unchanged_shards
from utils.photo_files import BLOCK, PACKED, member_of, photo_status, shard_damage, shard_name
from utils.settings import UserError
from utils.terminal import progress_bar

THREADS = 16  # that wait for the disk
AHEAD = 64  # photos in memory at once
ROWS = 1024  # whose sizes a thread looks up at once
NAME = 100  # bytes of a member's name that fit into one header
END = bytes(2 * BLOCK)  # of a tar


class Plan(NamedTuple):
    """Where each of N photos comes to lie in S shards."""

    sizes: NDArray[np.int64]  # (N,) bytes
    offsets: NDArray[np.int64]  # (N,) of the first byte, in its shard
    starts: NDArray[np.int64]  # (S + 1,): shard s has the rows starts[s]:starts[s + 1]
    lengths: list[int]  # S, bytes

    def rows(self, shard: int) -> range:
        """Returns the rows of a shard."""
        return range(*self.starts[shard : shard + 2].tolist())


class Packed(NamedTuple):
    """What lies in the folder now."""

    photos: int
    people: int
    lengths: list[int]  # S, bytes
    written: int  # shards, by this run


class Photos:
    """N photos, by row, and what they are called in a tar: their paths from the folder on that they have in common."""

    def __init__(self, annotations: Annotations):
        self.annotations = annotations
        folders = (os.path.join(os.path.dirname(path), "") for path in map(self.path, self.rows) if not member_of(path))
        first = last = next(folders, "")
        for folder in folders:
            first, last = min(first, folder), max(last, folder)
        self._common = os.path.join(os.path.commonpath((first, last)), "") if first else ""

    @property
    def rows(self) -> range:
        """All of them."""
        return range(len(self.annotations))

    def path(self, row: int) -> str:
        """Returns the absolute path."""
        return os.path.abspath(self.annotations.path(row))

    def name(self, row: int) -> str:
        """Returns the name in the tar; what lies in a shard already keeps the one that it has."""
        path = self.path(row)
        member = member_of(path)
        return member.name if member else path[len(self._common) :].replace(os.sep, "/")

    def header(self, row: int, size: int) -> bytes:
        """Returns the blocks before a photo of `size` bytes, with no time and no owner."""
        info = tarfile.TarInfo(self.name(row))
        info.size = size
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")

    def status(self) -> NDArray[np.int64]:
        """Returns (N, 2): bytes, and when they were changed (ns since 1970); -1 where there is no such file."""
        blocks = [self.rows[first : first + ROWS] for first in range(0, len(self.rows), ROWS)]
        with (
            ThreadPoolExecutor(THREADS) as pool,
            progress_bar(total=len(self.rows), desc="sizes", unit=" photos") as bar,
        ):
            found = np.full((len(self.rows), 2), -1, np.int64)
            for rows, part in zip(blocks, pool.map(lambda b: [self._status(row) for row in b], blocks), strict=True):
                found[rows.start : rows.stop] = part
                bar.update(len(rows))
        return found

    def _status(self, row: int) -> tuple[int, int]:
        try:
            return photo_status(self.path(row))
        except (OSError, ValueError, Refused):
            return -1, -1

    def sizes(self, status: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns (N,) bytes; raises UserError where a file is not there."""
        bad = np.flatnonzero(status[:, 0] < 0)
        if len(bad):
            count, why = f"{len(bad):,} of {len(status):,} photos cannot be read", self._why_not(int(bad[0]))
            raise UserError(f"{count}: {why}; nothing was packed (audit.py --apply leaves them out)")
        return status[:, 0]

    def _why_not(self, row: int) -> str:
        try:
            read_bytes(self.path(row))
        except ImageError as error:
            return str(error)
        return f"{self.path(row)} could not be read a moment ago"

    def contents(self, rows: range) -> Iterator[bytes]:
        """Yields the bytes of photos in order, reading ahead; raises ImageError for one that cannot be read."""
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(THREADS) as pool:
            for row in rows:
                waiting.append(pool.submit(read_bytes, self.path(row)))
                if len(waiting) == AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def plan_shards(photos: Photos, sizes: NDArray[np.int64], shard_bytes: int) -> Plan:
    """Returns which photos go into which shard, in their order, each shard of at most `shard_bytes` or one photo."""
    headers = np.fromiter((_header_length(photos, row) for row in photos.rows), np.int64, len(sizes))
    ends = np.cumsum(headers + sizes + -sizes % BLOCK)
    starts, before, offsets = [0], [0], ends - sizes - -sizes % BLOCK
    while starts[-1] < len(sizes):
        fit = int(np.searchsorted(ends, before[-1] + shard_bytes - len(END), "right"))
        starts.append(max(fit, starts[-1] + 1))
        offsets[starts[-2] : starts[-1]] -= before[-1]
        before.append(int(ends[starts[-1] - 1]))
    return Plan(sizes, offsets, np.array(starts), (np.diff(before) + len(END)).tolist())


def _header_length(photos: Photos, row: int) -> int:
    return BLOCK if len(os.fsencode(photos.name(row))) <= NAME else len(photos.header(row, 0))


def pack(annotations: Annotations, source: Path, folder: Path, shard_bytes: int) -> Packed:
    """Packs the photos of `annotations`, read from the file `source`, into `folder`: each shard whole or not at all.

    Goes on where an earlier run was stopped, and anew where photos have changed since; the annotation file comes last.
    Shards that are done stay when the photos they were made of are gone. Raises UserError for a folder with something
    else in it, for a photo that cannot be read, and where the disk has too little room.
    """
    about: dict[str, Any] = {"annotation": source.name, "sha256": sha256(source), "shard_bytes": shard_bytes}
    photos, people, path = Photos(annotations), annotations.number_of_people, folder / source.name
    mark = mark_of(folder, about)
    status = photos.status()
    finished = mark.get("finished") and path.is_file() and not shard_damage(os.fspath(folder))
    if finished and ((status[:, 0] < 0).any() or as_noted(folder, status)):
        _write_beside(photos, path)
        return Packed(len(annotations), people, mark["shards"], 0)
    plan = plan_shards(photos, photos.sizes(status), shard_bytes)
    shards = range(len(plan.lengths))
    now = note_of(plan.starts.tolist(), status)
    unchanged = unchanged_shards(folder, now, status)
    missing = [s for s in shards if not (unchanged[s] and _is_whole(photos, plan, s, folder))]
    _check_room(folder, sum(plan.lengths[shard] for shard in missing))
    write_json(folder / PACKED, about | {"shards": plan.lengths, "finished": False})
    for left in folder.glob(".shard-*.tar"):  # by a run that was killed
        left.unlink()
    more = (folder / shard_name(shard) for shard in itertools.count(len(shards)))
    for longer in itertools.takewhile(Path.is_file, more):  # of a plan with more shards
        longer.unlink()
    total = int(plan.sizes.sum())
    with progress_bar(total=total, desc="packing", unit="B", unit_scale=True) as bar:
        bar.update(total - sum(int(plan.sizes[slice(*plan.starts[s : s + 2])].sum()) for s in missing))
        for done, shard in enumerate(missing):
            try:
                _write_shard(photos, plan, shard, folder, bar)
            except UserError as error:
                whole = len(plan.lengths) - len(missing) + done
                raise UserError(
                    f"{error}; {whole} of {len(plan.lengths)} shards are whole, the next run goes on"
                ) from error
    _write_lists(photos, plan, path)
    write_json(folder / FROM, now)
    write_json(folder / PACKED, about | {"shards": plan.lengths, "finished": True})
    return Packed(len(annotations), people, plan.lengths, len(missing))


def _is_whole(photos: Photos, plan: Plan, shard: int, folder: Path) -> bool:
    """Whether a shard is there, every header as this run would write it."""
    path = folder / shard_name(shard)
    if not path.is_file() or path.stat().st_size != plan.lengths[shard]:
        return False
    with open(path, "rb", buffering=0) as file:
        for row in plan.rows(shard):
            header = photos.header(row, int(plan.sizes[row]))
            file.seek(int(plan.offsets[row]) - len(header))
            if file.read(len(header)) != header:
                return False
    return True


def _check_room(folder: Path, needed: int) -> None:
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(f"the shards take {needed / 1e9:,.1f} GB, and {place} has {free / 1e9:,.1f} GB left")


def _write_shard(photos: Photos, plan: Plan, shard: int, folder: Path, bar: "tqdm[Any]") -> None:
    rows = plan.rows(shard)
    with written_whole(folder / shard_name(shard)) as temporary, open(temporary, "wb") as file:
        for row, content in zip(rows, photos.contents(rows), strict=True):
            size = int(plan.sizes[row])
            if len(content) != size:
                raise UserError(f"{photos.path(row)} had {size:,} bytes a moment ago and has {len(content):,} now")
            file.write(photos.header(row, size) + content + bytes(-size % BLOCK))
            bar.update(size)
        file.write(END)


def _write_beside(photos: Photos, path: Path) -> None:
    """Writes the people, and the record of the alignment where there is one."""
    record = alignment_record(os.path.dirname(photos.path(0)))
    if record:
        write_text(path.parent / RECORD, record.read_text(encoding="utf-8", errors="surrogateescape"))
    write_text(people_path(path), "".join(f"{person}\n" for person in photos.annotations.people))


def _write_lists(photos: Photos, plan: Plan, path: Path) -> None:
    """Writes the people, the record of the alignment where there is one, and last the annotation file."""
    annotations = photos.annotations
    _write_beside(photos, path)
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        for shard in range(len(plan.lengths)):
            for row in plan.rows(shard):
                place = f"{shard_name(shard)}:{plan.offsets[row]}:{plan.sizes[row]}"
                file.write(os.fsencode(f"{annotations.labels[row]};{place}/{photos.name(row)}\n"))
