"""The package mtcnn beside our detector: which faces both find, and how far their landmarks are apart."""

from collections.abc import Sequence
from typing import Any


class Package:
    """The package mtcnn with the detector's face: `detect`."""

    def __init__(self, min_face: int):
        from mtcnn import MTCNN

        self._package, self._min_face = MTCNN(), min_face

    def detect(self, images: Sequence[Any]) -> list[list[Any]]:
        import numpy as np

        from utils.alignment import Face

        faces: list[list[Face]] = [[] for _ in images]
        for begin in range(0, len(images), 32):
            rows = self._package.detect_faces(
                list(images[begin : begin + 32]), min_face_size=self._min_face, output_type="numpy", box_format="xyxy"
            )
            for row in rows:
                landmarks = np.column_stack((row[6:11], row[11:16]))
                faces[begin + int(row[0])].append(Face(row[1:5], landmarks, float(row[5])))
        return faces


def compare_faces(images: list[Any]) -> None:
    """Prints how many faces we and the package find alike at 20 pixels, and how far the landmarks are apart."""
    import numpy as np

    from utils.detector import Detector

    ours, theirs = Detector(min_face=20).detect(images), Package(20).detect(images)
    apart, only_theirs = [], []
    for found, expected in zip(ours, theirs, strict=True):
        for face in expected:
            near = [other for other in found if overlap(face.box, other.box) > 0.5]
            if near:
                apart.append(np.linalg.norm(near[0].landmarks - face.landmarks, axis=1))
            else:
                only_theirs.append(face.confidence)
    total = sum(map(len, ours))
    print(f"faces of 20 pixels and more: ours {total}, the package {sum(map(len, theirs))}, both {len(apart)}")
    if only_theirs:
        print(f"  confidence of those that only it finds: {', '.join(f'{c:.2f}' for c in sorted(only_theirs))}")
    print(f"  landmarks apart: median {np.median(apart):.2f} pixels of the photo, largest {np.max(apart):.2f}")


def overlap(one: Any, other: Any) -> float:
    """Returns intersection over union of two boxes."""
    import numpy as np

    common = np.prod(np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0))
    return float(common / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - common))
