"""How far probabilities can be trusted: Platt or isotonic, chosen and measured on people that neither was fitted to."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.calibration import FEWEST, Calibration, Method, Numbers, even_weights
from utils.metrics import check_finite, squared_distances
from utils.random_pairs import random_pairs
from utils.settings import UserError

FOLDS = 5  # of people
BINS = 15  # of probabilities, equally wide (Guo et al. 2017, arXiv:1706.04599)
SAME, DIFFERENT = 20_000, 1_000_000  # pairs that a calibration is fitted to, at most
SCORED = 5  # different pairs a same one, among those that are scored
RIGHT_ONES = 200  # samples drawn as if the probabilities were right
BLOCK = 1 << 16  # pairs whose distances are computed at once
METHODS: tuple[Method, ...] = ("platt", "isotonic")


class PeoplePairs(NamedTuple):
    """N pairs drawn from photos of people."""

    distances: Numbers  # (N,)
    same: NDArray[np.bool_]  # (N,)
    people: NDArray[np.int64]  # (N,2): who is on either


class Reliability(NamedTuple):
    """What a calibration's probabilities came to, on pairs of people it had not seen."""

    predicted: Numbers  # (N,) probabilities
    pairs: PeoplePairs
    ece: float  # expected calibration error, at even odds: mean distance of a bin's probability to its share of same
    interval: tuple[float, float]  # 95%, people drawn again
    log_loss: float  # mean, in nats, at even odds


def people_pairs(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.integer],
    most: tuple[int, int] = (SAME, DIFFERENT),
    seed: int = 0,
) -> PeoplePairs:
    """Draws pairs of photos, embeddings (M,D) and labels (M,): at most `most` same and different ones.

    Raises UserError where there are no pairs of one kind, or vectors that are not numbers.
    """
    check_finite(embeddings)
    counts = np.unique(labels, return_counts=True)[1].astype(np.int64)
    same = int((counts * (counts - 1) // 2).sum())
    different = len(labels) * (len(labels) - 1) // 2 - same
    if not same or not different:
        raise UserError(
            f"{len(labels):,} photos of {len(counts):,} people: two people, one with two photos, are needed"
        )
    same, different = min(same, most[0]), min(different, most[1])
    first, second, is_same = random_pairs(labels, same + different, same / (same + different), seed)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(first), BLOCK)]
    distances = [squared_distances(embeddings[first[block]], embeddings[second[block]]) for block in blocks]
    return PeoplePairs(
        np.concatenate(distances), is_same, np.stack((labels[first], labels[second]), axis=1).astype(np.int64)
    )


def reliability(predicted: Numbers, pairs: PeoplePairs, replicates: int = 500, seed: int = 0) -> Reliability:
    """Compares probabilities (N,) with what the pairs are.

    The error of a finite sample is never 0, and that of a replicate lies as far above the sample's as that above the
    true one: the interval is mirrored about the sample's for that (Efron and Tibshirani 1993, "basic" bootstrap), and
    reaches as far up as replicates scatter. It begins at 0 where probabilities that are right give as large an error
    in one sample of twenty (Broecker and Smith 2007, "Increasing the Reliability of Reliability Diagrams").
    """
    weights = even_weights(pairs.same)
    clipped = np.clip(predicted, 1e-12, 1 - 1e-12)
    loss = -np.sum(weights * np.log(np.where(pairs.same, clipped, 1 - clipped)))
    error = calibration_error(predicted, pairs.same, weights)
    _, index = np.unique(pairs.people, return_inverse=True)
    first, second = index.reshape(-1, 2).T
    random, number, found = np.random.default_rng(seed), int(index.max()) + 1, []
    for _ in range(replicates):
        drawn = np.bincount(random.integers(number, size=number), minlength=number)
        times = np.where(pairs.same, drawn[first], drawn[first] * drawn[second])
        if times[pairs.same].any() and times[~pairs.same].any():
            found.append(calibration_error(predicted, pairs.same, _evened(times.astype(np.float64), pairs.same)))
    low, middle, high = np.quantile(found, (0.025, 0.5, 0.975)) if found else (0.0, 1.0, 2.0)
    least = 0.0 if error <= _error_of_right_ones(predicted, pairs.same, random) else max(0.0, 2 * error - high)
    interval = float(min(error, least)), float(max(2 * error - low, error + high - middle))
    return Reliability(predicted, pairs, error, interval, float(loss))


def _error_of_right_ones(predicted: Numbers, same: NDArray[np.bool_], random: np.random.Generator) -> float:
    """Returns the calibration error that one sample of twenty exceeds, were the probabilities (N,) right."""
    prior = same.mean()  # probabilities are at even odds, the pairs are not
    chance = predicted * prior / (predicted * prior + (1 - predicted) * (1 - prior))
    errors = []
    for _ in range(RIGHT_ONES):
        drawn = random.random(len(chance)) < chance
        if drawn.any() and not drawn.all():
            errors.append(calibration_error(predicted, drawn, even_weights(drawn)))
    return float(np.quantile(errors, 0.95)) if errors else 0.0


def calibration_error(predicted: Numbers, same: NDArray[np.bool_], weights: Numbers) -> float:
    """Returns the expected calibration error of N pairs; weights (N,) sum to 1."""
    mass, mean, share = bins(predicted, same, weights)
    return float(np.sum(mass * np.abs(mean - share)))


def bins(predicted: Numbers, same: NDArray[np.bool_], weights: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Returns (mass, mean probability, share of same pairs) of each bin that has mass; probability 1 is in the last."""
    place = np.minimum((predicted * BINS).astype(int), BINS - 1)
    parts = [np.bincount(place, each, BINS) for each in (weights, weights * predicted, weights * same)]
    mass, chance, true = np.array(parts, np.float64)
    there = mass > 0
    return mass[there], chance[there] / mass[there], true[there] / mass[there]


def calibrated(
    embeddings: NDArray[np.floating], labels: NDArray[np.integer], method: Method = "isotonic", **about: Any
) -> Calibration:
    """Returns the calibration of photos of people that the embedder has not seen: embeddings (M,D), labels (M,).

    `about` goes into the card beside it: data, date, flip. Raises UserError where there are too few pairs.
    """
    pairs = people_pairs(embeddings, labels)
    fitted = Calibration.fit(pairs.distances, pairs.same, len(np.unique(labels)), method)
    return dataclasses.replace(fitted, about=about)


def check_people(labels: NDArray[np.integer]) -> None:
    """Raises UserError where the photos with these labels (M,) are of too few people to measure a calibration."""
    counts = np.unique(labels, return_counts=True)[1]
    people, able = len(counts), np.count_nonzero(counts > 1)
    if people < 2 * FOLDS:
        raise UserError(f"{people} people: {2 * FOLDS} at least are needed to measure a calibration")
    if able < FOLDS:
        raise UserError(f"{able} of {people} people have two photos: {FOLDS} at least are needed, one a fifth of them")


def cross_validated(
    embeddings: NDArray[np.floating], labels: NDArray[np.integer], seed: int = 0
) -> dict[Method, Reliability]:
    """Returns method -> its reliability: each fold of people is scored by what the others were fitted to.

    Raises UserError where there are too few people for that.
    """
    check_people(labels)
    people = _dealt(labels, seed)
    parts: list[PeoplePairs] = []
    predicted: dict[Method, list[Numbers]] = {method: [] for method in METHODS}
    for fold in range(FOLDS):
        scored = np.isin(labels, people[fold::FOLDS])
        rest = people_pairs(embeddings[~scored], labels[~scored], (SAME, 10 * SAME), seed)
        fewest = min(np.count_nonzero(rest.same), np.count_nonzero(~rest.same))
        if fewest < FEWEST:
            raise UserError(
                f"four fifths of the people have {fewest} pairs of a kind: to measure a calibration, fitted to them"
                f" and scored on the last fifth, {FEWEST} are needed"
            )
        parts.append(people_pairs(embeddings[scored], labels[scored], (SAME // FOLDS, SCORED * SAME // FOLDS), seed))
        for method in METHODS:
            fitted = Calibration.fit(rest.distances, rest.same, len(people), method)
            predicted[method].append(fitted.probability(parts[-1].distances))
    pairs = PeoplePairs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return {method: reliability(np.concatenate(found), pairs) for method, found in predicted.items()}


def _dealt(labels: NDArray[np.integer], seed: int) -> NDArray[np.integer]:
    """Returns the people in the order in which they are dealt into folds: first those with two photos or more."""
    people, counts = np.unique(labels, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(people))
    return people[order[np.argsort(counts[order] < 2, kind="stable")]]


def _evened(times: Numbers, same: NDArray[np.bool_]) -> Numbers:
    """Returns weights (N,) of pairs that count so many times; each kind weighs a half."""
    mine, others = times[same].sum(), times[~same].sum()
    return times * np.where(same, 0.5 / mine, 0.5 / others)
