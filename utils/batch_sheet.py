"""A picture of a batch as the loader gives it and, below each image, as the network is shown it in training."""

import os

import numpy as np
from matplotlib.figure import Figure

from utils.files import written_whole

COLUMNS = 8  # images in a row
ROWS = 4  # of images before, each with one of images after below it
DOTS_PER_INCH = 100
GAP = 4  # pixels between images
LEFT, TOP = 44, 26  # pixels for words


def batch_sheet(path: str | os.PathLike[str], before: np.ndarray, after: np.ndarray, title: str = "") -> None:
    """Writes the picture of the batch's first 32 images, whole or not at all; its format is that of the suffix.

    before, after: (B,H,W,3), 0..255, the same images in the same order. A pixel of theirs is a pixel of the picture.
    Raises ValueError where the two differ in shape.
    """
    both = [np.clip(np.rint(np.asarray(images)), 0, 255).astype(np.uint8) for images in (before, after)]
    if both[0].shape != both[1].shape:
        raise ValueError(f"a batch before and after has one shape; received {both[0].shape} and {both[1].shape}")
    rows = [
        (word, _row(images[start : min(start + COLUMNS, COLUMNS * ROWS)], gap))
        for start in range(0, min(len(before), COLUMNS * ROWS), COLUMNS)
        for word, images, gap in (("before", both[0], GAP), ("after", both[1], 3 * GAP))
    ]
    sheet = np.concatenate([row for _, row in rows])
    height, width = sheet.shape[0] + TOP, sheet.shape[1] + LEFT
    figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    axes = figure.add_axes((LEFT / width, 0, 1 - LEFT / width, 1 - TOP / height))
    axes.imshow(sheet, interpolation="none", aspect="auto")
    axes.set_axis_off()
    below = 0
    for word, row in rows:
        axes.text(-GAP, below + both[0].shape[1] / 2, word, ha="right", va="center", fontsize=8)
        below += len(row)
    axes.set_title(title, fontsize=9, pad=6, parse_math=False)
    with written_whole(path) as temporary:
        figure.savefig(temporary)


def _row(images: np.ndarray, gap: int) -> np.ndarray:
    """Returns the images side by side, with `gap` white pixels below."""
    height, width = images.shape[1:3]
    row = np.full((height + gap, COLUMNS * (width + GAP), 3), 255, np.uint8)
    for column, image in enumerate(images):
        row[:height, column * (width + GAP) :][:, :width] = image
    return row
