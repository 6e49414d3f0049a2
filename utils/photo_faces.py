"""The faces in many photos, as vectors: every face of a photo, or its main one."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.alignment import align, main_face
from utils.alignment_log import NO_FACE
from utils.cropping import Crop
from utils.images import ImageError, Pixels
from utils.photo_reading import read_ahead

if TYPE_CHECKING:
    from utils.embedder import Embedder, Flip

AT_ONCE = 16  # raw photos in memory: they may have 100 MB each
CROPS_AT_ONCE = 64


class Seen(NamedTuple):
    """What was seen on a photo."""

    boxes: NDArray[np.float32]  # (F,4): left, top, right, bottom in pixels of the photo; NaN: the photo is a crop
    embeddings: NDArray[np.float32]  # (F,D) of unit length
    problem: str = ""  # why there is no face


class FaceReader:
    """Finds, cuts out and embeds faces, with the embedder's cropper; crops are one face each.

    Args:
        every: all faces of a photo; else the main one.
        min_face: pixels of the photo, the longer side of a face.
    """

    def __init__(self, embedder: "Embedder", every: bool, min_face: int, flip: "Flip" = "none"):
        self.embedder, self.every, self.flip = embedder, every, flip
        self._detector = None
        if embedder.cropper.aligns:
            from utils.detector import Detector

            self._detector = Detector(min_face)

    def read(self, paths: Sequence[str]) -> Iterator[list[Seen]]:
        """Yields what is seen on the photos, some at a time, in order; a photo that cannot be read stops nothing."""
        for part in read_ahead(paths, AT_ONCE if self._detector else CROPS_AT_ONCE):
            photos = [photo for _, photo in part if not isinstance(photo, ImageError)]
            crops = self._crops(photos)
            fitted = [self.embedder.fit(crop) for some in crops for crop in some]
            empty = np.empty((0, *self.embedder.size, 3), np.uint8)
            embeddings = self.embedder.embed_images(np.stack(fitted) if fitted else empty, self.flip)
            of_photos = iter(np.split(embeddings, np.cumsum([len(some) for some in crops])[:-1]) if crops else [])
            seen = (_seen(some, vectors) for some, vectors in zip(crops, of_photos, strict=True))
            nothing = np.empty((0, 4), np.float32), embeddings[:0]
            yield [Seen(*nothing, str(p)) if isinstance(p, ImageError) else next(seen) for _, p in part]

    def _crops(self, photos: list[Pixels]) -> list[list[Crop]]:
        """Returns the crops of each photo: none where no face is found."""
        cropper, alignment = self.embedder.cropper, self.embedder.cropper.alignment
        if self._detector is None or alignment is None:
            return [[crop] for crop in cropper(photos)]
        side = (alignment.size, alignment.size)
        raw = [number for number, photo in enumerate(photos) if cropper.every or photo.shape[:2] != side]
        found = dict(zip(raw, self._detector.detect([photos[number] for number in raw]), strict=True))
        crops = []
        for number, photo in enumerate(photos):
            if number not in found:
                crops.append([Crop(photo, cropper.cut)])
                continue
            faces = found[number]
            chosen = faces if self.every or not faces else [faces[main_face(faces, photo.shape)]]
            crops.append([Crop(align(photo, face, alignment), cropper.cut, face, len(faces)) for face in chosen])
        return crops


def _seen(crops: list[Crop], embeddings: NDArray[np.float32]) -> Seen:
    boxes = np.full((len(crops), 4), np.nan, np.float32)
    for row, crop in enumerate(crops):
        if crop.face is not None:
            boxes[row] = crop.face.box
    return Seen(boxes, embeddings, "" if crops else NO_FACE)
