"""From a face in a photo to its crop: the same function for training photos, for evaluation and in use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.images import Pixels
from utils.settings import UserError
from utils.warping import Matrix, warp

TEMPLATE_SIZE = 112  # pixels
# Where ArcFace's crops have the eyes, the nose and the corners of the mouth (Deng et al. 2018, arXiv:1801.07698)
TEMPLATE = np.array(
    ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
)


class Face(NamedTuple):
    """A face in a photo; coordinates are pixels of the photo, x to the right, y down."""

    box: NDArray[np.float64]  # (4,): left, top, right, bottom; whole numbers are edges: photo[top:bottom, left:right]
    landmarks: NDArray[np.float64]  # (5,2): eyes, nose, corners of the mouth, left ones first; 0 is a pixel's centre
    confidence: float  # 0..1


@dataclass(frozen=True)
class Alignment:
    """How a face is cut out; its name ("landmarks-128-8") is what cards, JSON files and flags hold."""

    mode: Literal["landmarks", "box"] = "landmarks"
    size: int = 160  # pixels of the crop, square
    border: float = 0  # pixels of the crop: context around the template (landmarks), or margin of the box, both sides

    def __post_init__(self) -> None:
        if self.mode not in ("landmarks", "box"):
            raise UserError(f"unknown alignment mode '{self.mode}'; choose from box, landmarks")
        largest = self.size / 2 if self.mode == "landmarks" else self.size
        if self.size < 1 or not 0 <= self.border < largest:
            what = "context on each side" if self.mode == "landmarks" else "margin"
            raise UserError(f"a crop of {self.size} px with {self.border:g} px of {what} has no room for a face")

    @property
    def name(self) -> str:
        """Mode, size and border: "landmarks-128-8", "box-160-32"."""
        return f"{self.mode}-{self.size}-{self.border:g}"

    @classmethod
    def parse(cls, name: str) -> "Alignment":
        """Returns the alignment of that name; raises UserError where it is none."""
        found = re.fullmatch(r"(landmarks|box)-(\d{1,5})-(\d{1,5}(?:\.\d+)?)", name)
        if not found:
            raise UserError(f"'{name}' is no alignment; mode-size-border is expected: landmarks-128-8, box-160-32")
        return cls("box" if found[1] == "box" else "landmarks", int(found[2]), float(found[3]))


def main_face(faces: Sequence[Face], shape: tuple[int, ...]) -> int:
    """Returns the index of the largest face, weighed by its distance to the centre of a photo of `shape` (H,W,...).

    Area less twice the squared distance, as davidsandberg/facenet chooses. Raises ValueError where there is no face.
    """
    boxes = np.array([face.box for face in faces])
    corners = boxes[:, :2], boxes[:, 2:]
    areas = np.prod(corners[1] - corners[0], axis=1)
    offsets = (corners[0] + corners[1]) / 2 - (shape[1] / 2, shape[0] / 2)
    return int(np.argmax(areas - 2 * np.sum(offsets**2, axis=1)))


def template(alignment: Alignment) -> NDArray[np.float64]:
    """Returns (5,2): where a crop of landmarks mode has the five points.

    Pixels' edges are scaled, not their centres, so that a crop of twice the size shows the same part of the photo.
    """
    scale = (alignment.size - 2 * alignment.border) / TEMPLATE_SIZE
    return (TEMPLATE + 0.5) * scale - 0.5 + alignment.border


def similarity(points: NDArray[np.float64], targets: NDArray[np.float64]) -> Matrix:
    """Returns the matrix of rotation, scale and shift from `points` (N,2) nearest to `targets` (N,2), by squares.

    Umeyama 1991 (IEEE PAMI 13-4), which in the plane is one division of complex numbers: no reflection can come out.
    Raises ValueError where all points are one.
    """
    source, target = points @ (1, 1j), targets @ (1, 1j)
    spread = source - source.mean()
    power = np.vdot(spread, spread).real
    if not power > 0:
        raise ValueError("all landmarks are at one place")
    turn = np.vdot(spread, target) / power
    shift = target.mean() - turn * source.mean()
    return np.array(((turn.real, -turn.imag, shift.real), (turn.imag, turn.real, shift.imag)))


def crop_matrix(face: Face, alignment: Alignment) -> Matrix:
    """Returns the matrix from pixels of the photo to pixels of the crop.

    Box mode stretches the box, with its margin, to a square as facenet does: the margin is in pixels of the crop, half
    of it on each side (facenet-pytorch's reading; davidsandberg's is in pixels of the photo).

    Raises ValueError where box or landmarks have no extent.
    """
    if alignment.mode == "landmarks":
        return similarity(np.asarray(face.landmarks, np.float64), template(alignment))
    corner, opposite = np.asarray(face.box[:2], np.float64), np.asarray(face.box[2:], np.float64)
    if not (opposite > corner).all():
        raise ValueError(f"a box from {corner} to {opposite} is empty")
    scales = (alignment.size - alignment.border) / (opposite - corner)
    # from centres of the photo's pixels to their edges, and back from edges of the crop's
    return np.column_stack((np.diag(scales), alignment.border / 2 - 0.5 - scales * (corner - 0.5)))


def align(image: Pixels, face: Face, alignment: Alignment) -> Pixels:
    """Returns the crop (size,size,3) of a face in `image` (H,W,3); beyond the photo its border is repeated.

    Shrinking averages over areas, so that it does not alias. Raises ValueError where box or landmarks have no extent.
    """
    return warp(image, crop_matrix(face, alignment), (alignment.size, alignment.size))


def scale_of(face: Face, alignment: Alignment) -> float:
    """Returns output pixels per photo pixel (in box mode, which stretches, the geometric mean of both directions)."""
    return float(np.sqrt(np.linalg.det(crop_matrix(face, alignment)[:, :2])))
