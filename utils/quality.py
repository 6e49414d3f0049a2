"""How well a photo shows a face: size, sharpness, pose, the detector's confidence, and where that lowers the trust.

The limits below are where errors rise, measured on people held out of `train` (docs/use.md, "How sure").
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from utils.aligner import blur
from utils.alignment import TEMPLATE, TEMPLATE_SIZE, Alignment, Face, align, scale_of
from utils.images import Pixels

EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])  # pixels between the eyes of a crop of 112
CUT = Alignment("landmarks", TEMPLATE_SIZE, 0)
# Where the five points of a face lie that looks straight ahead, in pixels of the template, the third towards us. The
# nose stands out by half of what is between the eyes; corners of the mouth lie as deep as the eyes.
DEPTH = np.array((0.0, 0.0, EYES / 2, 0.0, 0.0))
NEUTRAL_PITCH = 11.0  # degrees that the template's face looks up, against the median of 5,910 photographs
MODEL = np.column_stack((TEMPLATE - TEMPLATE.mean(axis=0), DEPTH - DEPTH.mean()))


@dataclass(frozen=True)
class Limit:
    """A quality that is good enough from `good` on, and worth nothing at `bad`."""

    good: float
    bad: float
    reason: str  # with a place for the value

    def share(self, value: float) -> float:
        """Returns 1 for good, 0 for bad, in between a line."""
        return float(np.clip((value - self.bad) / (self.good - self.bad), 0.0, 1.0))


LIMITS = {
    "size": Limit(13.0, 3.0, "small: {:.0f} pixels between the eyes"),
    "sharpness": Limit(80.0, 10.0, "blurred: sharpness {:.0f}"),
    "yaw": Limit(-25.0, -60.0, "turned to the side by some {:.0f} degrees"),
    "pitch": Limit(-20.0, -45.0, "looking up or down by some {:.0f} degrees"),
    "confidence": Limit(0.95, 0.6, "hardly a face: the detector is sure by {:.0%}"),
}
FALLING = ("yaw", "pitch")  # the less the better: their limits are below 0


@dataclass(frozen=True)
class Quality:
    """What there is to see of a face; None where no landmarks are known (a crop)."""

    size: float  # pixels of the photo between the eyes, as if the face looked straight ahead
    sharpness: float  # variance of the Laplacian of the crop at 112 pixels
    yaw: float | None = None  # degrees: to the photo's right
    pitch: float | None = None  # degrees: down
    roll: float | None = None  # degrees: clockwise; alignment takes it out, so it lowers no trust
    confidence: float | None = None  # 0..1

    @property
    def weight(self) -> float:
        """0..1: what the photo should count in a template, by the worst of its flaws (what is small is blurred too)."""
        return min(LIMITS[name].share(value) for name, value in self._judged())

    def reasons(self) -> list[str]:
        """Returns in plain words what lowers the trust; nothing for a good photo."""
        return [LIMITS[name].reason.format(abs(value)) for name, value in self._judged() if value < LIMITS[name].good]

    def _judged(self) -> list[tuple[str, float]]:
        """Returns (name, value) of what is known, the more the better."""
        values = {name: getattr(self, name) for name in LIMITS}
        return [(name, -abs(x) if name in FALLING else x) for name, x in values.items() if x is not None]


def quality(photo: Pixels, face: Face | None) -> Quality:
    """Returns the quality of a face in a photo (H,W,3), or of a photo that is a crop (None)."""
    if face is None:
        return Quality(min(photo.shape[:2]) * EYES / TEMPLATE_SIZE, blur(photo))
    yaw, pitch, roll = pose(face.landmarks)
    return Quality(EYES / scale_of(face, CUT), blur(align(photo, face, CUT)), yaw, pitch, roll, face.confidence)


def pose(landmarks: NDArray[np.float64]) -> tuple[float, float, float]:
    """Returns an estimate of (yaw, pitch, roll) in degrees from five landmarks (5,2): right, down and clockwise.

    The scaled rotation, seen from far away, that brings MODEL nearest: least squares, then the nearest rotation. It is
    taken for a turn to the side, then one up or down, then one in the picture.
    """
    seen = np.asarray(landmarks, np.float64) - np.mean(landmarks, axis=0)
    left, _, right = np.linalg.svd(np.linalg.lstsq(MODEL, seen, rcond=None)[0].T, full_matrices=False)
    across, down = left @ right  # (3,) each: rows of the rotation
    ahead = np.cross(across, down)  # the third row: no turn in the picture moves it
    yaw = np.arctan2(-ahead[0], ahead[2])
    pitch = np.arcsin(np.clip(-ahead[1], -1, 1))
    roll = np.arctan2(-across[1], down[1])
    return float(np.degrees(yaw)), float(np.degrees(pitch)) - NEUTRAL_PITCH, float(np.degrees(roll))
