"""What a photo says of itself, from one decoding: fingerprints of bytes, pixels and look; size, sharpness, light."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from utils.image_cache import ImageCache, image_keys
from utils.images import ImageError, Pixels, read_bytes, read_image
from utils.terminal import progress_bar

FACTS = np.dtype(
    [
        ("file", "<u8", 2),  # the first half of the bytes' SHA-256
        ("pixels", "<u8", 2),  # the same of width, height and pixels
        ("look", "<u8", 2),  # perceptual hash, difference hash
        ("width", "<i4"),  # pixels; 0 where the file gives no image
        ("height", "<i4"),
        ("sharpness", "<f4"),  # variance of the Laplacian
        ("brightness", "<f4"),  # 0..255
        ("colour", "<f4"),  # 0..255: mean of the largest less the smallest channel
    ]
)
VIEW = 112  # pixels, square: the size at which sharpness and brightness are measured
CENTRE = slice(VIEW // 4, VIEW - VIEW // 4)  # where the face is: neither black borders nor a soft background count
SMALL = 32  # pixels, square: what the perceptual hash and the colour see
FLAT = 2.0  # standard deviation of 0..255 below which there is nothing but noise
BLOCK = 64  # images handed to a thread at once
SAVE_EVERY = 50_000  # images

_COSINES = 2 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(SMALL)[None] + 1) / (2 * SMALL))  # DCT-II


def inspect(paths: Sequence[str], cache_path: str | os.PathLike[str]) -> tuple[NDArray[Any], dict[int, str]]:
    """Returns (facts, errors): FACTS (N,) of each photo, in order, and row -> why a photo could not be read.

    What the cache holds is not read again; it is written as the work goes on.
    """
    cache, keys = ImageCache(cache_path, FACTS), image_keys(progress_bar(paths, desc="looking for files", leave=False))
    facts, at = np.zeros(len(paths), FACTS), cache.find(keys)
    facts[at >= 0] = cache.rows[at[at >= 0]]
    missing, errors = np.flatnonzero(at < 0), dict[int, str]()
    with progress_bar(total=len(missing), desc="reading", unit=" images") as bar:
        for first in range(0, len(missing), SAVE_EVERY):
            part = missing[first : first + SAVE_EVERY]
            for row, found in _read(paths, part):
                bar.update()
                if isinstance(found, str):
                    errors[row] = found
                else:
                    facts[row] = found
            read = part[facts["width"][part] > 0]
            cache.add(keys[read], facts[read])
    return facts, errors


def _read(paths: Sequence[str], rows: NDArray[Any]) -> Iterator[tuple[int, tuple[Any, ...] | str]]:
    """Yields each of these rows of `paths` with the photo's FACTS, or why it cannot be read; threads read ahead."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the photos are spread over threads, not the rows of one
    try:
        with ThreadPoolExecutor() as pool:
            blocks = [rows[i : i + BLOCK].tolist() for i in range(0, len(rows), BLOCK)]
            facts = pool.map(lambda block: [_facts(paths[row]) for row in block], blocks)
            for block, found in zip(blocks, facts, strict=True):
                yield from zip(block, found, strict=True)
    finally:
        cv2.setNumThreads(threads)


def _facts(path: str) -> tuple[Any, ...] | str:
    """Returns the photo's FACTS, or why it cannot be read."""
    try:
        image = read_image(path)
        digest = hashlib.sha256(read_bytes(path)).digest()
    except ImageError as error:
        return str(error)
    return (np.frombuffer(digest, "<u8")[:2], *facts_of(image))


def facts_of(image: Pixels) -> tuple[Any, ...]:
    """Returns the FACTS of an image (H,W,3) but the first."""
    height, width = image.shape[:2]
    shape = f"{width}x{height}".encode()
    pixels = np.frombuffer(hashlib.sha256(shape + image.tobytes()).digest(), "<u8")[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    view = cv2.resize(grey, (VIEW, VIEW), interpolation=cv2.INTER_AREA)
    sharpness = cv2.meanStdDev(cv2.Laplacian(view, cv2.CV_32F)[CENTRE, CENTRE])[1].item() ** 2
    brightness = cv2.mean(view[CENTRE, CENTRE])[0]
    small = cv2.resize(image, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    colour = float(np.mean(small.max(axis=2) - small.min(axis=2)))
    look = (perceptual_hash(image), difference_hash(image))
    return pixels, look, width, height, sharpness, brightness, colour


def perceptual_hash(image: Pixels) -> int:
    """Returns 64 bits: which of the 8x8 lowest frequencies lie above their median (ImageHash's `phash`, to the bit)."""
    small = np.asarray(_grey(image, SMALL, SMALL), np.float64)
    low = _COSINES @ small @ _COSINES.T
    return _packed(low > np.median(low))


def difference_hash(image: Pixels) -> int:
    """Returns 64 bits: which of 8x8 neighbours grow brighter to the right (ImageHash's `dhash`)."""
    small = np.asarray(_grey(image, 9, 8))
    return _packed(small[:, 1:] > small[:, :-1])


def _grey(image: Pixels, width: int, height: int) -> Image.Image:
    return Image.fromarray(image).convert("L").resize((width, height), Image.Resampling.LANCZOS)


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(image: Pixels) -> Pixels:
    """Returns (64,64), grey: what `same_picture` compares."""
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (64, 64), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def same_picture(one: Pixels, other: Pixels) -> float:
    """Returns the correlation (-1..1) of the middles of two thumbnails (64,64), at the best of shifts up to 4 pixels.

    Perceptual hashes alone take two faces cut out alike, on black, for one picture. 0 where there is nothing to see.
    """
    middle = one[14:50, 14:50]
    if middle.std() < FLAT or other[14:50, 14:50].std() < FLAT:
        return 0.0
    return float(cv2.matchTemplate(other[10:54, 10:54], middle, cv2.TM_CCOEFF_NORMED).max())
