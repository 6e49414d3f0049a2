"""People out of a store into a file that other programs read: JSON, or NumPy's .npz (without pickle)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.files import write_json, written_whole
from utils.settings import UserError
from utils.stores import Origin, Photo

KINDS = (".json", ".npz")


def write_people(path: str, origin: Origin, photos: Iterable[Photo]) -> int:
    """Writes photos whole or not at all, readable for the user alone, and returns how many.

    Raises UserError for a suffix that is not in KINDS.

    JSON: embedder, people (name, photos: source, weight, embedding). NPZ: names, sources, weights (N,), embeddings
    (N,D), sha256.
    """
    if Path(path).suffix not in KINDS:
        raise UserError(f"'{path}' must end in {' or '.join(KINDS)}")
    rows = list(photos)
    if path.endswith(".npz"):
        with written_whole(path, private=True) as temporary:
            np.savez(
                temporary,
                names=np.array([row.person for row in rows], np.str_),
                sources=np.array([row.source for row in rows], np.str_),
                weights=np.array([row.weight for row in rows], np.float32),
                embeddings=np.array([row.vector for row in rows], np.float32).reshape(len(rows), origin.size),
                sha256=np.array(origin.sha256),
            )
        return len(rows)
    people: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        entry = {"source": row.source, "weight": round(row.weight, 4), "embedding": row.vector.tolist()}
        people.setdefault(row.person, []).append(entry)
    listed = [{"name": name, "photos": entries} for name, entries in people.items()]
    write_json(path, {"embedder": origin._asdict(), "people": listed}, private=True)
    return len(rows)
