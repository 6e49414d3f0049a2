"""Drawing a head that turns: points in space become pixels, and a light falls on them."""

from types import SimpleNamespace

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (N, 2): x to the right, y down
Colour = tuple[float, ...]  # red, green, blue: 0..255

_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), 1)
_BELL = np.sort(np.random.default_rng(0).standard_normal(256)).astype(np.float32)  # a byte -> a normal deviate


class Canvas:
    """Draws points in halves of the image's width, from its centre, as `view` turns and moves the head.

    `view` has turn, nod (-1..1), roll (radians), scale, shift_x and shift_y (halves of the width). `depth` is how far
    points lie before the axis of the head: what is near moves more when it turns.
    """

    def __init__(self, pixels: NDArray[np.uint8], view: SimpleNamespace):
        self.pixels, self._half = pixels, len(pixels) / 2
        cosine, sine = np.cos(view.roll), np.sin(view.roll)
        grid = 16 * self._half  # OpenCV takes whole numbers, here with 4 bits of a pixel's fraction
        self._matrix = np.array(((cosine, sine), (-sine, cosine))) * view.scale * grid
        self._centre = np.array((view.shift_x + 1, view.shift_y + 1)) * grid
        self._turned = np.array((view.turn, 0.7 * view.nod)) @ self._matrix

    def _place(self, points: Points, depth: float) -> NDArray[np.int32]:
        return np.rint(points @ self._matrix + (self._centre + depth * self._turned)).astype(np.int32)

    def fill(self, points: Points, colour: Colour, depth: float = 0.0) -> None:
        """Fills the polygon."""
        cv2.fillPoly(self.pixels, [self._place(points, depth)], colour, cv2.LINE_AA, 4)

    def stroke(self, points: Points, colour: Colour, width: float, depth: float = 0.0, closed: bool = False) -> None:
        """Draws a line, `width` in 64ths of half the image's width (pixels at 128 px)."""
        pixels = max(1, round(width * self._half / 64))
        cv2.polylines(self.pixels, [self._place(points, depth)], closed, colour, pixels, cv2.LINE_AA, 4)


def ellipse(x: float, y: float, width: float, height: float, tilt: float = 0.0, square: float = 1.0) -> Points:
    """Returns (24, 2) points: half axes `width` and `height`, turned by `tilt`; `square` below 1 makes corners."""
    shape = _CIRCLE if square == 1 else np.sign(_CIRCLE) * np.abs(_CIRCLE) ** square
    shape = shape * np.array((width, height))
    if tilt:
        cosine, sine = np.cos(tilt), np.sin(tilt)
        shape = shape @ np.array(((cosine, sine), (-sine, cosine)))
    return shape + np.array((x, y))


def curve(x: Points, y: Points) -> Points:
    """Returns (N, 2) points of x (N,) and y (N,)."""
    return np.stack((x, y), 1)


def between(above: Points, below: Points) -> Points:
    """Returns the polygon between two lines that both run to the same side."""
    return np.concatenate((above, below[::-1]))


def mix(table: tuple[tuple[int, int, int], ...], share: float) -> Colour:
    """Returns the colour at `share` (0..1) of the way through `table`."""
    at = share * (len(table) - 1)
    return tuple(float(np.interp(at, range(len(table)), channel)) for channel in zip(*table, strict=True))


def shade(colour: Colour, by: float, towards: Colour = (0, 0, 0)) -> Colour:
    """Returns `colour` moved by the share `by` towards another, black unless told."""
    return tuple((1 - by) * c + by * t for c, t in zip(colour, towards, strict=True))


def background(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns (size, size, 3): clouds of colour with a few bars and discs before them."""
    clouds = rng.integers(30, 226, (3, 3, 3), dtype=np.uint8)
    pixels = np.asarray(cv2.resize(clouds, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
    for x, y, radius, *colour in rng.uniform(0, 1, (int(rng.integers(0, 5)), 6)):
        where, paint = (int(x * size), int(y * size)), [255 * c for c in colour]
        if x < 0.5:
            cv2.circle(pixels, where, int(radius * size / 4) + 1, paint, -1, cv2.LINE_AA)
        else:
            cv2.line(pixels, where, where[::-1], paint, int(radius * size / 10) + 1, cv2.LINE_AA)
    return pixels


def photographed(pixels: NDArray[np.uint8], view: SimpleNamespace, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns the image under a slanting, tinted light, slightly out of focus, with a camera's noise.

    `view` has gain, gamma, light (0..1) and its angle (radians), blur (pixels at 128 px), noise (of 255).
    """
    size = len(pixels)
    if view.blur > 0.3:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), view.blur * size / 128), np.uint8)
    tint = rng.uniform(0.92, 1.08, 3) * view.gain * 255
    table = (np.linspace(0, 1, 256)[:, None] ** view.gamma * tint).astype(np.float32)[None]
    bright = cv2.LUT(pixels, table)
    ramp = np.linspace(-view.light, view.light, size, dtype=np.float32)
    across, down = np.float32(np.cos(view.light_angle)), np.float32(np.sin(view.light_angle))
    bright *= (1 + across * ramp[None, :] + down * ramp[:, None])[:, :, None]
    noise = cv2.LUT(rng.integers(0, 256, pixels.shape, dtype=np.uint8), _BELL * np.float32(view.noise))
    return np.asarray(cv2.add(bright, noise, dtype=cv2.CV_8U), np.uint8)  # rounds, and stays within 0..255
