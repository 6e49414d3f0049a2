"""What an earlier run noted of its shards: lines, sizes and dates of the photos, by which it is known what changed."""

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.files import read_json
from utils.photo_files import PACKED, shard_name
from utils.settings import UserError

FROM = ".packed_from.json"  # beside the shards


def mark_of(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Returns what an earlier run noted, {} where there was none; raises UserError where the folder is another's."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; a folder for the shards is expected")
    if not folder.exists() or all(entry.name.startswith(".") for entry in folder.iterdir()):
        return {}
    mark = read_json(folder / PACKED) if (folder / PACKED).is_file() else {}
    if not isinstance(mark, dict) or {name: mark.get(name) for name in about} != about:
        what = "shards of other lines, or of another --shard_mb" if mark else "something else than shards"
        raise UserError(f"{folder} holds {what}; a new folder is expected")
    return mark


def note_of(starts: list[int], status: NDArray[np.int64]) -> dict[str, Any]:
    """Returns where shards begin, and a digest of the sizes and dates (N,2) of each shard's photos."""
    parts = (np.ascontiguousarray(status[a:b], "<i8").tobytes() for a, b in itertools.pairwise(starts))
    return {"starts": starts, "photos": [hashlib.sha256(part).hexdigest()[:16] for part in parts]}


def noted_in(folder: Path) -> dict[str, Any]:
    """Returns the note of the run that made the shards; an empty one where there is none."""
    note = read_json(folder / FROM) if (folder / FROM).is_file() else {}
    return note if isinstance(note, dict) and {"starts", "photos"} <= note.keys() else {"starts": [], "photos": []}


def as_noted(folder: Path, status: NDArray[np.int64]) -> bool:
    """Whether all photos are as they were when the shards were made."""
    noted = noted_in(folder)
    return bool(noted["starts"]) and noted["starts"][-1] == len(status) and note_of(noted["starts"], status) == noted


def unchanged_shards(folder: Path, now: dict[str, Any], status: NDArray[np.int64]) -> list[bool]:
    """Returns of each shard whether its photos are as noted; without a note, whether none is younger than it."""
    noted, found = noted_in(folder)["photos"], []
    for shard, (start, end) in enumerate(itertools.pairwise(now["starts"])):
        path = folder / shard_name(shard)
        if shard < len(noted):
            found.append(bool(noted[shard] == now["photos"][shard]))
        else:
            found.append(path.is_file() and path.stat().st_mtime_ns >= status[start:end, 1].max())
    return found
