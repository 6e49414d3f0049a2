"""How well photos of known people are grouped, beside what people do now; and what grouping costs in time and memory.

    python -m benchmarks.grouping --people lfw --model_path F
    python -m benchmarks.grouping --people train --number 600 --rates 3e-3,1e-3,3e-4 --model_path F
    python -m benchmarks.grouping --scale

The first judges, at the cuts of the embedder's card; the second is for choosing, on people who judge nothing.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.memory_estimate import peak_memory
from utils.settings import UserError, run_script

if TYPE_CHECKING:
    from utils.grouping import Basis

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Settings:
    """Scores of the groups of labelled photos; or time and memory on made-up embeddings."""

    people: str = ""  # a folder of people, crops or photos; those with two photos or more are grouped
    model_path: str = ""  # embedder, with a calibration in its card
    save_dir: str = "audit"  # where embeddings are remembered
    rates: str = ""  # instead of the methods' own: false-accept rates of the cut, by commas
    number: int = 0  # of the people, drawn at random; 0: all
    few: bool = False  # of each person two photos or some more at random, 3 at the mean, as in LFW
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
    from utils.backend import start_keras

    paths, people = labelled(settings)
    start_keras()
    from utils.cached_embeddings import embeddings_of
    from utils.embedder import Embedder
    from utils.grouping import Basis

    embedder = Embedder.load(settings.model_path)
    embedder.crop_photos("auto")
    embeddings = embeddings_of(embedder, paths, Path(settings.save_dir)).astype(np.float32)
    print(f"{len(paths):,} photos of {people.max() + 1:,} people")
    print(f"{'':36}{'B-cubed P, R, F':^21}{'pairwise P, R, F':^21}{'groups':>7}")
    for name, way in ways(Basis.of(embedder), len(paths), settings).items():
        show_row(name, way(embeddings), people)


def labelled(settings: Settings) -> tuple[list[str], Array]:
    """Returns the photos (N) of people with two or more, and who is on each (N,)."""
    from utils.people_folder import PeopleFolder

    several = [(person, photos) for person, photos in PeopleFolder(settings.people) if len(photos) > 1]
    rng = np.random.default_rng(1)
    if settings.number:
        several = [several[row] for row in rng.permutation(len(several))[: settings.number]]
    if settings.few:
        several = [(person, rng.permutation(photos)[: 1 + rng.geometric(0.45)].tolist()) for person, photos in several]
    paths = [str(Path(settings.people, person, photo)) for person, photos in several for photo in photos]
    return paths, np.repeat(np.arange(len(several)), [len(photos) for _, photos in several])


def ways(basis: "Basis", photos: int, settings: Settings) -> dict[str, Callable[[Array], Array]]:
    """Returns name -> embeddings (N,D) -> labels (N,)."""
    from utils.clustering import METHODS
    from utils.grouping import usual_rate

    found = {}
    for method in METHODS:
        for rate in [float(text) for text in settings.rates.split(",") if text] or [usual_rate(method, photos)]:
            cut, _ = basis.cut(rate)
            found[f"{method}, {rate:.1e}: {cut:.3f}"] = grouped(cut, method)
    if settings.rates:
        return found
    return found | {
        "DBSCAN, Euclidean 0.6": dbscan(0.6),
        "DBSCAN, squared 0.6": dbscan(0.6**0.5),
        "HDBSCAN, scikit-learn": hdbscan,
        "each photo alone": lambda vectors: np.full(len(vectors), -1),
    }


def show_row(name: str, labels: Array, people: Array) -> None:
    """Prints the scores of labels (N,)."""
    from utils.cluster_scores import b_cubed, pairwise

    scores = "".join(
        f"{s.precision:7.3f}{s.recall:7.3f}{s.f:7.3f}" for s in (b_cubed(labels, people), pairwise(labels, people))
    )
    print(f"{name:36}{scores}{labels.max() + 1:7,}", flush=True)


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
    """Prints the processor's seconds (all cores) and memory of piles: people with ten photos each at the mean."""
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
        began = time.process_time()
        edges = neighbours(unit(vectors), cut, NEAREST, "comparing")
        middle = time.process_time()
        labels = METHODS[method].join(unit(vectors), edges, cut)
        end, peak = time.process_time(), tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        process = peak_memory() / 1e6
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
