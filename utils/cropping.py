"""Crops for an embedder out of any photos: what is a crop already stays or is converted, a raw photo is aligned."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from utils.alignment import Alignment, Face, align, main_face
from utils.files import FileInMemory, read_json
from utils.images import Pixels
from utils.photo_files import member_of
from utils.settings import UserError

Box = tuple[float, float, float, float]  # left, top, right, bottom as fractions of an image's width and height
ARCFACE = Alignment("landmarks", 112, 0)  # the crops in `.bin` files and in most record files
RECORD = "alignment.json"  # what align.py writes beside its crops


class Crop(NamedTuple):
    """What an embedder is shown of a photo."""

    image: Pixels  # the crop, or the photo as it was
    cut: float | Box  # the part of `image` that is shown
    face: Face | None = None  # what it was cut around, in pixels of the photo; None: as it was
    faces: int | None = None  # faces found; None: none were looked for


class Finder(Protocol):
    """What finds faces: `utils.detector.Detector`."""

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Returns the faces of each photo, by falling confidence."""
        ...


class Cropper:
    """Turns photos into what an embedder expects.

    Attributes:
        alignment: of the crops that the embedder was trained on; None: photos are taken as they are.
        crops: how the photos were cropped already; None: those of the alignment's size are crops, others raw photos.
        every: every photo is raw, whatever its size.
        cut: the part of a crop that the embedder is shown, its central share or a box.
        raw: name -> faces found, of the raw photos that were given with their names.
    """

    def __init__(
        self,
        alignment: Alignment | None = None,
        crops: Alignment | None = None,
        every: bool = False,
        cut: float | Box = 1.0,
        finder: Finder | None = None,
    ):
        if crops and alignment and crops != alignment and "box" in (crops.mode, alignment.mode):
            raise UserError(f"crops of {crops.name} cannot be turned into {alignment.name}; begin with the photos")
        self.alignment, self.crops, self.every, self.cut = alignment, crops, every, cut
        self.raw: dict[str, int] = {}
        self._finder = finder

    def __call__(self, photos: Sequence[Pixels], names: Sequence[str] = ()) -> list[Crop]:
        """Returns a crop for each photo; one without a face is shown whole, with `faces` 0."""
        raw = [number for number, photo in enumerate(photos) if self._is_raw(photo)]
        found = dict(zip(raw, self._faces([photos[number] for number in raw]), strict=True))
        if names:
            self.raw.update((names[number], len(faces)) for number, faces in found.items())
        return [self._crop(photo, found.get(number)) for number, photo in enumerate(photos)]

    @property
    def aligns(self) -> bool:
        """Whether photos that are no crops are aligned."""
        return self.alignment is not None and self.crops is None

    @property
    def cut_of_crops(self) -> float | Box:
        """The part of a photo that is a crop already that the embedder is shown."""
        if self.crops and self.alignment and self.crops != self.alignment:
            return scaled(self.cut, extent(self.alignment) / extent(self.crops))
        return self.cut

    def describe(self) -> str:
        """Returns what is done with photos, in words."""
        if self.alignment is None:
            return "photos are taken as they are (--align no, or no alignment recorded beside the weights)"
        if self.crops:
            return f"photos are crops of {self.crops.name}; the embedder was trained on {self.alignment.name}"
        size = self.alignment.size
        but = "" if self.every else f", unless they are crops of {size} x {size} pixels already"
        return f"faces are found and cut out of photos ({self.alignment.name}){but}"

    def summary(self) -> str:
        """Returns how many of the named raw photos had no face, one, or several."""
        counts = list(self.raw.values())
        none = [os.path.basename(name) for name, faces in self.raw.items() if faces == 0]
        shown = f" (shown whole: {', '.join(none[:3])}{', ...' if len(none) > 3 else ''})" if none else ""
        one, several = counts.count(1), sum(faces > 1 for faces in counts)
        return (
            f"{len(counts):,} raw photos: one face in {one:,}, several in {several:,} (the main one is taken),"
            f" none in {len(none):,}{shown}"
        )

    def _is_raw(self, photo: Pixels) -> bool:
        if not self.aligns or self.alignment is None:
            return False
        return self.every or photo.shape[:2] != (self.alignment.size, self.alignment.size)

    def _faces(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        if photos and self._finder is None:
            from utils.detector import Detector  # its networks take a second: only where a photo is raw

            self._finder = Detector()
        return self._finder.detect(photos) if self._finder and photos else []

    def _crop(self, photo: Pixels, faces: list[Face] | None) -> Crop:
        if faces:
            assert self.alignment
            face = faces[main_face(faces, photo.shape)]
            return Crop(align(photo, face, self.alignment), self.cut, face, len(faces))
        if faces is not None:
            return Crop(photo, 1.0, None, 0)
        return Crop(photo, self.cut_of_crops)


def extent(alignment: Alignment) -> float:
    """Returns the side of a crop of landmarks mode, in sides of the template."""
    return alignment.size / (alignment.size - 2 * alignment.border)


def scaled(cut: float | Box, share: float) -> float | Box:
    """Returns the cut of an image, where `cut` is one of its central `share` (over 1: of more than there is)."""
    if isinstance(cut, float | int):
        return cut * share
    left, top, right, bottom = (0.5 + (edge - 0.5) * share for edge in cut)
    return left, top, right, bottom


def edges(cut: float | Box) -> Box:
    """Returns a cut as the box that it is."""
    return ((1 - cut) / 2, (1 - cut) / 2, (1 + cut) / 2, (1 + cut) / 2) if isinstance(cut, float | int) else cut


def recorded_alignment(folder: str | Path) -> Alignment | None:
    """Returns the alignment that align.py recorded in `folder` or above it, two folders up at most; None: it did not.

    Raises UserError for a record that cannot be read.
    """
    path = alignment_record(folder)
    if path is None:
        return None
    record: Any = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("alignment"), str):
        raise UserError(f"{path} names no alignment; align.py writes it")
    return Alignment.parse(record["alignment"])


def alignment_of(image: str | FileInMemory, folder: str | Path) -> Alignment | None:
    """Returns how images of pairs were cropped: those in an InsightFace `.bin` as ARCFACE, else as recorded."""
    return ARCFACE if isinstance(image, FileInMemory) else recorded_alignment(folder)


def common_alignment(folders: Iterable[str | Path]) -> Alignment | None:
    """Returns the alignment that is recorded for all of these folders; raises UserError where they differ."""
    found: dict[Path | None, str | Path] = {}
    for folder in dict.fromkeys(folders):
        found.setdefault(alignment_record(folder), folder)
    ways: dict[Alignment | None, str | Path] = {}
    for folder in found.values():
        ways.setdefault(recorded_alignment(folder), folder)
    if len(ways) > 1:
        first, second = (
            f"{folder} holds {f'crops ({way.name})' if way else 'photos that align.py did not cut'}"
            for way, folder in list(ways.items())[:2]
        )
        raise UserError(f"{first}, {second}: they are cut in different ways; give them one after the other")
    return next(iter(ways), None)


def alignment_record(folder: str | Path) -> Path | None:
    """Returns where that record is; that of a folder inside a shard lies beside the shard."""
    member = member_of(os.path.join(folder, ""))
    folder = Path(member.shard).parent if member else Path(folder)
    places = (place / RECORD for place in (folder, *folder.absolute().parents[:2]))
    return next((place for place in places if place.is_file()), None)


def check_choice(choice: str) -> None:
    """Raises UserError for an `--align` that is neither auto, no, nor an alignment's name."""
    if choice not in ("auto", "no"):
        try:
            Alignment.parse(choice)
        except UserError as error:
            raise UserError(f"--align takes auto, no or an alignment's name: {error}") from None


def chosen_cropper(
    choice: str, trained_on: Alignment | None, cut: float | Box = 1.0, crops: Alignment | None = None
) -> Cropper:
    """Returns the cropper that `--align` asks for.

    Args:
        choice: "auto" (the embedder's alignment, for what is no crop yet), "no", or an alignment's name (for all).
        trained_on: the embedder's alignment, None where it is not known.
        crops: how the photos were cropped already, where that is known.
    """
    if choice == "no":
        return Cropper(cut=cut)
    if choice == "auto":
        return Cropper(trained_on, crops, cut=cut)
    return Cropper(Alignment.parse(choice), every=True, cut=cut)
