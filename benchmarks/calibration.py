"""How far calibrations reach: thresholds from few people tried on everybody, probabilities tried on other photos.

    python -m benchmarks.calibration --embeddings train.npz --others lfw.npz --folder lfw

Embeddings: .npz with `paths` (N,), <person>/<photo> at their end, and `embeddings` (N,D). Nothing here is told to
calibrate.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.settings import run_script

Array = np.ndarray[Any, np.dtype[Any]]
RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
EDGES = np.linspace(0, 4, 200_001)  # of the histogram of all distances
ROWS = 1000  # photos compared with all others at once


@dataclass(frozen=True)
class Settings:
    """Tries thresholds on the people they were not measured on, and probabilities on other photos."""

    embeddings: str = "train.npz"  # paths and embeddings
    people: int = 240  # that a threshold is measured on
    draws: int = 12  # of so many people, nobody in two
    photos: int = 16_000  # of everybody, that thresholds are tried on
    others: str = ""  # embeddings of other photos, by the same embedder; empty: none
    pairs: str = "model_data/lfw_pairs.txt"  # of the others
    folder: str = "lfw"  # where the photos of the pairs are
    calibrated: int = 505  # people behind the calibration that is tried on others


def main(settings: Settings) -> None:
    """Prints asked and true false-accept rates, then the calibration error elsewhere."""
    paths, embeddings = read(settings.embeddings)
    people = np.unique([path.split("/")[-2] for path in paths], return_inverse=True)[1]
    tails(settings, embeddings, people)
    if settings.others:
        transfer(settings, embeddings, people)


def read(path: str) -> tuple[list[str], Array]:
    """Returns paths and embeddings of unit length."""
    from utils.identities import unit

    with np.load(path, allow_pickle=False) as stored:
        return stored["paths"].tolist(), unit(stored["embeddings"])


def tails(settings: Settings, embeddings: Array, people: Array) -> None:
    """Prints, for each rate, which one its thresholds have among photos of everybody."""
    from utils.reliability import calibrated

    rng = np.random.default_rng(1)
    order = rng.permutation(people.max() + 1)
    share = shares(embeddings, people, rng.permutation(len(people))[: settings.photos])
    true: dict[float, list[float]] = {rate: [] for rate in RATES}
    for draw in range(settings.draws):
        mine = np.isin(people, order[draw * settings.people : (draw + 1) * settings.people])
        calibration = calibrated(embeddings[mine], people[mine])
        for rate, found in true.items():
            found.append(float(np.interp(calibration.distance_at(rate), EDGES[1:], share)))
    print(f"{settings.people} people, measured down to {calibration.finest_rate:.1e}; asked, and true among everybody:")
    for rate, found in true.items():
        print(f"{rate:.0e}   median {np.median(found):.1e}   {min(found):.1e} .. {max(found):.1e}")


def shares(embeddings: Array, people: Array, rows: Array) -> Array:
    """Returns the share of strangers below each of EDGES but the first."""
    counts = np.zeros(len(EDGES) - 1)
    for first in range(0, len(rows), ROWS):
        part = rows[first : first + ROWS]
        distances = np.clip(2 - 2 * (embeddings[part] @ embeddings[rows].T), 0, 4)
        counts += np.histogram(distances[people[part][:, None] != people[rows][None]], EDGES)[0]
    return np.asarray(np.cumsum(counts) / counts.sum())


def transfer(settings: Settings, embeddings: Array, people: Array) -> None:
    """Prints the calibration error on other photos, of both methods."""
    from utils.metrics import squared_distances
    from utils.pairs import read_pairs
    from utils.reliability import METHODS, PeoplePairs, calibrated, reliability

    chosen = np.isin(people, np.random.default_rng(0).permutation(people.max() + 1)[: settings.calibrated])
    pairs = read_pairs(settings.pairs, settings.folder, False)
    paths, others = read(settings.others)
    places = {"/".join(Path(path).parts[-2:]): place for place, path in enumerate(paths)}
    rows = np.array([places["/".join(Path(str(image)).parts[-2:])] for image in pairs.images])
    distances = squared_distances(others[rows[pairs.first]], others[rows[pairs.second]])
    for method in METHODS:
        predicted = calibrated(embeddings[chosen], people[chosen], method).probability(distances)
        found = reliability(predicted, PeoplePairs(distances, pairs.same, pairs.people_of_pairs()))
        print(f"{method} on {len(rows):,} other photos: ECE {found.ece:.4f} [{found.interval[0]:.4f} ..", end=" ")
        print(f"{found.interval[1]:.4f}]; of {np.count_nonzero(predicted > 0.95):,} pairs said to be over 95%", end=" ")
        print(f"{pairs.same[predicted > 0.95].mean():.1%} are, over 50% {pairs.same[predicted > 0.5].mean():.1%}")


if __name__ == "__main__":
    run_script(main, Settings)
