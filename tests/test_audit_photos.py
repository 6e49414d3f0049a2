"""Findings on photos from facts alone: which copy goes, and what is said of photos that give no image."""

import io
from pathlib import Path

import numpy as np
import pytest

from utils.annotations import read_annotations
from utils.audit_photos import Auditor, Limits
from utils.findings import Findings
from utils.inspection import FACTS

LIMITS = Limits(min_images=2, min_side=50, sharpness=-1, dark=-1, overexposed=300, grey=-1)


def auditor_of(folder: Path, labels: list[int], pictures: list[int]) -> Auditor:
    """Photos of these pictures under these labels, which rise from 0; picture 0 gives no image."""
    (folder / "a.txt").write_text("".join(f"{label};{label}/{row}.png\n" for row, label in enumerate(labels)))
    facts, known = np.zeros(len(labels), FACTS), np.array(pictures) > 0
    facts["look"] = np.random.default_rng(0).integers(0, 2**64, (9, 2), dtype=np.uint64)[pictures]
    facts["pixels"] = facts["look"]
    facts["width"], facts["height"] = 100 * known, 80 * known
    return Auditor(read_annotations(folder / "a.txt"), facts, Findings(io.StringIO(), top=9))


@pytest.mark.parametrize(
    ("labels", "pictures", "own", "two_labels", "copies"),
    [
        ([0, 0, 1, 1], [1, 2, 1, 3], [0.9, 0.2, 0.3, 0.2], [0], []),
        ([0, 0, 1, 1], [1, 2, 1, 3], [0.3, 0.2, 0.9, 0.2], [2], []),
        ([0, 0, 1, 1], [1, 2, 1, 3], [np.nan, 0.2, 0.3, 0.2], [0], []),
        ([0, 0, 1, 1], [1, 2, 1, 3], [np.nan, 0.2, np.nan, 0.2], [0, 2], []),  # nobody can say
        ([0, 0, 1, 1], [1, 2, 1, 3], None, [0, 2], []),
        ([0, 0, 1, 1], [1, 1, 1, 3], [0.1, 0.1, 0.9, 0.2], [2], [1]),
    ],
)
def test_of_one_picture_under_two_labels_the_nearer_stays(
    tmp_path: Path, labels: list[int], pictures: list[int], own: list[float] | None, two_labels: list[int],
    copies: list[int],
) -> None:  # fmt: skip
    auditor = auditor_of(tmp_path, labels, pictures)
    auditor.duplicates(None if own is None else np.array(own))
    assert auditor.findings.drops["two_labels"] == two_labels
    assert auditor.findings.drops["exact_duplicate"] == copies


def test_photos_that_give_no_image_are_neither_tiny_nor_counted(tmp_path: Path) -> None:
    auditor = auditor_of(tmp_path, [0, 0, 1, 1], [1, 0, 2, 3])
    auditor.facts["height"][3] = 49
    auditor.quality(LIMITS)
    auditor.few_images(LIMITS)
    assert auditor.findings.drops["tiny"] == [3]
    assert [(finding.person, finding.score) for finding in auditor.findings.worst("few_images")] == [("0", 1)]
    assert auditor.findings.counts["few_images"] == 1


def test_where_nobody_looked_for_a_face_none_is_missed(tmp_path: Path) -> None:
    auditor = auditor_of(tmp_path, [0, 0, 1, 1], [1, 2, 3, 4])
    auditor.faceless(np.array([-1, 0, 1, 2]), None)
    assert auditor.findings.drops["faceless"] == [1]
