"""What a gallery of a million people costs: writing, reading, searching exactly and with FAISS.

    python -m benchmarks.gallery --photos 1000000

The vectors are made up: people are drawn at random, their photos lie about them as far as a good embedder's do.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from utils.settings import run_script


@dataclass(frozen=True)
class Settings:
    """Makes a gallery and times what is done with it."""

    photos: int = 1_000_000  # one a person
    size: int = 128  # numbers of a vector
    queries: int = 200  # each another photo of somebody
    noise: float = 0.5  # length of what a photo adds to a person
    file: bool = True  # write and read the SQLite file too
    faiss: bool = False  # compare with FAISS's lists


def main(settings: Settings) -> None:
    from utils.gallery_search import NeighbourLists, nearest
    from utils.identities import unit

    rng = np.random.default_rng(0)
    people = unit(rng.standard_normal((settings.photos, settings.size), dtype=np.float32))
    own = rng.integers(0, settings.photos, settings.queries)
    queries = unit(people[own] + settings.noise * unit(rng.standard_normal((settings.queries, settings.size))))
    if settings.file:
        time_file(people)
    one, began = [], time.process_time()
    for row in range(20):
        one.append(seconds(partial(nearest, queries[row : row + 1], people, 5)))
    busy = (time.process_time() - began) / len(one)
    print(f"one query of {settings.photos:,}: {np.median(one) * 1e3:,.1f} ms at the median of 20,")
    print(f"  {min(one) * 1e3:,.1f} at best; {busy * 1e3:,.1f} ms of the cores' time")
    many = seconds(lambda: nearest(queries, people, 5))
    print(f"{settings.queries} queries together: {many / settings.queries * 1e3:,.1f} ms each")
    if settings.faiss:
        began = time.perf_counter()
        lists = NeighbourLists(people)
        print(f"FAISS: {time.perf_counter() - began:,.1f} s to build")
        took = seconds(lambda: lists.nearest(queries, 5))
        alone = np.median([seconds(partial(lists.nearest, queries[row : row + 1], 5)) for row in range(20)])
        found = np.mean(lists.nearest(queries, 1)[0] == nearest(queries, people, 1)[0])
        print(
            f"FAISS: {alone * 1e3:,.1f} ms a query, {took / settings.queries * 1e3:,.2f} ms of many; {found:.1%} found"
        )


def time_file(people: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> None:
    """Prints what writing and reading the SQLite file takes."""
    from utils.gallery import Gallery
    from utils.stores import Origin

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.db"
        with Gallery.create(path, Origin("a" * 64, people.shape[1], "none", "")) as gallery:
            began = time.perf_counter()
            for first in range(0, len(people), 512):  # as enrolments are written
                with gallery.batch():
                    for row in range(first, min(first + 512, len(people))):
                        gallery.enroll(f"person {row}", people[row : row + 1], [f"/photos/person {row}/1.jpg"])
            took = time.perf_counter() - began
            print(f"written: {len(people):,} in {took:,.1f} s, {took / len(people) * 1e6:,.0f} us each")
        print(f"file: {path.stat().st_size / 1e6:,.0f} MB")
        with Gallery.open(path) as gallery:
            print(f"read, templates made: {seconds(gallery.templates):,.1f} s")
            removing = seconds(lambda: gallery.remove(["person 7"]))
            print(f"one person removed, the file rewritten: {removing:,.1f} s")


def seconds(work: Callable[[], object]) -> float:
    """Returns how long the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    run_script(main, Settings)
