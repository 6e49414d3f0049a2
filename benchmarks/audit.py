"""How well audit.py finds wrong labels planted in a real set, and what its searches cost on a million photos.

    python -m benchmarks.audit --annotation_path cls_train.txt --model_path F
    python -m benchmarks.audit --scale

Precision counts every other photo that is flagged as false, also those that were wrong before; "own noise aside"
leaves out the photos that are flagged (likely or possibly) without any plants. Nothing here is told to the tool.
"""

import os
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
    """Plants wrong labels and looks for them; or measures time and memory on a made-up million."""

    annotation_path: str = "cls_train.txt"  # a real set
    model_path: str = ""  # embedder
    save_dir: str = "audit"  # where embeddings are remembered
    share: float = 0.05  # of the photos that get another random person's label
    seeds: int = 5  # plantings
    alternatives: bool = False  # other scores too, at their best cut
    scale: bool = False  # instead: time and memory of each search
    photos: int = 1_000_000  # of the made-up set
    people: int = 50_000


def plant(labels: Array, people: int, share: float, seed: int) -> tuple[Array, Array]:
    """Returns (labels, planted bool), each (N,): `share` of the photos under another random person's label."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    planted, wrong = labels.copy(), np.zeros(len(labels), bool)
    planted[rows] = (labels[rows] + rng.integers(1, people, len(rows))) % people
    wrong[rows] = True
    return planted, wrong


def flagged(embeddings: Array, labels: Array, people: int) -> tuple[Array, Array]:
    """Returns (likely, possible), each bool (N,): what the tool flags; labels (N,) in any order."""
    from utils.audit_people import mislabelled
    from utils.identities import contrasts

    order = np.argsort(labels, kind="stable")
    found = contrasts(embeddings[order], labels[order], people)
    rows, cuts = mislabelled(found, labels[order])
    likely, possible = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    possible[order[rows]] = True
    likely[order[rows[found.score[rows] >= cuts.likely]]] = True
    return likely, possible


def rates(found: Array, wrong: Array, noise: Array) -> tuple[float, float, float]:
    """Returns (recall, precision, precision with the noise left out) of what was found, each bool (N,)."""
    aside = found & (wrong | ~noise)
    hits = np.count_nonzero(found & wrong)
    return hits / wrong.sum(), hits / max(1, found.sum()), hits / max(1, aside.sum())


def show_planted(embeddings: Array, labels: Array, people: int, settings: Settings) -> None:
    """Prints what is found of the plants, mean and spread over the seeds."""
    likely, noise = flagged(embeddings, labels, people)
    print(f"without plants: {likely.sum():,} likely, {noise.sum() - likely.sum():,} possible of {len(labels):,} photos")
    results = []
    for seed in range(settings.seeds):
        planted, wrong = plant(labels, people, settings.share, seed)
        results.append([rates(found, wrong, noise) for found in flagged(embeddings, planted, people)])
    print(
        f"{settings.share:.0%} planted, {settings.seeds} seeds: {'recall':>14}{'precision':>17}{'own noise aside':>19}"
    )
    means, spreads = np.mean(results, axis=0), np.std(results, axis=0)
    for name, mean, spread in zip(("likely", "likely + possible"), means, spreads, strict=True):
        print(f"{name:18}" + "".join(f"{m:12.3f} +- {s:.3f}" for m, s in zip(mean, spread, strict=True)))


def show_alternatives(embeddings: Array, labels: Array, people: int, settings: Settings) -> None:
    """Prints how well other scores order the photos: average precision, and precision where 9 in 10 are found."""
    from utils.identities import contrasts, unit

    planted, wrong = plant(labels, people, settings.share, seed=0)
    order = np.argsort(planted, kind="stable")
    planted, wrong, vectors = planted[order], wrong[order], unit(embeddings[order])
    without_mean = unit(vectors - vectors.mean(axis=0))
    found, centred = (contrasts(v, planted, people) for v in (vectors, without_mean))
    scores: dict[str, Array] = {
        "own less nearest other": found.score,
        "own centre alone": found.own,
        "their ratio": found.own / np.maximum(found.other, 1e-6),
        "mean taken away: own less other": centred.score,
        "mean taken away: own alone": centred.own,
    }
    print(f"{'score':34}{'average precision':>18}{'precision at recall 0.9':>25}")
    for name, score in scores.items():
        hits = wrong[np.argsort(-np.where(np.isfinite(score), score, -9.0), kind="stable")]
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        at = np.searchsorted(np.cumsum(hits), 0.9 * hits.sum())
        print(f"{name:34}{precision[hits].mean():18.3f}{precision[at]:25.3f}")


def timed(name: str, search: Callable[..., Any], *arguments: Any) -> Any:
    """Runs a search, prints its seconds and the peak of its arrays' memory, and returns what it found."""
    tracemalloc.start()
    began = time.perf_counter()
    result = search(*arguments)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{name:50}{seconds:8.1f} s{peak / 1e6:9.0f} MB", flush=True)
    return result


def show_fingerprints(number: int) -> None:
    """Prints what the search for equal and near fingerprints costs, the worst cases too."""
    from utils.duplicates import first_equal, groups, near_pairs

    rng = np.random.default_rng(0)
    looks = rng.integers(0, 2**64, (number, 2), dtype=np.uint64)
    looks[number // 2 : number // 2 + 1000] = looks[:1000] ^ np.uint64(0b10101)
    crowd = np.zeros((number // 10, 2), np.uint64)
    for _ in range(4):
        bits = np.uint64(1) << rng.integers(0, 64, len(crowd)).astype(np.uint64)
        crowd[np.arange(len(crowd)), rng.integers(0, 2, len(crowd))] ^= bits
    cases = {
        f"{number:,} at random, 1,000 near pairs": looks,
        f"{number:,} equal (black)": np.zeros_like(looks),
        f"a crowd of {len(crowd):,} within 8 bits": crowd,
    }
    timed(f"equal: {number:,}", first_equal, looks)
    for name, words in cases.items():
        one, two, _ = timed(f"near: {name}", near_pairs, words, 10)
        roots = timed("  joined", groups, len(words), one, two)
        print(f"{'':4}{len(one):,} pairs, {np.count_nonzero(np.bincount(roots) > 1):,} groups")


def show_people(number: int, people: int) -> None:
    """Prints what comparing photos and people costs."""
    from utils.identities import alike, contrasts, people_vectors, sums_by_label

    rng = np.random.default_rng(0)
    labels = np.sort(np.concatenate([np.arange(people), rng.integers(0, people, number - people)])).astype(np.int32)
    embeddings = made_up(labels, people, rng)
    found = timed(f"{number:,} photos with {people:,} people", contrasts, embeddings, labels, people)
    print(f"{'':4}{np.count_nonzero(found.score > 0):,} are nearer to somebody else")
    sums = timed("centres", sums_by_label, embeddings, labels, people)
    pairs = timed("people with people", alike, people_vectors(sums, np.bincount(labels, minlength=people)))
    print(f"{'':4}{len(pairs.first):,} pairs kept")


def made_up(labels: Array, people: int, rng: np.random.Generator) -> Array:
    """Returns float16 (N,128): a vector a person, and as much scatter again around it."""
    from utils.identities import unit

    centres = unit(rng.standard_normal((people, 128), np.float32))
    found = np.empty((len(labels), 128), np.float16)
    for first in range(0, len(labels), 1 << 16):
        part = labels[first : first + (1 << 16)]
        found[first : first + len(part)] = unit(
            centres[part] + rng.standard_normal((len(part), 128), np.float32) / 11.3
        )
    return found


def main(settings: Settings) -> None:
    if settings.scale:
        show_fingerprints(settings.photos)
        show_people(settings.photos, settings.people)
        return
    from utils.annotations import read_annotations
    from utils.backend import start_keras
    from utils.cached_embeddings import embeddings_of

    if not settings.model_path:
        raise UserError("--model_path names the embedder that looks for the planted labels; or give --scale")
    annotations = read_annotations(settings.annotation_path)
    start_keras()
    from utils.cropping import recorded_alignment
    from utils.embedder import Embedder

    paths, embedder = [annotations.path(row) for row in range(len(annotations))], Embedder.load(settings.model_path)
    embedder.crop_photos("auto", recorded_alignment(os.path.dirname(paths[0])))
    embeddings = embeddings_of(embedder, paths, Path(settings.save_dir))
    people = annotations.number_of_people
    show_planted(embeddings, annotations.labels, people, settings)
    if settings.alternatives:
        show_alternatives(embeddings, annotations.labels, people, settings)


if __name__ == "__main__":
    run_script(main, Settings)
