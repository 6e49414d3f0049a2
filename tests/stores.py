"""What tests of stores of people share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from utils.stores import Origin, Store

SIZE = 16
ORIGIN = Origin("a" * 64, SIZE, "none", "embedder.keras")


def vectors(number: int, seed: int = 0, size: int = SIZE) -> NDArray[np.float32]:
    """Returns (number, size) of unit length, drawn at random."""
    drawn = np.random.default_rng(seed).standard_normal((number, size)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def enrolled(store: Store, people: Sequence[str] = ("ann", "bob", "cid"), photos: int = 3) -> NDArray[np.float32]:
    """Enrolls photos for each of the people, and returns their vectors (P, photos, D)."""
    made = vectors(len(people) * photos).reshape(len(people), photos, -1)
    for person, some in zip(people, made, strict=True):
        store.enroll(person, some, [f"{person}/{number}.jpg" for number in range(photos)])
    return made
