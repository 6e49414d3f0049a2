"""Identification, measured: who is this among the enrolled, and is it nobody? CMC, rank-1, DIR at an FPIR.

Figures are those of Phillips, Grother and Micheals ("Evaluation Methods in Face Recognition", Handbook of Face
Recognition, 2011) and NIST's FRVT 1:N. A probe is given the nearest person's name where that distance is below the
threshold. FPIR: share of strangers' probes that are given a name. DIR: share of the enrolled people's probes that are
given their own. CMC: share of the enrolled people's probes whose own person is among the k nearest, however far.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.bootstrap import opened
from utils.metrics import check_finite
from utils.settings import UserError

Numbers = NDArray[np.float64]

FPIRS = (1e-1, 1e-2)
RANKS = 20  # of the CMC
BLOCK = 1 << 24  # products in memory at once


class Searches(NamedTuple):
    """What Q probes found among the enrolled; who is on a probe is a number, -1 for a stranger."""

    person: NDArray[np.int64]  # (Q,) the enrolled person who is on the probe, or -1
    nearest: NDArray[np.int64]  # (Q,) the person who was nearest
    distance: Numbers  # (Q,) squared distance to that person
    own: Numbers  # (Q,) to the probe's own person; NaN for strangers
    rank: NDArray[np.int64]  # (Q,) 1: the own person is the nearest; 0 for strangers

    @property
    def known(self) -> NDArray[np.bool_]:
        """(Q,): whether the person on the probe is enrolled."""
        return self.person >= 0


class Split(NamedTuple):
    """Photos of one labelled set, parted; rows of it."""

    gallery: NDArray[np.int64]
    probes: NDArray[np.int64]
    strangers: NDArray[np.int64]  # people (labels) who are not enrolled


def split(labels: NDArray[np.integer], strangers: float, enrolled: int, seed: int = 0) -> Split:
    """Parts photos (N,) of people into those enrolled, and probes of the same people and of strangers.

    Args:
        strangers: share of the people with two photos or more who are not enrolled; who has one photo never is.
        enrolled: photos of each other person that are enrolled, one at least left as a probe; 0: half of them.

    Raises UserError where nobody would be enrolled, or nobody a stranger.
    """
    people, counts = np.unique(labels, return_counts=True)
    random = np.random.default_rng(seed)
    able = random.permutation(people[counts > 1])
    unknown = np.concatenate((people[counts == 1], able[: round(strangers * len(able))]))
    if not 0 < len(unknown) < len(people):
        raise UserError(
            f"{len(people):,} people, {len(able):,} with two photos or more, cannot be parted into people to enrol and"
            f" strangers (a share of {strangers:g} of those with two)"
        )
    order = random.permutation(len(labels))  # of a person's photos, which are enrolled
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.concatenate(([0], np.cumsum(counts)))[:-1]
    place = np.arange(len(order)) - np.repeat(starts, counts)
    take = np.where(counts > 1, np.minimum(enrolled or counts // 2, counts - 1), 0)
    take[np.isin(people, unknown)] = 0
    inside = place < np.repeat(take, counts)
    return Split(np.sort(order[inside]), np.sort(order[~inside]), np.sort(unknown))


def search(
    probes: NDArray[np.floating],
    person: NDArray[np.integer],
    templates: NDArray[np.floating],
    whose: NDArray[np.integer],
    corrected: Callable[[Numbers], Numbers] | None = None,
) -> Searches:
    """Compares probes (Q,D) with templates (T,D), of unit length; whose (T,), rising from 0: each one's person.

    A person with several templates is as far as the nearest of them. person (Q,): who is on each probe, -1 a stranger.
    Of people equally far the first is the nearer one. `corrected` makes of squared distances (.,T) those that count
    (utils/templates.py). Raises UserError for vectors that are not numbers.
    """
    check_finite(probes, templates)
    starts = np.flatnonzero(np.diff(whose, prepend=-1))
    step = max(1, BLOCK // max(1, len(templates)))
    found = []
    for first in range(0, len(probes), step):
        products = np.asarray(probes[first : first + step], np.float32) @ np.asarray(templates, np.float32).T
        distances = np.clip(2 - 2 * products.astype(np.float64), 0, 4)
        distances = np.minimum.reduceat(corrected(distances) if corrected else distances, starts, axis=1)
        here, own = np.arange(len(distances)), np.asarray(person[first : first + step], np.int64)
        to_own = np.where(own >= 0, distances[here, own], np.nan)
        nearest = distances.argmin(axis=1)
        nearer = distances < to_own[:, None]
        nearer |= (distances == to_own[:, None]) & (np.arange(distances.shape[1]) < own[:, None])  # as nearest names
        rank = np.where(own >= 0, 1 + nearer.sum(axis=1), 0)
        found.append((own, nearest, distances[here, nearest], to_own, rank))
    return Searches(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def cmc(found: Searches, weights: Numbers | None = None, ranks: int = RANKS) -> Numbers:
    """Returns (ranks,): the share of known probes whose own person is among the 1, 2, … nearest."""
    counts = np.bincount(found.rank[found.known], _of(found.known, weights), ranks + 1)[1 : ranks + 1]
    return np.cumsum(counts) / _of(found.known, weights).sum()


def threshold_at(found: Searches, fpir: float, weights: Numbers | None = None) -> float:
    """Returns the largest threshold at which at most that share of strangers is given a name; NaN where too few.

    That is a distance of a stranger's probe: below it names are given.
    """
    strangers, counted = found.distance[~found.known], _of(~found.known, weights)
    if np.count_nonzero(~found.known) * fpir < 1 - 1e-9 or not counted.any():
        return float("nan")  # not even one may be named: any figure would be an accident
    order = np.argsort(strangers, kind="stable")
    order = order[counted[order] > 0]
    accepted = np.cumsum(counted[order])
    place = int(np.searchsorted(accepted, fpir * accepted[-1] + 1e-9, side="right"))
    return float(strangers[order[min(place, len(order) - 1)]])


def dir_at(found: Searches, threshold: float, weights: Numbers | None = None) -> float:
    """Returns the share of known probes that are given their own name below a threshold."""
    named = (found.rank == 1) & (found.distance < threshold)
    return float(np.average(named[found.known], weights=_of(found.known, weights)))


def fpir_at(found: Searches, threshold: float, weights: Numbers | None = None) -> float:
    """Returns the share of strangers' probes that are given a name below a threshold."""
    return float(np.average(found.distance[~found.known] < threshold, weights=_of(~found.known, weights)))


def figures(found: Searches, weights: Numbers | None = None) -> dict[str, float]:
    """Returns rank_1, rank_5, and dir_<fpir> and threshold_<fpir> for each of FPIRS (NaN: too few strangers)."""
    curve = cmc(found, weights)
    values = {"rank_1": float(curve[0]), "rank_5": float(curve[4])}
    for fpir in FPIRS:
        threshold = threshold_at(found, fpir, weights)
        values[f"dir_{fpir:g}"] = float("nan") if np.isnan(threshold) else dir_at(found, threshold, weights)
        values[f"threshold_{fpir:g}"] = threshold
    return values


def intervals(
    found: Searches, people: NDArray[np.integer], replicates: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Returns 95% intervals of the figures: people (Q,), who is on the probes, are drawn again; the enrolled stay.

    A share of 0 or 1 comes out of every draw: its other end is the rule of three over the known people.
    """
    _, index = np.unique(people, return_inverse=True)
    random, number = np.random.default_rng(seed), int(index.max()) + 1
    drawn: dict[str, list[float]] = {}
    for _ in range(replicates):
        weights = np.bincount(random.integers(number, size=number), minlength=number)[index].astype(np.float64)
        if not weights[found.known].any() or not weights[~found.known].any():
            continue
        for name, value in figures(found, weights).items():
            drawn.setdefault(name, []).append(value)
    ends = {name: np.quantile(values, (0.025, 0.975)) for name, values in drawn.items()}
    known = len(np.unique(people[found.known]))
    return {
        name: (float(low), float(high)) if name.startswith("threshold") else opened((float(low), float(high)), known)
        for name, (low, high) in ends.items()
        if np.isfinite(low)
    }


def _of(kind: NDArray[np.bool_], weights: Numbers | None) -> Numbers:
    """Returns the weights of a kind of probes; 1 each where there are none."""
    return np.ones(np.count_nonzero(kind)) if weights is None else weights[kind]
