"""A teacher: a large network whose embeddings a small one learns; computed once and kept on disk."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np

from utils.alignment import Alignment
from utils.annotations import Annotations
from utils.cards import card_path
from utils.embedder import Embedder
from utils.files import read_json, sha256, written_whole
from utils.images import ImageError
from utils.settings import UserError
from utils.terminal import progress_bar

CHUNK = 256  # photos that are read while the chunk before them is embedded
BLOCK = 4096  # photos a file of the cache: what a kill loses at most
UNREADABLE_ALLOWED = 0.01  # share of the photos
SHOWN = ("input_size", "mean", "std", "colours")  # what a card says of the pixels that a teacher is shown


class Teacher:
    """An embedder to learn from: `.keras`, or `.onnx`, each with a JSON of the same name beside it.

    The JSON says "crop", the part of the training's photos that it is shown: a central share, or [left, top, right,
    bottom] as fractions of them, which may reach outside; for `.onnx` also what `utils.onnx_network` asks for.
    With "alignment" (landmarks-128-8) its crop belongs to photos so aligned and is converted for others.

    Attributes:
        embedder: reads photos and embeds them.
        key: SHA-256 of all that its embeddings depend on but the photos: weights, size, crop, scaling of pixels.
    """

    def __init__(self, embedder: Embedder):
        self.embedder = embedder
        cropper = embedder.cropper
        what = {name: embedder.card.get(name) for name in SHOWN} | {
            "sha256": embedder.card["sha256"],
            "cut": cropper.cut,
            "from": [one.name if one else None for one in (cropper.alignment, cropper.crops)],
        }
        self.key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @classmethod
    def load(cls, path: str | os.PathLike[str], crops: Alignment | None = None) -> "Teacher":
        """Reads a teacher; `crops` is how the training's photos were cropped, where that is known.

        Raises UserError where the file or its JSON is missing or does not fit, or ONNX Runtime is not installed.
        """
        path = Path(path)
        if path.suffix not in (".keras", ".onnx"):
            raise UserError(f"--teacher takes a .keras or .onnx file; received '{path}'")
        if not path.is_file():
            raise UserError(f"--teacher: no file '{path}'; expected an embedder (.keras or .onnx), a .json beside it")
        card = read_json(card_path(path))
        if not isinstance(card, dict) or "crop" not in card:
            example = '"crop": 0.875 (the middle of a photo), or [left, top, right, bottom] as fractions of it'
            raise UserError(f"{card_path(path)} does not say what part of a photo the teacher is shown: {example}")
        embedder = _of_onnx(path, card) if path.suffix == ".onnx" else Embedder.load(path)
        if crops and embedder.alignment:
            embedder.crop_photos("auto", crops)
        return cls(embedder)

    @property
    def width(self) -> int:
        """Numbers an embedding."""
        return self.embedder.network.output_shape[1]

    def embed(self, paths: list[str], done: Callable[[int], Any]) -> tuple[np.ndarray, dict[int, str]]:
        """Returns (float16 `(N, D)` of unit length, place -> why a photo cannot be read: its row is 0).

        `done` is told how many photos more are ready.
        """
        embeddings, unreadable = np.zeros((len(paths), self.width), np.float16), dict[int, str]()
        for first, images in self._chunks(paths):
            readable = []
            for place, image in enumerate(images, first):
                if isinstance(image, str):
                    unreadable[place] = image
                else:
                    readable.append((place, image))
            if readable:
                places, good = zip(*readable, strict=True)
                embeddings[list(places)] = self.embedder.embed_images(np.stack(good))
            done(len(images))
        return embeddings, unreadable

    def _chunks(self, paths: list[str]) -> Iterator[tuple[int, list[np.ndarray | str]]]:
        """Yields (place of the first, images as the teacher sees them or why there is none), reading ahead."""
        starts = range(0, len(paths), CHUNK)
        with ThreadPoolExecutor() as pool:
            ahead = [pool.submit(self._read, path) for path in paths[:CHUNK]]
            for start in starts:
                reading = ahead
                ahead = [pool.submit(self._read, path) for path in paths[start + CHUNK : start + 2 * CHUNK]]
                yield start, [job.result() for job in reading]

    def _read(self, path: str) -> np.ndarray | str:
        try:
            return self.embedder.read(path)
        except ImageError as error:
            return str(error)


def _of_onnx(path: Path, card: dict[str, Any]) -> Embedder:
    from utils.onnx_network import OnnxNetwork

    network: Any = OnnxNetwork(path, card)
    return Embedder(cast(Any, network), card | {"sha256": sha256(path)}, path)


def teacher_embeddings(teacher: Teacher, annotations: Annotations, folder: str | os.PathLike[str]) -> np.ndarray:
    """Returns float16 `(N, D)` of unit length, in the annotations' order; 0 where a photo cannot be read.

    What was computed before, for these photos or others, is taken from `folder`: photos are known by their absolute
    path, so that another split or more photos cost only what is new. A photo that changed under its name is not
    noticed: remove the folder then. It grows by a file for each 4,096 photos, so that a break costs no more than these.
    Raises UserError where more than 1% of the photos cannot be read.
    """
    cache = _Cache(Path(folder) / f"teacher-{teacher.key[:16]}", teacher)
    names = _names(annotations)
    found, missing = cache.look_up(names)
    unreadable: list[str] = []
    rows = np.flatnonzero(missing)
    with progress_bar(total=len(rows), desc="teacher", disable=not len(rows)) as bar:
        for some in (rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)):
            embeddings, why = teacher.embed([annotations.path(row) for row in some.tolist()], bar.update)
            found[some] = embeddings
            unreadable += why.values()
            good = np.setdiff1d(np.arange(len(some)), list(why))
            cache.add(names[some[good]], embeddings[good])
    for reason in unreadable[:5]:
        print(f"no target: {reason}")
    if len(unreadable) > UNREADABLE_ALLOWED * len(names):
        raise UserError(f"{len(unreadable):,} of {len(names):,} photos cannot be read, more than 1%: {unreadable[0]}")
    print(f"teacher: {len(names):,} photos, {len(names) - len(rows):,} of them from {cache.folder}")
    return found


def _names(annotations: Annotations) -> np.ndarray:
    """Returns uint64 `(N,)`: each photo's absolute path in 64 bits (a million share none but once in 10^7 times)."""
    hashes = (
        hashlib.blake2b(os.fsencode(os.path.abspath(annotations.path(row))), digest_size=8).digest()
        for row in range(len(annotations))
    )
    return np.fromiter((int.from_bytes(one, "little") for one in hashes), np.uint64, len(annotations))


class _Cache:
    """A teacher's embeddings in files of a folder, each written whole: names uint64 (n,), embeddings float16 (n,D)."""

    def __init__(self, folder: Path, teacher: Teacher):
        self.folder, self.key, self.width = folder, teacher.key, teacher.width

    def look_up(self, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (float16 `(N, D)`, bool `(N,)`: what is not there)."""
        found, missing = np.zeros((len(names), self.width), np.float16), np.ones(len(names), bool)
        order = np.argsort(names)
        in_order = names[order]
        for path in sorted(self.folder.glob("*.npz")):
            known, embeddings = self._read(path)
            places = np.minimum(np.searchsorted(in_order, known), len(names) - 1)
            hits = in_order[places] == known
            rows = order[places[hits]]
            found[rows], missing[rows] = embeddings[hits], False
        return found, missing

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Returns (names, embeddings) of a file; none, with a line, where it is damaged or another teacher's."""
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                key, names, embeddings = str(stored["key"]), stored["names"], stored["embeddings"]
            kinds, shape = (names.dtype, embeddings.dtype), (*names.shape, self.width)
            fits = kinds == (np.uint64, np.float16) and embeddings.shape == shape and len(shape) == 2
            if key == self.key and fits and np.isfinite(embeddings).all():
                return names, embeddings
            reason = "of another teacher" if key != self.key else "damaged"
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            reason = "damaged"
        print(f"{path} is {reason}: its photos are embedded again")
        return np.empty(0, np.uint64), np.empty((0, self.width), np.float16)

    def add(self, names: np.ndarray, embeddings: np.ndarray) -> None:
        """Writes a file."""
        if len(names):
            path = self.folder / f"{hashlib.blake2b(names.tobytes(), digest_size=8).hexdigest()}.npz"
            with written_whole(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, key=np.array(self.key), names=names, embeddings=embeddings)
