"""What the tabs of the page (utils/page_layout.py) do: compare, who is this, enrol and erase, group."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.calibration import Calibration
from utils.clustering import group
from utils.comparison import Photo, comparison_figure, faces_line, quality_line
from utils.enrolment import origin_for
from utils.faces_named import faces_figure, name_faces
from utils.files import FileInMemory
from utils.gallery import Gallery
from utils.grouping import Basis, usual_rate
from utils.identification import Identifier, share
from utils.image_headers import Refused, read_header
from utils.images import ImageError, Pixels, read_image
from utils.metrics import squared_distances
from utils.photo_faces import FaceReader
from utils.quality import quality
from utils.settings import UserError
from utils.stores import NoPeople, clean_name
from utils.thumbnails import thumbnail
from utils.verdict import basis, decide

if TYPE_CHECKING:
    from utils.embedder import Embedder

NO_PIXELS: Pixels = np.empty((0, 0, 3), np.uint8)
THUMBNAIL = 128  # pixels, square
USUAL_RATE = 1e-3  # false-accept rate of the threshold that the slider begins with
MIDDLE = 1.0  # where the slider begins without a calibration: nothing is known there


@dataclass(frozen=True)
class Limits:
    """Of what is uploaded."""

    megabytes: int = 20  # a file
    megapixels: int = 40  # a photo
    photos: int = 300  # at once


def one_at_a_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets no two threads into the functions of a Desk: a network need not bear it."""

    @wraps(function)
    def locked(self: "Desk", *arguments: Any) -> Any:
        with self._lock:
            return function(self, *arguments)

    return locked


class Desk:
    """One embedder and one gallery behind the page; functions raise UserError for what the user can put right."""

    def __init__(self, embedder: "Embedder", gallery: str | os.PathLike[str], limits: Limits | None = None):
        self.embedder, self.gallery, self.limits = embedder, Path(gallery), limits or Limits()
        self.calibration = Calibration.of_card(embedder.card)
        self._store: Gallery | None = None
        self._lock = threading.RLock()

    @property
    def flip(self) -> Any:
        """How the embeddings were made on which distances were measured."""
        return Basis.of(self.embedder).flip

    @property
    def usual_threshold(self) -> float:
        """Where the slider begins."""
        if self.calibration:
            return round(self.calibration.distance_at(USUAL_RATE), 3)
        stored = self.embedder.thresholds or {}
        return round(stored.get("best_accuracy", {}).get("threshold", MIDDLE), 3)

    @property
    def widest(self) -> float:
        """Where the slider ends: past most strangers."""
        return min(4.0, round(2 * self.calibration.distance_at(0.5) + 0.05, 1)) if self.calibration else 4.0

    @one_at_a_time
    def compare(self, first: str | None, second: str | None) -> tuple[Pixels, str, float]:
        """Returns the picture of two photos, what is said of them, and their distance (NaN without a face)."""
        photos = self._photos([path for path in (first, second) if path])
        if len(photos) != 2:
            raise UserError(f"two photos are compared; received {len(photos)}")
        crops = self.embedder.cropper([photo.image for photo in photos])
        notes = [
            line
            for photo, crop in zip(photos, crops, strict=True)
            for line in (faces_line(photo.path, crop), quality_line(os.path.basename(photo.path), photo, crop))
        ]
        embeddings = self.embedder.embed_images(np.stack([self.embedder.fit(crop) for crop in crops]), self.flip)
        distance = float(squared_distances(embeddings[:1], embeddings[1:])[0])
        faceless = any(crop.faces == 0 for crop in crops)
        verdict = decide(distance, self.embedder.thresholds, faceless, self.calibration)
        rests_on = basis(self.embedder.thresholds, self.calibration)
        picture = _picture(lambda path: comparison_figure(path, (photos[0], photos[1]), verdict, rests_on, crops))
        lines = [str(verdict), *notes, rests_on]
        return picture, "\n".join(filter(None, lines)), float("nan") if faceless else distance

    def rates(self, threshold: float, distance: float = float("nan")) -> str:
        """Returns what a threshold lets through, and what it says of the two photos just compared."""
        lines = []
        if np.isfinite(distance):
            same = "one person" if distance < threshold else "two people"
            lines.append(f"distance {distance:.3f}, threshold {threshold:.3f}: {same}")
        if self.calibration is None:
            lines.append("FAR and VAL are not known: the embedder has no calibration (python calibrate.py)")
            return "\n".join(lines)
        far, val = (float(rate(threshold)) for rate in (self.calibration.far, self.calibration.val))
        beyond = " (extrapolated)" if far < self.calibration.finest_rate else ""
        lines.append(f"FAR: {share(far)} pairs of strangers are nearer than {threshold:.3f}{beyond}")
        return "\n".join([*lines, f"VAL: {val:.1%} of pairs of one person are nearer"])

    @one_at_a_time
    def who(self, path: str | None, far: float) -> tuple[Pixels, str]:
        """Returns the picture of a photo with its faces named, and the answers in words."""
        if not path:
            raise UserError("no photo yet; upload one, or take one with the camera")
        (photo,) = self._photos([path])
        identifier = Identifier(self._people(), self.calibration, far)
        (seen,) = name_faces(self.embedder, identifier, [path])
        note = identifier.basis(len(identifier.store.people()))
        lines = [line.replace(path, photo.path) for line in seen.lines()]
        return _picture(lambda file: faces_figure(file, [seen], "")), "\n".join([*lines, note])

    @one_at_a_time
    def enrol(self, person: str, paths: Sequence[str]) -> str:
        """Puts a person's photos into the gallery, main faces of them; returns what was done."""
        if not person.strip() or not paths:
            raise UserError("a name and a photo or more are needed")
        photos, refused, said = self._photos(paths), [], []
        crops = self.embedder.cropper([photo.image for photo in photos])
        kept, images = [], []
        for path, photo, crop in zip(paths, photos, crops, strict=True):
            if crop.faces == 0:
                refused.append(f"{photo.path}: no face found, left out")
                continue
            if (crop.faces or 1) > 1:
                said.append(f"{photo.path}: several faces, of which the main one was taken (large, near the centre)")
            with open(path, "rb") as file:  # known by its bytes: the uploaded file goes
                mark = hashlib.file_digest(file, "sha256").hexdigest()[:16]
            kept.append((f"page/{mark}/{photo.path}", quality(photo.image, crop.face).weight))
            images.append(self.embedder.fit(crop))
        if kept:
            sources, weights = zip(*kept, strict=True)
            store = self._people(create=True)
            embeddings = self.embedder.embed_images(np.stack(images), store.origin.flip)
            store.enroll(person, embeddings, sources, np.array(weights))
            known = [each.name for each in store.people() if each.name == clean_name(person)]
            others = set(sources) - {each.source for each in (store.photos(known) if known else ())}
            refused += [f"{os.path.basename(source)}: enrolled as somebody else, and stays so" for source in others]
        done = len(paths) - len(refused)
        return "\n".join([f"{person.strip()}: {done} photos enrolled in {self.gallery}", *refused, *said])

    @one_at_a_time
    def people(self) -> list[tuple[str, int]]:
        """Returns names and how many photos each has."""
        try:
            return [(person.name, person.photos) for person in self._people().people()]
        except NoPeople:
            return []

    @one_at_a_time
    def erase(self, person: str | None) -> str:
        """Removes a person; nothing of them stays in the gallery."""
        if not person:
            raise UserError("choose whom to erase")
        return f"{person} erased: {self._people().remove([person])} photos; nothing of them is left in {self.gallery}"

    @one_at_a_time
    def group(self, paths: Sequence[str]) -> tuple[list[tuple[Pixels, str]], str]:
        """Returns (face, name of its group), group by group, and what was found in words."""
        names = [photo.path for photo in self._photos(paths, keep=False)]
        reader = FaceReader(self.embedder, every=True, min_face=40, flip=self.flip)
        seen = [one for part in reader.read(paths) for one in part]
        owners = np.repeat(np.arange(len(paths)), [len(one.boxes) for one in seen])
        bare = [name for name, one in zip(names, seen, strict=True) if not len(one.boxes)]
        lines = [f"no face on {', '.join(bare[:5])}{', ...' if len(bare) > 5 else ''}"] if bare else []
        if not len(owners):
            raise UserError("no photo yet" if not paths else lines[0])
        cut, words = Basis.of(self.embedder).cut(usual_rate("average", len(owners)))
        labels = group(np.concatenate([one.embeddings for one in seen]), cut)
        boxes = np.concatenate([one.boxes for one in seen])
        order = np.lexsort((np.arange(len(labels)), np.where(labels < 0, len(labels), labels)))
        pictures = [thumbnail(read_image(paths[owners[face]]), boxes[face], THUMBNAIL) for face in order]
        captions = [f"person {labels[face] + 1}" if labels[face] >= 0 else "alone" for face in order]
        counts = f"{labels.max() + 1} people with two photos or more; {(labels < 0).sum()} faces alone"
        return list(zip(pictures, captions, strict=True)), "\n".join([counts, *lines, f"cut at {cut:.2f}: {words}"])

    def _people(self, create: bool = False) -> Gallery:
        """Returns the gallery; raises UserError where nobody is enrolled, or another embedder made it."""
        if self._store is None:
            origin = origin_for(self.embedder)
            try:
                self._store = Gallery.open(self.gallery, origin.sha256)
            except NoPeople:
                if not create:
                    raise NoPeople(f"nobody is enrolled in {self.gallery} yet: see the tab 'Enrol and erase'") from None
                self._store = Gallery.create(self.gallery, origin)
        return self._store

    def _photos(self, paths: Sequence[str], keep: bool = True) -> list[Photo]:
        """Returns photos under their own names; without `keep` no pixels: they are looked at one by one."""
        if len(paths) > self.limits.photos:
            raise UserError(f"{len(paths)} photos; at most {self.limits.photos} at once")
        return [self._photo(path, keep) for path in paths]

    def _photo(self, path: str, keep: bool) -> Photo:
        name = os.path.basename(path)
        if os.path.getsize(path) > self.limits.megabytes * 1_000_000:
            raise UserError(f"{name} has more than {self.limits.megabytes} MB")
        source = FileInMemory(name, Path(path).read_bytes())
        try:
            header = read_header(source.data)  # None for other kinds than JPEG, PNG, WebP: the kit's own limit holds
        except Refused as error:
            raise ImageError(f"{name} {error}") from None
        if header:
            self._check_size(name, header.width, header.height)
        image = read_image(source) if keep or header is None else NO_PIXELS
        self._check_size(name, image.shape[1], image.shape[0])
        return Photo(name, image)

    def _check_size(self, name: str, width: int, height: int) -> None:
        if width * height > self.limits.megapixels * 1_000_000:
            raise UserError(f"{name} has {width} x {height} pixels; at most {self.limits.megapixels} megapixels")


def _picture(draw: Callable[[Path], None]) -> Pixels:
    """Returns what a function draws into a file, which does not stay."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder, "picture.png"))
        return read_image(Path(folder, "picture.png"))
