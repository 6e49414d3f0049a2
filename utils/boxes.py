"""Candidate boxes in several photos: squares around them, the best of those that overlap, and their pixels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.images import GREY, Pixels

Numbers = NDArray[np.float64]


class Boxes(NamedTuple):
    """Candidates: left, top, right, bottom as edges of pixels, photo[top:bottom, left:right]."""

    photo: NDArray[np.int64]  # (N,)
    corners: Numbers  # (N,4)
    score: Numbers  # (N,)


def rows_of(boxes: Boxes, rows: Any) -> Boxes:
    """Returns the boxes of `rows`: numbers or a mask."""
    return Boxes(boxes.photo[rows], boxes.corners[rows], boxes.score[rows])


def moved(corners: Numbers, offsets: Numbers) -> Numbers:
    """Returns the boxes (N,4) with each edge moved by its share `offsets` (N,4) of the box's width or height."""
    sides = corners[:, 2:] - corners[:, :2]
    return corners + offsets * np.tile(sides, 2)


def squares(corners: Numbers) -> Numbers:
    """Returns the squares (N,4) of the boxes' longer sides about their centres."""
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    half = np.max(corners[:, 2:] - corners[:, :2], axis=1, keepdims=True) / 2
    return np.hstack((centres - half, centres + half))


def best(boxes: Boxes, groups: NDArray[np.int64], overlap: float) -> NDArray[np.int64]:
    """Returns the rows that non-maximum suppression keeps: within a group of `groups` (N,), greedily by score.

    Suppressed is what overlaps a kept box by more than `overlap` of their union.
    """
    sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
    rectangles = np.hstack((boxes.corners[:, :2], sides))
    order = np.argsort(groups, kind="stable")
    kept = [np.empty(0, np.int64)]
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(rows):
            chosen = cv2.dnn.NMSBoxes(rectangles[rows], boxes.score[rows], 0.0, overlap)  # type: ignore[arg-type]
            kept.append(rows[np.asarray(chosen, np.int64).reshape(-1)])
    return np.concatenate(kept)


def without_nested(boxes: Boxes, overlap: float) -> NDArray[np.int64]:
    """Returns the rows left, by falling score, without those that share more than `overlap` of the smaller box's area
    with a kept box of the same photo.
    """
    kept: list[int] = []
    areas = np.prod(boxes.corners[:, 2:] - boxes.corners[:, :2], axis=1)
    for row in np.argsort(-boxes.score, kind="stable"):
        others = np.array([k for k in kept if boxes.photo[k] == boxes.photo[row]], np.int64)
        near, far = boxes.corners[others], boxes.corners[row]
        common = np.minimum(near[:, 2:], far[2:]) - np.maximum(near[:, :2], far[:2])
        shared = np.prod(np.maximum(common, 0), axis=1)
        if (shared <= overlap * np.minimum(areas[others], areas[row])).all():
            kept.append(int(row))
    return np.array(kept, np.int64)


def patches(photos: Sequence[Pixels], boxes: Boxes, side: int) -> tuple[Pixels, Numbers]:
    """Returns the pixels (N,side,side,3) of square boxes, and the squares (N,4) that they show.

    Those are rounded to whole pixels of the photo: what is found must be counted from them. Large ones are averaged
    over areas; what lies beyond the photo is grey.
    """
    corners = np.rint(boxes.corners[:, :2]).astype(int)
    sides = np.maximum(1, np.rint(boxes.corners[:, 2] - boxes.corners[:, 0])).astype(int)
    cut = np.empty((len(sides), side, side, 3), np.uint8)
    for row, (photo, (left, top), length) in enumerate(zip(boxes.photo, corners.tolist(), sides.tolist(), strict=True)):
        method = cv2.INTER_AREA if length > side else cv2.INTER_LINEAR
        cv2.resize(_square(photos[photo], left, top, length), (side, side), dst=cut[row], interpolation=method)
    return cut, np.hstack((corners, corners + sides[:, None])).astype(np.float64)


def _square(photo: Pixels, left: int, top: int, length: int) -> Pixels:
    inside = photo[max(0, top) : max(0, top + length), max(0, left) : max(0, left + length)]
    if inside.shape[:2] == (length, length):
        return inside
    square = np.full((length, length, 3), GREY, np.uint8)
    y, x = max(0, -top), max(0, -left)
    square[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return square
