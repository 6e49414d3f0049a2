"""Small square pictures of faces."""

import numpy as np
from numpy.typing import NDArray

from utils.images import Pixels, fit_image

MARGIN = 0.25  # of a face's longer side, around it


def thumbnail(photo: Pixels, box: NDArray[np.float32], side: int) -> Pixels:
    """Returns a face with some of what is around it, uint8 `(side, side, 3)`; all of the photo where the box is NaN.

    Args:
        box: left, top, right, bottom in pixels of the photo.
        side: pixels.
    """
    if np.isnan(box).any():
        return fit_image(photo, (side, side))
    half, centre = (0.5 + MARGIN) * float((box[2:] - box[:2]).max()), (box[:2] + box[2:]) / 2
    height, width = photo.shape[:2]
    corners = np.concatenate([centre - half, centre + half]) / (width, height, width, height)
    left, top, right, bottom = corners.tolist()
    return fit_image(photo, (side, side), (left, top, right, bottom))
