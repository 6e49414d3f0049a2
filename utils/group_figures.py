"""Groups of people at one common threshold: how many of their own they find, how many strangers they let in.

Which groups there are is the user's choice (a CSV of people). A group's false accepts are those between two of its own
people: the strangers that a person is mistaken for mostly look like them. Nothing is said of a group too small for it.
"""

import csv
import math
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.bootstrap import opened
from utils.reliability import DIFFERENT, PeoplePairs, people_pairs
from utils.settings import UserError, nearest
from utils.terminal import say

FEWEST_PEOPLE = 30  # with two photos; the intervals of fewer are too narrow, and too wide to be of use
FEWEST_ACCEPTS = 10  # false accepts to be expected, on which a rate rests
PAIRS = (5_000, 300_000)  # same and different, of each group
REPLICATES = 500


class Share(NamedTuple):
    """A share with its 95% interval; NaN where the group is too small to say."""

    value: float
    low: float
    high: float


class GroupFigures(NamedTuple):
    """What one group comes to at the common threshold."""

    name: str
    people: int
    able: int  # people with two photos or more
    photos: int
    val: Share  # of the group's same pairs
    far: Share  # of the pairs of two of the group's people


def read_groups(path: str | os.PathLike[str], people: list[str]) -> dict[str, NDArray[np.str_]]:
    """Returns column -> (P,) the group of each of `people`, "" where the table does not say it.

    The CSV's first line names the columns; `person` is who it is about, each other column is a way to part people.
    Raises UserError for a file that cannot be read, or has no such columns, or names a person twice or nobody at all.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows, columns = list(reader), list(reader.fieldnames or ())
    except UnicodeDecodeError as error:
        raise UserError(f'{path} is not in UTF-8: it is to be saved as "CSV UTF-8"') from error
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the groups in {path}: {error}") from error
    if "person" not in columns or len(columns) < 2:
        found = ", ".join(columns) or "nothing"
        other = any(mark in found for mark in ";\t")
        hint = ", with commas between" if other else nearest("person", columns)
        raise UserError(f"{path}: the first line names {found}{hint}; 'person,group' is expected")
    places: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row["person"] in places:
            raise UserError(f"{path} names '{row['person']}' twice")
        places[row["person"]] = number
    if not set(places) & set(people):
        raise UserError(
            f"{path} names {len(places):,} people, none of whom is measured; names are those of the folders"
        )
    if others := sorted(set(places) - set(people)):
        say(f"{path}: {len(others):,} of {len(places):,} names are of nobody who is measured, as '{others[0]}'")
    named = [rows[places[person]] if person in places else {} for person in people]
    return {column: np.array([row.get(column) or "" for row in named]) for column in columns if column != "person"}


def group_figures(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.str_],
    threshold: float,
    seed: int = 0,
) -> list[GroupFigures]:
    """Returns the figures of each group, by name: embeddings (N,D), labels (N,) 0..P-1, groups (P,), "" is none."""
    found = []
    for name in np.unique(groups[groups != ""]).tolist():
        rows = groups[labels] == name
        who = labels[rows]
        counts = np.unique(who, return_counts=True)[1]
        people, able = len(counts), int((counts > 1).sum())
        if able and people > 1:
            val, far = _shares(people_pairs(embeddings[rows], who, PAIRS, seed), threshold, able, seed)
        else:
            val = far = Share(math.nan, math.nan, math.nan)
        found.append(GroupFigures(name, people, able, len(who), val, far))
    return found


def check_far(labels: NDArray[np.integer], far: float) -> None:
    """Raises UserError where photos with these labels (M,) make too few pairs to show that false-accept rate."""
    counts = np.unique(labels, return_counts=True)[1].astype(np.int64)
    different = min((len(labels) ** 2 - int((counts**2).sum())) // 2, DIFFERENT)
    if different * far < FEWEST_ACCEPTS:
        raise UserError(
            f"{different:,} different pairs do not show a false-accept rate of {far:g}; take a larger --far"
        )


def common_threshold(embeddings: NDArray[np.floating], labels: NDArray[np.integer], far: float, seed: int = 0) -> float:
    """Returns the threshold with that false-accept rate among all people; raises UserError as `check_far`."""
    check_far(labels, far)
    pairs = people_pairs(embeddings, labels, seed=seed)
    others = np.sort(pairs.distances[~pairs.same])
    return float(others[int(len(others) * far)])


def _shares(pairs: PeoplePairs, threshold: float, able: int, seed: int) -> tuple[Share, Share]:
    """Returns (VAL, FAR) of a group's pairs; people are drawn again for the intervals, as in utils/bootstrap.py."""
    unknown = Share(math.nan, math.nan, math.nan)
    if able < FEWEST_PEOPLE:
        return unknown, unknown
    accepted = pairs.distances < threshold
    _, index = np.unique(pairs.people, return_inverse=True)
    first, second = index.reshape(-1, 2).T
    random, number = np.random.default_rng(seed), int(index.max()) + 1
    drawn: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(REPLICATES):
        times = np.bincount(random.integers(number, size=number), minlength=number).astype(np.float64)
        weights = np.where(pairs.same, times[first], times[first] * times[second])
        for kind, shares in drawn.items():
            of_kind = pairs.same == kind
            if weights[of_kind].any():
                shares.append(float(np.average(accepted[of_kind], weights=weights[of_kind])))
    independent = {True: able, False: number // 2}  # people with two photos; pairs of people that share nobody
    val, far = (_share(accepted[pairs.same == kind], drawn[kind], independent[kind]) for kind in (True, False))
    # at this group's own rate, and at the common one where it is lower, there must be some to count
    return val, far if np.count_nonzero(accepted & ~pairs.same) >= FEWEST_ACCEPTS else Share(
        math.nan, far.low, far.high
    )


def _share(accepted: NDArray[np.bool_], drawn: list[float], independent: int) -> Share:
    """Returns a share with the interval of its replicates; where they cannot differ, the rule of three."""
    value = float(accepted.mean())
    low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
    if value in (0.0, 1.0):
        low, high = opened((value, value), independent)
    return Share(value, low, high)


def group_table(column: str, rows: list[GroupFigures]) -> list[str]:
    """Returns a column's groups as lines of at most 80 columns."""
    lines = [f"{column[:18]:<18}{'people':>7}  {'VAL':<25}{'FAR within the group'}"]
    for row in rows:
        if math.isnan(row.val.value):
            few = f"too small to say: {row.able} people with two photos"
            lines.append(f"{row.name[:18]:<18}{row.people:>7}  {few}")
            continue
        val = f"{row.val.value:.3f} [{row.val.low:.3f} .. {row.val.high:.3f}]"
        far = f"{row.far.value:.1e} [{row.far.low:.0e} .. {row.far.high:.0e}]"
        if math.isnan(row.far.value):
            far = f"too few; under {row.far.high:.0e}"
        lines.append(f"{row.name[:18]:<18}{row.people:>7}  {val:<25}{far}")
    return lines


def as_json(row: GroupFigures) -> dict[str, Any]:
    """Returns a group's figures for a JSON report, which knows no NaN."""
    shares = {name: [None if math.isnan(end) else end for end in getattr(row, name)] for name in ("val", "far")}
    return row._asdict() | shares
