"""How many faces a detector sees in each of many photos, remembered between runs."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from utils.image_cache import ImageCache, image_keys
from utils.images import Pixels, read_image

DETECTED = 64  # photos that the detector gets at once
SAVE_EVERY = 5_000  # photos
TIGHT = 256  # pixels: a smaller photo gets a border, in which a face that fills it is found more often
FACES = np.dtype([("faces", "<i4")])


def count_faces(
    paths: Sequence[str], cache_path: str | Path, detect: Callable[[list[Pixels]], Iterable[Sequence[Any]]]
) -> NDArray[np.int32]:
    """Returns (N,): how many faces `detect` sees in each readable photo; what the cache holds is not looked at again.

    The cache is written as the work goes on. Raises ImageError for a photo that cannot be read.
    """
    cache, keys = ImageCache(cache_path, FACES), image_keys(paths)
    at = cache.find(keys)
    counts = np.full(len(paths), -1, np.int32)
    counts[at >= 0] = cache.rows["faces"][at[at >= 0]]
    missing = np.flatnonzero(at < 0)
    with ThreadPoolExecutor() as pool, tqdm(total=len(missing), desc="detecting", unit=" images") as bar:
        for first in range(0, len(missing), SAVE_EVERY):
            part = missing[first : first + SAVE_EVERY]
            for start in range(0, len(part), DETECTED):
                rows = part[start : start + DETECTED]
                photos = list(pool.map(lambda row: _bordered(read_image(paths[row])), rows.tolist()))
                counts[rows] = [len(faces) for faces in detect(photos)]
                bar.update(len(rows))
            cache.add(keys[part], counts[part].astype(FACES))
    return counts


def _bordered(image: Pixels) -> Pixels:
    """Returns a small photo (H,W,3) with a grey border of a quarter of its side, others as they are."""
    side = min(image.shape[:2])
    if side >= TIGHT:
        return image
    return np.pad(image, ((side // 4, side // 4), (side // 4, side // 4), (0, 0)), constant_values=128)
