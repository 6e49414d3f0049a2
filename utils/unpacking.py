"""Folders of images out of one large file: a record file, a `.bin` of pairs, or an archive."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from utils.archives import Limits, folder_written_whole, unpack_archive
from utils.bin_pairs import read_bin
from utils.files import FileInMemory, read_json, write_json, write_text
from utils.image_names import is_image
from utils.record_files import Record, check_index, read_records
from utils.settings import UserError
from utils.terminal import progress_bar

MARK = "unpacked.json"  # in the folder: from what, and how far
LIMITS = Limits(members=20_000_000, size=1 << 40)  # of an archive that the user chose to unpack


class Unpacked(NamedTuple):
    """What lies in the folder now."""

    images: int
    people: int  # folders; 0 where there are no people
    left_out: str = ""  # what was not written, and why; empty: nothing
    nothing_done: bool = False  # it was there already


def already_there(path: Path, folder: Path, limit: int) -> Unpacked | None:
    """Returns what an earlier run finished, None where there is work to do.

    A folder is known by its mark: name and length of the file, and the limit. Raises UserError where it was made from
    another file, and where it holds anything without a mark.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    mark = read_json(folder / MARK) if (folder / MARK).is_file() else {}
    if not isinstance(mark, dict) or {k: mark.get(k) for k in ("file", "bytes")} != _about(path):
        raise UserError(f"{folder} is there and was not unpacked from {path}; another folder is expected")
    enough = mark.get("limit") == 0 or 0 < limit <= mark.get("limit", 0)
    if not mark.get("finished") or not enough:
        return None
    return Unpacked(mark["images"], mark["people"], mark["left_out"], nothing_done=True)


def unpack_records(path: Path, folder: Path, limit: int) -> Unpacked:
    """Writes each image to `<label>/<number of the record><suffix>`, its bytes as they are; `limit` 0: all images.

    Goes on where an earlier run stopped: a file that is there with the length it should have is left alone. Raises
    UserError for a file that is damaged or cut, after the images before that place were written.
    """
    images = records = unknown = 0
    folders = set[int]()
    with progress_bar(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, delay=0.5) as bar:
        try:
            for record in read_records(path):
                records += 1
                bar.update(record.end - bar.n)
                unknown += bool(record.image) and not record.suffix
                if record.suffix:
                    if not images:
                        write_json(folder / MARK, _about(path) | {"finished": False})
                    _write(folder, record, record.label not in folders)
                    folders.add(record.label)
                    images += 1
                if images == limit != 0:
                    break
            else:
                check_index(path, records)
        except UserError as error:
            where = f"; {images:,} images before that are in {folder}" if images else ""
            raise UserError(f"{error}{where}") from error
    if not images:
        raise UserError(f"{path} holds no image in {records:,} records")
    left_out = f"{unknown:,} records whose image is of no known kind" if unknown else ""
    return _finished(path, folder, limit, Unpacked(images, len(folders), left_out))


def unpack_bin(path: Path, folder: Path) -> Unpacked:
    """Writes the images of a `.bin` of pairs, each once, and pairs.txt (`path path 0|1`), all or nothing."""
    pairs = read_bin(os.fspath(path))
    names = [f"{number:06d}{_suffix_of(image)}" for number, image in enumerate(pairs.images)]
    lines, twice = [], 0
    for first, second, same in zip(pairs.first, pairs.second, pairs.same, strict=True):
        twice += first == second
        if first != second:
            lines.append(f"{names[first]} {names[second]} {int(same)}\n")
    with folder_written_whole(folder) as temporary:
        for name, image in zip(names, progress_bar(pairs.images, unit=" images", desc=path.name), strict=True):
            assert isinstance(image, FileInMemory)
            (temporary / name).write_bytes(image.data)
        write_text(temporary / "pairs.txt", "".join(lines))
        left_out = f"{twice:,} pairs of an image with itself" if twice else ""
        return _finished(path, temporary, 0, Unpacked(len(names), 0, left_out))


def unpack_any_archive(path: Path, folder: Path) -> Unpacked:
    """Unpacks an archive, all or nothing; whatever is no image comes out too."""
    with folder_written_whole(folder) as temporary:
        unpack_archive(path, temporary, LIMITS)
        images = sum(is_image(name) for _, _, names in os.walk(temporary) for name in names)
        if not images:
            raise UserError(f"{path} holds no image")
        people = sum(entry.is_dir() for entry in os.scandir(temporary))
        return _finished(path, temporary, 0, Unpacked(images, people))


def _about(path: Path) -> dict[str, Any]:
    return {"file": path.name, "bytes": path.stat().st_size}


def _finished(path: Path, folder: Path, limit: int, done: Unpacked) -> Unpacked:
    counts = {"images": done.images, "people": done.people, "left_out": done.left_out}
    write_json(folder / MARK, _about(path) | {"finished": True, "limit": limit} | counts)
    return done


def _write(folder: Path, record: Record, new_folder: bool) -> None:
    """Writes a file unless it is there whole; syncing each of millions would take days, so its length tells."""
    person = f"{folder}/{record.label:07d}"  # a Path for each of millions would cost more than the writing
    path = f"{person}/{record.number:08d}{record.suffix}"
    try:
        if new_folder:
            os.makedirs(person, exist_ok=True)
        if os.path.isfile(path) and os.path.getsize(path) == len(record.image):
            return
        with open(path, "wb", buffering=0) as file:
            file.write(record.image)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; the next run goes on from there") from error


def _suffix_of(image: str | FileInMemory) -> str:
    data = image.data if isinstance(image, FileInMemory) else b""
    return ".png" if data.startswith(b"\x89PNG") else ".jpg"
