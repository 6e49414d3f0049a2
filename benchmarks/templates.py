"""Kinds of templates on real people: who is named rightly, and how many strangers are named, against what was promised.

    python -m benchmarks.templates --embeddings train.npz --folder faces

The people of a set are cut into those whose pairs make the calibration, those enrolled, and strangers. Embeddings: .npz
with `paths` (N,), <person>/<photo> at their end, and `embeddings` (N,D). Nothing here is told to identify.py.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.settings import run_script

Array = np.ndarray[Any, np.dtype[Any]]
CALIBRATING, ENROLLED = 0.5, 0.35  # shares of the people; the rest are strangers
OF_PHOTOS = (1, 2, 3, 5)  # in a mean, for the spread of strangers' cosines
AS_NEAR = (1e-2, 1e-3, 1e-4)  # shares of single photos of strangers


@dataclass(frozen=True)
class Settings:
    """Enrolls people, searches for their other photos and for strangers."""

    embeddings: str = "train.npz"  # paths and embeddings
    folder: str = ""  # what the paths are relative to, for the photos' quality; empty: no template by quality
    photos: int = 3  # of a person that are enrolled
    uneven: bool = False  # of each person 1 to so many photos, drawn
    far: float = 0.01  # share of strangers who may be given a name
    seeds: int = 3  # ways to cut the people


def main(settings: Settings) -> None:
    """Prints a line a kind of template, and a line a number of photos in a mean: figures are means over the seeds."""
    from utils.identities import unit

    with np.load(settings.embeddings, allow_pickle=False) as stored:
        paths, embeddings = stored["paths"].tolist(), unit(stored["embeddings"].astype(np.float32))
    people = np.unique([path.split("/")[-2] for path in paths], return_inverse=True)[1]
    kinds = (
        ("mean, not corrected", "mean", "quality", "all") if settings.folder else ("mean, not corrected", "mean", "all")
    )
    found: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in kinds}
    for seed in range(settings.seeds):
        for kind, figures in measure(settings, paths, embeddings, people, seed).items():
            found[kind].append(figures)
    print(f"{'template':<22}{'rank 1':>8}{'named':>8}{'strangers':>11}{f'named, were {settings.far:g} of them':>30}")
    for kind, rows in found.items():
        rank, named, strangers, fixed = np.mean(rows, axis=0)
        print(f"{kind:<22}{rank:>8.3f}{named:>8.3f}{strangers:>11.4f}{fixed:>30.3f}")
    print(
        f"\n{'photos in a mean':<18}{'spread':>8}   strangers as near as {', '.join(f'{share:g}' for share in AS_NEAR)}"
    )
    for photos, (spread, *times) in zip(OF_PHOTOS, spreads(embeddings, people, settings.seeds), strict=True):
        print(f"{photos:<18}{spread:>8.4f}   {', '.join(f'{more:.2f}' for more in times)} times as many")


def spreads(embeddings: Array, people: Array, seeds: int) -> Array:
    """Returns a row a number of photos in a mean (OF_PHOTOS), of people with more photos than any of them has.

    The standard deviation of strangers' corrected cosines to it, and how many times as many of them are as near as
    shares of single photos (AS_NEAR) are.
    """
    from utils.templates import as_between_photos, templates

    enough = np.flatnonzero(np.bincount(people) > max(OF_PHOTOS))
    found = np.empty((seeds, len(OF_PHOTOS), 1 + len(AS_NEAR)))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(enough)[:1000]
        photos = [rng.permutation(np.flatnonzero(people == person)) for person in chosen]
        queries = rng.permutation(len(people))[:5000]
        differ = people[queries][:, None] != chosen
        single = 2 - 2 * embeddings[queries] @ embeddings[[some[0] for some in photos]].T
        apart, limits = float(np.median(single[differ])), np.quantile(single[differ], AS_NEAR)
        for column, many in enumerate(OF_PHOTOS):
            rows, owner = np.concatenate([some[:many] for some in photos]), np.repeat(np.arange(len(chosen)), many)
            names = dict.fromkeys(range(len(chosen)), "")
            made = templates(names, owner, embeddings[rows], np.ones(len(rows)), "mean")
            corrected = as_between_photos(2 - 2 * embeddings[queries] @ made.vectors.T, made.lengths, apart)[differ]
            near = [np.mean(corrected <= limit) / share for limit, share in zip(limits, AS_NEAR, strict=True)]
            found[seed, column] = np.std(corrected / 2), *near
    return found.mean(axis=0)


def measure(settings: Settings, paths: list[str], embeddings: Array, people: Array, seed: int) -> dict[str, Any]:
    """Returns kind -> rank 1, share named rightly, share of strangers named, share named rightly at the true rate."""
    from utils.calibration import one_to_many
    from utils.templates import templates

    rng = np.random.default_rng(seed)
    order = rng.permutation(people.max() + 1)
    cuts = np.cumsum([int(CALIBRATING * len(order)), int(ENROLLED * len(order))])
    fitting, enrolled, strangers = (np.flatnonzero(np.isin(people, some)) for some in np.split(order, cuts))
    fitted = calibrated(embeddings[fitting], people[fitting], rng)
    shuffled = rng.permutation(enrolled)
    shuffled = shuffled[np.argsort(people[shuffled], kind="stable")]
    first = np.flatnonzero(np.diff(people[shuffled], prepend=-1))
    place = np.arange(len(shuffled)) - np.repeat(first, np.diff(first, append=len(shuffled)))
    taken = (
        rng.integers(1, settings.photos + 1, len(first)) if settings.uneven else np.full(len(first), settings.photos)
    )
    taken = np.repeat(taken, np.diff(first, append=len(shuffled)))
    gallery, probes = shuffled[place < taken], shuffled[place >= taken]
    weights = qualities(settings, [paths[row] for row in gallery.tolist()])
    names = {person: str(person) for person in set(people[gallery].tolist())}
    figures = {}
    for how in ("mean", "quality", "all") if settings.folder else ("mean", "all"):
        made = templates(names, people[gallery], embeddings[gallery], weights, how)
        owner = np.array(made.names, np.int64)
        threshold = fitted.distance_at(one_to_many(settings.far, len(owner)))
        for corrected in (False, True) if how == "mean" else (True,):
            apart = fitted.distance_at(0.5) if corrected else None
            (rows, near), (_, far) = (nearest_of(embeddings[some], made, apart) for some in (probes, strangers))
            is_right = owner[rows] == people[probes]
            figures[how if corrected else "mean, not corrected"] = (
                np.mean(is_right),
                np.mean(is_right & (near < threshold)),
                np.mean(far < threshold),
                np.mean(is_right & (near < np.quantile(far, settings.far))),
            )
    return figures


def nearest_of(queries: Array, made: Any, strangers: float | None) -> tuple[Array, Array]:
    """Returns rows (Q,) and distances (Q,) of the nearest templates; as identify.py corrects them, where told to."""
    from utils.gallery_search import nearest
    from utils.identification import CANDIDATES
    from utils.templates import as_between_photos

    rows, distances = nearest(queries, made.vectors, CANDIDATES if strangers is not None else 1)
    if strangers is not None:
        distances = as_between_photos(distances, made.lengths[rows], strangers)
    best = np.arange(len(rows)), distances.argmin(axis=1)
    return rows[best], distances[best]


def calibrated(embeddings: Array, people: Array, rng: np.random.Generator) -> Any:
    """Returns the calibration from pairs of photos."""
    from utils.calibration import Calibration
    from utils.metrics import squared_distances

    one, two = rng.integers(0, len(people), (2, 400_000))
    differ = people[one] != people[two]
    order = np.argsort(people, kind="stable")
    same = people[order[:-1]] == people[order[1:]]
    mine = squared_distances(embeddings[order[:-1][same]], embeddings[order[1:][same]])
    others = squared_distances(embeddings[one[differ]], embeddings[two[differ]])
    is_same = np.repeat((True, False), (len(mine), len(others)))
    return Calibration.fit(np.concatenate((mine, others)), is_same, len(np.unique(people)))


def qualities(settings: Settings, paths: list[str]) -> Array:
    """Returns the quality of each photo (N,), 0..1; ones where no folder is given."""
    from utils.images import read_image
    from utils.quality import quality

    if not settings.folder:
        return np.ones(len(paths), np.float32)
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda path: quality(read_image(Path(settings.folder) / path), None).weight, paths)
        return np.array(list(found), np.float32)


if __name__ == "__main__":
    run_script(main, Settings)
