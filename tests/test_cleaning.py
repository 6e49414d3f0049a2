"""What of findings is left out, in which order, and how the rest is counted anew."""

import io
from pathlib import Path

import numpy as np
import pytest

from utils.annotations import Annotations, read_annotations
from utils.cleaning import clean, write_cleaned
from utils.findings import Findings
from utils.settings import UserError

KINDS = ("unreadable", "mislabelled", "in_evaluation_set", "same_person", "few_images")


@pytest.fixture
def annotations(tmp_path: Path) -> Annotations:
    """Four people of 3, 2, 2 and 4 photos: rows 0-2, 3-4, 5-6, 7-10."""
    sizes = (3, 2, 2, 4)
    lines = (f"{label};p{label}/{k}.jpg\n" for label, size in enumerate(sizes) for k in range(size))
    (tmp_path / "a.txt").write_text("".join(lines))
    return read_annotations(tmp_path / "a.txt")


def test_photos_are_left_out_once_and_stay_out(annotations: Annotations) -> None:
    findings = Findings(io.StringIO(), top=9)
    findings.drops["unreadable"], findings.drops["mislabelled"] = [0, 3], [0, 1, 7]
    findings.drop_labels["in_evaluation_set"] = [3]
    findings.same = [(0, 2)]
    labels, counts = clean(annotations, findings, KINDS, min_images=2)
    assert labels.tolist() == [-1, -1, 0, -1, -1, 0, 0, -1, -1, -1, -1]
    assert counts == {"unreadable": 2, "mislabelled": 2, "in_evaluation_set": 3, "same_person": 1, "few_images": 1}
    labels, counts = clean(annotations, findings, ("same_person", "few_images"), min_images=5)
    assert labels.tolist() == [0] * 3 + [-1] * 2 + [0] * 2 + [-1] * 4  # five together are enough
    assert counts == {"same_person": 1, "few_images": 6}


def test_people_are_counted_anew_and_paths_lead_to_the_same_photos(annotations: Annotations, tmp_path: Path) -> None:
    labels = np.array([2, 2, -1, 1, 1, -1, -1, 3, 3, 3, -1])
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "clean.txt", tmp_path / "other" / "clean.txt"):
        assert write_cleaned(path, annotations, labels) == (3, 7)
        found = read_annotations(path)
        assert found.people == ["p1", "p2", "p3"]
        assert found.labels.tolist() == [0, 0, 1, 1, 2, 2, 2]
        assert [found.path(row) for row in range(7)] == [annotations.path(row) for row in (3, 4, 0, 1, 7, 8, 9)]
    assert (tmp_path / "clean.txt").read_text().startswith("0;p1/0.jpg\n")
    assert (tmp_path / "other" / "clean.txt").read_text().startswith(f"0;{tmp_path}/p1/0.jpg\n")
    with pytest.raises(UserError, match="1 people would be left"):
        write_cleaned(tmp_path / "one.txt", annotations, np.where(labels == 3, 3, -1))
    assert not list(tmp_path.glob("one*"))
