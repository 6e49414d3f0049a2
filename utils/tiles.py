"""Pyramids of many photos, of any sizes, on tiles of one size: a network compiled for that shape sees them all."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from utils.images import GREY, Pixels

TILE = 256  # pixels, square


class Piece(NamedTuple):
    """A part of a level of a photo's pyramid, and where it lies; all pixels are even numbers."""

    photo: int
    level: int
    scale: tuple[float, float]  # pixels of the level per pixel of the photo, along x and y
    corner: tuple[int, int]  # x, y in the level
    size: tuple[int, int]  # width, height
    tile: int = 0
    place: tuple[int, int] = (0, 0)  # x, y in the tile


def tiled(
    photos: Sequence[Pixels], first_scales: Sequence[float], factor: float, window: int
) -> tuple[Pixels, list[Piece]]:
    """Returns tiles (N,TILE,TILE,3), and the pieces that lie on them without touching each other's pixels.

    The levels of a photo have the scales s, s * factor, ... (s of `first_scales`), down to `window` pixels. Where a
    level is larger than a tile, its pieces overlap, so that each window at an even x and y is whole in one of them.
    """
    pieces, pixels = [], []
    for number, (photo, scale) in enumerate(zip(photos, first_scales, strict=True)):
        for level, image in enumerate(_pyramid(photo, scale, factor, window)):
            height, width = image.shape[:2]
            for x in _starts(width, window):
                for y in _starts(height, window):
                    part = image[y : y + TILE, x : x + TILE]
                    scales = width / photo.shape[1], height / photo.shape[0]
                    pieces.append(Piece(number, level, scales, (x, y), (part.shape[1], part.shape[0])))
                    pixels.append(part)
    pieces = _packed(pieces)
    tiles = np.full((max((piece.tile for piece in pieces), default=-1) + 1, TILE, TILE, 3), GREY, np.uint8)
    for piece, part in zip(pieces, pixels, strict=True):
        (x, y), (width, height) = piece.place, piece.size
        tiles[piece.tile, y : y + height, x : x + width] = part
    return tiles, pieces


def _pyramid(photo: Pixels, scale: float, factor: float, window: int) -> list[Pixels]:
    """Returns the levels; sides are rounded to even pixels, which keeps every window on the network's grid of two."""
    levels: list[Pixels] = []
    height, width = photo.shape[:2]
    while min(height, width) * scale >= window:
        size = (2 * round(width * scale / 2), 2 * round(height * scale / 2))
        source = levels[-2] if len(levels) > 1 else photo  # half the side: its pixels are averages already
        levels.append(cv2.resize(source, size, interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
        scale *= factor
    return levels


def _starts(length: int, window: int) -> range:
    """Returns where pieces of at most TILE pixels begin, so that they hold all windows at even places, each once."""
    return range(0, max(1, length - window + 2), TILE - window + 2)


class _Shelf:
    """A strip across a tile, filled from the left."""

    def __init__(self, tile: int, top: int):
        self.tile, self.top, self.filled = tile, top, 0


def _packed(pieces: list[Piece]) -> list[Piece]:
    """Returns the pieces with their places: the highest first, each on the first shelf that has room (first fit)."""
    placed, shelves = list(pieces), list[_Shelf]()
    free: list[int] = []  # rows of each tile that no shelf has taken
    for index in sorted(range(len(pieces)), key=lambda index: -pieces[index].size[1]):
        width, height = pieces[index].size
        shelf = next((shelf for shelf in shelves if shelf.filled + width <= TILE), None)
        if shelf is None:
            tile = next((tile for tile, rows in enumerate(free) if rows >= height), len(free))
            free += [TILE] if tile == len(free) else []
            shelf = _Shelf(tile, TILE - free[tile])
            shelves.append(shelf)
            free[tile] -= height
        placed[index] = pieces[index]._replace(tile=shelf.tile, place=(shelf.filled, shelf.top))
        shelf.filled += width
    return placed
