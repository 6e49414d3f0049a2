"""From findings to a cleaned annotation file: what is left out, and the labels counted anew."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from utils.annotations import Annotations, people_path
from utils.duplicates import groups
from utils.files import written_whole
from utils.findings import KINDS, Findings
from utils.settings import UserError


def clean(
    annotations: Annotations, findings: Findings, kinds: Sequence[str], min_images: int
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Returns (labels (N,), counts): each photo's new label before counting anew, -1 where it is left out.

    Photos are left out kind by kind, in the order of KINDS; `counts` says how many each left out first ("same_person":
    how many people were joined with another; "few_images": the photos of people with fewer than `min_images` then).
    """
    labels = annotations.labels.astype(np.int64)
    counts: dict[str, int] = {}
    for kind in (kind for kind in KINDS if kind in kinds and kind not in ("same_person", "few_images")):
        dropped = np.zeros(len(labels), bool)
        dropped[findings.drops[kind]] = True
        dropped |= np.isin(annotations.labels, findings.drop_labels[kind])
        counts[kind] = int(np.count_nonzero(dropped & (labels >= 0)))
        labels[dropped] = -1
    if "same_person" in kinds:
        pairs = np.array(findings.same, np.int64).reshape(-1, 2)
        root = groups(annotations.number_of_people, pairs[:, 0], pairs[:, 1])
        counts["same_person"] = int(np.count_nonzero(root != np.arange(len(root))))
        labels[labels >= 0] = root[labels[labels >= 0]]
    if "few_images" in kinds:
        photos = np.bincount(labels[labels >= 0], minlength=annotations.number_of_people)
        few = (labels >= 0) & (photos[labels] < min_images)
        counts["few_images"] = int(np.count_nonzero(few))
        labels[few] = -1
    return labels, counts


def write_cleaned(path: str | Path, annotations: Annotations, labels: NDArray[np.int64]) -> tuple[int, int]:
    """Writes the photos whose label (N,) is not -1, people counted from 0 without gaps, and their names beside it.

    Paths stay as they are where the file lies beside the old one, else relative ones become absolute. Returns how many
    people and photos there are; raises UserError, with nothing written, for fewer than two people.
    """
    people, fresh = np.unique(labels[labels >= 0], return_inverse=True)
    if len(people) < 2:
        raise UserError(f"{path}: {len(people)} people would be left; two or more are expected; apply fewer kinds")
    beside = os.path.dirname(os.path.abspath(path)) == annotations.folder
    rows = np.flatnonzero(labels >= 0)
    order = np.argsort(fresh, kind="stable")
    with (
        written_whole(people_path(path)) as names_path,
        written_whole(path) as text_path,
        open(text_path, "wb") as text,
        open(names_path, "wb") as names,
    ):
        for row, label in zip(rows[order].tolist(), fresh[order].tolist(), strict=True):
            photo = annotations.paths[row] if beside else annotations.path(row)
            text.write(os.fsencode(f"{label};{photo}\n"))
        names.write(os.fsencode("".join(f"{annotations.people[person]}\n" for person in people.tolist())))
    return len(people), len(rows)
