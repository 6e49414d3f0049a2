"""Finding faces and their five landmarks: the cascade of MTCNN (Zhang et al. 2016, arXiv:1604.02878) over many photos.

The networks are `nets/mtcnn.py` with the weights of the package `mtcnn` (MIT, Iván de Paz Centeno), written to ONNX by
`benchmarks/detector_files.py`. The package itself runs on TensorFlow only, and finds nothing in a whole batch where its
pyramid goes below 12 pixels.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.alignment import Face
from utils.boxes import Boxes, Numbers, best, moved, patches, rows_of, squares, without_nested
from utils.detector_weights import NAMES, check_weights, detector_file
from utils.images import Pixels
from utils.onnx_network import onnx_session
from utils.settings import UserError
from utils.tiles import Piece, tiled

WINDOW = 12  # pixels of P-Net's window
STEP = 2  # pixels from window to window
PYRAMID = 0.709  # from level to level
LARGEST_SIDE = 1000  # pixels of a photo's shorter side, beyond which it is shrunk first
SMALLEST = 40  # pixels of a photo that was shrunk: smaller faces in it are left, or the search would take for ever
PHOTOS_AT_ONCE = 32  # whose pyramids are in memory together
P_THRESHOLD, R_THRESHOLD = 0.6, 0.7
BATCH = {"p_net": 1, "r_net": 64, "o_net": 32}  # images at once; with more their maps leave the processor's cache
# Squares about a found face, from which O-Net looks again: (right, down, size), in sides of the square
LOOKS = ((0.0, 0.0, 1.0), (0.04, 0.04, 1.05), (-0.04, -0.04, 0.95))
MIRRORED = (1, 0, 2, 4, 3)  # the landmarks of a mirrored face


class Detector:
    """Finds faces whose longer side is `min_face` pixels (12 at least) or more, with `min_confidence` (0..1) or more.

    A photo whose shorter side is above 1000 pixels is searched at 1000, for faces of 40 pixels and more there, a 25th
    of that side (of `min_face`, where that is less).
    MTCNN's landmarks jump by a pixel when the photo is scaled or shifted a little: each face is looked at again from
    three squares, mirrored too, and the mean is taken, which divides that by three (benchmarks/alignment.py);
    `second_look` False leaves it at MTCNN's own.
    Its networks run on so many `threads`, 0: as many as there are cores. Raises UserError where they are missing.
    """

    def __init__(self, min_face: int = 40, min_confidence: float = 0.8, second_look: bool = True, threads: int = 0):
        if min_face < WINDOW:
            raise UserError(f"min_face is {min_face} pixels; {WINDOW} is the smallest that MTCNN sees")
        self.min_face, self.min_confidence, self.second_look = min_face, min_confidence, second_look
        check_weights()
        self._networks = {name: onnx_session(detector_file(name), threads) for name in NAMES}

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        """Returns the faces in each photo (H,W,3), RGB, of any sizes, by falling confidence."""
        parts = [images[k : k + PHOTOS_AT_ONCE] for k in range(0, len(images), PHOTOS_AT_ONCE)]
        return [faces for part in parts for faces in self._detect(part)]

    def _detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        photos = [_shrunk(image) for image in images]
        # pixels of the image per pixel of the shrunk photo, x and y
        factors = [np.divide(i.shape[1::-1], p.shape[1::-1]) for i, p in zip(images, photos, strict=True)]
        smallest = [max(min(self.min_face, SMALLEST), self.min_face / factor.max()) for factor in factors]
        boxes, landmarks = self._found(photos, self._refined(photos, self._proposed(photos, smallest)))
        if self.second_look:
            boxes, landmarks = self._looked_at_again(photos, boxes)
        faces: list[list[Face]] = [[] for _ in images]
        for photo, corners, points, score in zip(boxes.photo, boxes.corners, landmarks, boxes.score, strict=True):
            face = Face(corners * np.tile(factors[photo], 2), points * factors[photo] - 0.5, float(score))
            sides = face.box[2:] - face.box[:2]  # what the networks leave of a window may be smaller than asked for
            if sides.max() >= self.min_face and sides.min() > 0 and np.ptp(points, axis=0).any():
                faces[photo].append(face)
        return faces

    def _proposed(self, photos: list[Pixels], smallest: list[float]) -> Boxes:
        """Returns the windows in which P-Net sees a face, moved and sized as it says."""
        tiles, pieces = tiled(photos, [WINDOW / face for face in smallest], PYRAMID, WINDOW)
        if not pieces:
            return Boxes(np.empty(0, np.int64), np.empty((0, 4)), np.empty(0))
        outputs = self._outputs("p_net", tiles)
        windows = [_windows(piece, outputs["box"], outputs["score"]) for piece in pieces]
        boxes = Boxes(*(np.concatenate(parts) for parts in zip(*windows, strict=True)))
        levels = np.repeat([piece.level for piece in pieces], [len(boxes.score) for boxes in windows])
        boxes = rows_of(boxes, best(boxes, boxes.photo * 64 + levels, overlap=0.5))
        return rows_of(boxes, best(boxes, boxes.photo, overlap=0.7))

    def _refined(self, photos: list[Pixels], boxes: Boxes) -> Boxes:
        """Returns the boxes in which R-Net still sees a face."""
        cut, corners = patches(photos, boxes._replace(corners=squares(boxes.corners)), 24)
        outputs = self._outputs("r_net", cut)
        boxes = Boxes(boxes.photo, moved(corners, outputs["box"]), outputs["score"][:, 1])
        boxes = rows_of(boxes, boxes.score > R_THRESHOLD)
        return rows_of(boxes, best(boxes, boxes.photo, overlap=0.7))

    def _found(self, photos: list[Pixels], boxes: Boxes) -> tuple[Boxes, Numbers]:
        """Returns the boxes in which O-Net sees a face, by falling score, and landmarks (N,5,2), 0 a pixel's edge."""
        cut, corners = patches(photos, boxes._replace(corners=squares(boxes.corners)), 48)
        outputs = self._outputs("o_net", cut)
        boxes = Boxes(boxes.photo, moved(corners, outputs["box"]), outputs["score"][:, 1])
        rows = np.flatnonzero(boxes.score >= self.min_confidence)
        rows = rows[without_nested(rows_of(boxes, rows), overlap=0.7)]
        return rows_of(boxes, rows), _placed(outputs["landmarks"], corners)[rows]

    def _looked_at_again(self, photos: list[Pixels], boxes: Boxes) -> tuple[Boxes, Numbers]:
        """Returns the faces with their mean boxes and mean landmarks."""
        square, number = squares(boxes.corners), len(LOOKS)
        sides, centres = square[:, 2:] - square[:, :2], (square[:, :2] + square[:, 2:]) / 2
        looks = [(centres + sides * shift, sides * size / 2) for *shift, size in LOOKS]
        around = np.concatenate([np.hstack((middle - half, middle + half)) for middle, half in looks])
        cut, seen = patches(photos, Boxes(np.tile(boxes.photo, number), around, np.tile(boxes.score, number)), 48)
        outputs = self._outputs("o_net", np.concatenate((cut, cut[:, :, ::-1])))
        plain, mirrored = np.split(outputs["box"], 2)
        corners = moved(seen, (plain + mirrored[:, (2, 1, 0, 3)] * (-1, 1, -1, 1)) / 2)
        plain, mirrored = np.split(outputs["landmarks"].reshape(-1, 2, 5), 2)
        mirrored = mirrored[..., MIRRORED] * ((-1,), (1,)) + ((1,), (0,))
        landmarks = _placed((plain + mirrored) / 2, seen)
        mean_corners = corners.reshape(number, -1, 4).mean(axis=0)
        return boxes._replace(corners=mean_corners), landmarks.reshape(number, -1, 5, 2).mean(axis=0)

    def _outputs(self, name: str, images: Pixels) -> dict[str, Numbers]:
        """Returns the network's outputs (N, ...) for any number of images."""
        network, size = self._networks[name], BATCH[name]
        given = images if len(images) else np.zeros((1, *images.shape[1:]), np.uint8)
        batches = [np.ascontiguousarray(given[first : first + size]) for first in range(0, len(given), size)]
        parts = zip(*(network.run(None, {"images": batch}) for batch in batches), strict=True)
        keys = [output.name for output in network.get_outputs()]
        return {key: np.concatenate(p)[: len(images)].astype(float) for key, p in zip(keys, parts, strict=True)}


def _shrunk(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    scale = LARGEST_SIDE / min(height, width)
    if scale >= 1:
        return image
    size = (round(width * scale), round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _windows(piece: Piece, offsets: NDArray[np.float64], scores: NDArray[np.float64]) -> Boxes:
    """Returns P-Net's windows on one piece, in pixels of the photo, in which it sees a face."""
    (x, y), (width, height) = (n // STEP for n in piece.place), ((n - WINDOW) // STEP + 1 for n in piece.size)
    where = piece.tile, slice(y, y + height), slice(x, x + width)
    score = scores[where][..., 1]
    rows, columns = np.nonzero(score > P_THRESHOLD)
    corner = np.column_stack((columns, rows)) * STEP + piece.corner
    corners = np.hstack((corner, corner + WINDOW)) / np.tile(piece.scale, 2)
    return Boxes(np.full(len(rows), piece.photo), moved(corners, offsets[where][rows, columns]), score[rows, columns])


def _placed(landmarks: Numbers, corners: Numbers) -> Numbers:
    """Returns landmarks (N,5,2) in pixels of the photo: O-Net's are five x, then five y, in sides of the square."""
    points = landmarks.reshape(-1, 2, 5).transpose(0, 2, 1)
    return corners[:, None, :2] + points * (corners[:, None, 2:] - corners[:, None, :2])
