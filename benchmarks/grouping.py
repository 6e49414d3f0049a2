"""How well photos of known people are grouped, beside what people do now; and what grouping costs in time and memory.

    python -m benchmarks.grouping --people lfw --model_path F
    python -m benchmarks.grouping --scale

Nothing is chosen by these figures: the cut comes from the embedder's card.
"""

import resource
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.settings import UserError, run_script

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Settings:
    """Scores of the groups of labelled photos; or time and memory on made-up embeddings."""

    people: str = ""  # a folder of people, crops or photos; those with two photos or more are grouped
    model_path: str = ""  # embedder, with a calibration in its card
    save_dir: str = "audit"  # where embeddings are remembered
    scale: bool = False  # instead: time and memory
    photos: int = 200_000  # of the made-up pile, at most
    method: str = "average"  # for --scale


def main(settings: Settings) -> None:
    if settings.scale:
        show_scale(settings.photos, settings.method)
    elif settings.people and settings.model_path:
        show_scores(settings)
    else:
        raise UserError("--people with --model_path, or --scale")


def show_scores(settings: Settings) -> None:
    """Prints B-cubed and pairwise scores of each way to group."""
    from utils.annotations import PeopleFolder
    from utils.backend import start_keras

    paths = [
        (person, str(Path(settings.people, person, photo)))
        for person, photos in PeopleFolder(settings.people)
        for photo in photos
        if len(photos) > 1
    ]
    people = np.unique([person for person, _ in paths], return_inverse=True)[1]
    start_keras()
    from utils.cached_embeddings import embeddings_of
    from utils.embedder import Embedder
    from utils.grouping import Basis, usual_rate

    embedder = Embedder.load(settings.model_path)
    embedder.crop_photos("auto")
    embeddings = embeddings_of(embedder, [path for _, path in paths], Path(settings.save_dir)).astype(np.float32)
    basis = Basis.of(embedder)
    ways = {}
    for method in ("average", "chinese_whispers"):
        cut, words = basis.cut(usual_rate(method, len(paths)))
        ways[f"{method}, cut {cut:.3f}"] = grouped(cut, method)
        print(f"{method}: {words}")
    ways |= {
        "DBSCAN, Euclidean 0.6": dbscan(0.6),
        "DBSCAN, squared 0.6": dbscan(0.6**0.5),
        "HDBSCAN, scikit-learn": hdbscan,
        "each photo alone": lambda vectors: np.full(len(vectors), -1),
    }
    print(f"{len(paths):,} photos of {people.max() + 1:,} people\n")
    print(f"{'':30}{'B-cubed P, R, F':^21}{'pairwise P, R, F':^21}{'groups':>7}")
    for name, way in ways.items():
        show_row(name, way(embeddings), people)


def show_row(name: str, labels: Array, people: Array) -> None:
    """Prints the scores of labels (N,)."""
    from utils.cluster_scores import b_cubed, pairwise

    scores = "".join(
        f"{s.precision:7.3f}{s.recall:7.3f}{s.f:7.3f}" for s in (b_cubed(labels, people), pairwise(labels, people))
    )
    print(f"{name:30}{scores}{labels.max() + 1:7,}", flush=True)


def grouped(cut: float, method: str) -> Callable[[Array], Array]:
    """Returns our way: embeddings (N,D) -> labels (N,)."""
    from utils.clustering import group

    return lambda vectors: group(vectors, cut, method)


def dbscan(eps: float) -> Callable[[Array], Array]:
    """Returns scikit-learn's DBSCAN at a Euclidean distance, of two photos or more."""
    from sklearn.cluster import DBSCAN

    return lambda vectors: DBSCAN(eps=eps, min_samples=2, metric="euclidean").fit_predict(vectors)


def hdbscan(vectors: Array) -> Array:
    """Returns the labels of scikit-learn's HDBSCAN, of two photos or more; it takes a table of all pairs."""
    from sklearn.cluster import HDBSCAN

    return np.asarray(HDBSCAN(min_cluster_size=2, algorithm="brute", copy=True).fit_predict(vectors))


def show_scale(most: int, method: str) -> None:
    """Prints seconds and memory of piles of growing size: people with ten photos each at the mean."""
    from utils.cluster_scores import b_cubed
    from utils.clustering import METHODS, NEAREST, neighbours
    from utils.identities import unit

    print(f"{'photos':>9}{'neighbours':>12}{'grouping':>10}{'arrays':>10}{'process':>10}{'pairs':>14}{'B-cubed F':>11}")
    for photos in (most // 8, most // 4, most // 2, most):
        rng = np.random.default_rng(0)
        people = rng.integers(0, photos // 10, photos)
        vectors = made_up(people, rng)
        cut = 0.95  # same person 0.67 at the mean, strangers 2
        tracemalloc.start()
        began = time.perf_counter()
        edges = neighbours(unit(vectors), cut, NEAREST, "comparing")
        middle = time.perf_counter()
        labels = METHODS[method].join(unit(vectors), edges, cut)
        end, peak = time.perf_counter(), tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        times = f"{photos:9,}{middle - began:10.1f} s{end - middle:8.1f} s"
        print(
            f"{times}{peak / 1e6:7.0f} MB{process:7.0f} MB{len(edges.first):14,}{b_cubed(labels, people).f:11.4f}",
            flush=True,
        )


def made_up(people: Array, rng: np.random.Generator) -> Array:
    """Returns float16 (N,128) of unit length: a vector a person, and half as much scatter around it."""
    from utils.identities import unit

    centres = unit(rng.standard_normal((people.max() + 1, 128), np.float32))
    found = np.empty((len(people), 128), np.float16)
    for first in range(0, len(people), 1 << 16):
        part = people[first : first + (1 << 16)]
        scatter = rng.standard_normal((len(part), 128), np.float32) / 16
        found[first : first + len(part)] = unit(centres[part] + scatter)
    return found


if __name__ == "__main__":
    run_script(main, Settings)
