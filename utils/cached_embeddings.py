"""Embeddings of many photos, remembered between runs."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from utils.image_cache import ImageCache, image_keys

if TYPE_CHECKING:
    from utils.embedder import Embedder

CHUNK = 10_000  # photos between two writings of the cache


def embeddings_of(embedder: "Embedder", paths: Sequence[str], folder: Path) -> NDArray[np.float16]:
    """Returns (N,D) of readable photos, cut by the embedder's cropper; those known are in a cache in `folder`.

    Raises ImageError for a photo that cannot be read.
    """
    cache, keys = embedding_cache(embedder, folder), image_keys(paths)
    at = cache.find(keys)
    embeddings = np.zeros((len(paths), embedder.network.output_shape[1]), np.float16)
    embeddings[at >= 0] = cache.rows[at[at >= 0]]
    missing = np.flatnonzero(at < 0)
    for first in range(0, len(missing), CHUNK):
        rows = missing[first : first + CHUNK]
        done = f"embedding, {first + len(rows):,} of {len(missing):,}"
        embeddings[rows] = embedder.embed_files([paths[row] for row in rows.tolist()], progress=done)
        cache.add(keys[rows], embeddings[rows])
    return embeddings


def embedding_cache(embedder: "Embedder", folder: Path) -> ImageCache:
    """Returns the cache of these weights, and of what the embedder cuts out of the same photos."""
    cut = f"{embedder.cropper.describe()}{embedder.cut}".encode()
    name = f"embeddings-{embedder.card['sha256'][:16]}-{zlib.crc32(cut):08x}.npz"
    return ImageCache(folder / name, np.float16, (embedder.network.output_shape[1],))
