"""What an audit finds: the kinds, one finding, and the collector that streams all to CSV and keeps the top ones."""

import csv
import heapq
from collections import Counter
from pathlib import Path
from typing import IO, NamedTuple

APPLIED = "unreadable,exact_duplicate,two_labels,mislabelled,in_evaluation_set,few_images"


class Kind(NamedTuple):
    """A kind of finding, as the report explains it."""

    title: str
    meaning: str  # what it is, and what to do: a sentence each
    score: str  # what the score is


KINDS = {
    "unreadable": Kind(
        "Unreadable files", "The file is missing, damaged or no image. Replace it or take its line out.", ""
    ),
    "exact_duplicate": Kind(
        "Exact duplicates",
        "The same bytes or the same pixels as another photo of the person. Keep one.",
        "1 for the same bytes, 2 for the same pixels in another file",
    ),
    "near_duplicate": Kind(
        "Near duplicates",
        "The same picture as another photo of the person, saved, scaled or coloured anew. One of them is enough.",
        "bits of 128 in which the fingerprints differ",
    ),
    "two_labels": Kind(
        "The same picture under two labels",
        "One picture, exactly or nearly, of two people. One label is wrong, or the two are one person.",
        "bits of 128 in which the fingerprints differ",
    ),
    "mislabelled": Kind(
        "Probably mislabelled",
        "The face is unusually far from the person's other photos for how near another person is, or there is no face. "
        "Look at it; move it or take it out.",
        "squared distance to the own centre less that to the nearest other person",
    ),
    "same_person": Kind(
        "One person under two labels?",
        "Two people whose photos are as alike as one person's. Merge them, if they are one.",
        "likeness of the two centres; 1 is one person",
    ),
    "in_evaluation_set": Kind(
        "People of the evaluation set",
        "The person seems to be in the evaluation set too. Measured on known people, a figure is too good.",
        "likeness of the two centres; 1 is one person",
    ),
    "few_images": Kind(
        "People with too few photos",
        "The person has fewer photos than asked for. Add some, or leave them out.",
        "photos",
    ),
    "faceless": Kind(
        "No face found", "The detector sees no face. Look at it; extreme poses and masks are missed too.", ""
    ),
    "tiny": Kind("Tiny", "The photo's shorter side is below the limit. It holds too little of a face.", "pixels"),
    "blurred": Kind(
        "Blurred",
        "There is little detail in the middle of the photo. Take it out if the face cannot be told.",
        "variance of the Laplacian at 112 pixels",
    ),
    "dark": Kind("Dark", "The middle of the photo is nearly black. Brighten it or take it out.", "mean of 0..255"),
    "overexposed": Kind(
        "Overexposed", "The middle of the photo is nearly white. Details of the face are lost.", "mean of 0..255"
    ),
    "grey": Kind(
        "Grey",
        "The photo has no colour. It is no fault, but many of them under one label teach that label's colour.",
        "mean of the largest less the smallest channel, 0..255",
    ),
}


class Finding(NamedTuple):
    """One finding; `drop` is the row of the photo that is left out where the kind is applied, -1 for none."""

    kind: str
    paths: tuple[str, ...]  # the photo, or photos of the person
    person: str
    score: float
    action: str  # what to do
    others: tuple[str, ...] = ()  # photos to compare with
    other_person: str = ""
    certainty: str = "certain"  # or "likely", "possible": of what embeddings say
    worst: float = 0.0  # the report shows the largest first
    drop: int = -1
    drop_label: int = -1  # the same for a person
    labels: tuple[int, int] | None = None  # two that are one person


class Findings:
    """Writes every finding to the CSV as it comes, and keeps counts, the `top` worst of each kind, and what to drop."""

    def __init__(self, file: IO[str], top: int):
        self._top, self._writer = top, csv.writer(file)
        self._heaps: dict[str, list[tuple[float, int, Finding]]] = {kind: [] for kind in KINDS}
        self.counts: Counter[str] = Counter()
        self.certainty: Counter[tuple[str, str]] = Counter()
        self.drops: dict[str, list[int]] = {kind: [] for kind in KINDS}  # certain and likely ones only
        self.drop_labels: dict[str, list[int]] = {kind: [] for kind in KINDS}
        self.same: list[tuple[int, int]] = []  # labels that are likely one person
        columns = "kind certainty path person other_path other_person score action"
        self._writer.writerow(columns.split())

    def add(self, finding: Finding) -> None:
        """Takes a finding in."""
        self.counts[finding.kind] += 1
        self.certainty[finding.kind, finding.certainty] += 1
        if finding.certainty != "possible":
            if finding.drop >= 0:
                self.drops[finding.kind].append(finding.drop)
            if finding.drop_label >= 0:
                self.drop_labels[finding.kind].append(finding.drop_label)
            if finding.labels:
                self.same.append(finding.labels)
        score = "" if finding.score != finding.score else f"{finding.score:.6g}"
        first, other = (paths[0] if paths else "" for paths in (finding.paths, finding.others))
        names = (finding.person, other, finding.other_person)
        self._writer.writerow([finding.kind, finding.certainty, first, *names, score, finding.action])
        heap = self._heaps[finding.kind]
        entry = (finding.worst, -self.counts[finding.kind], finding)  # of equal ones the earlier
        if len(heap) < self._top:
            heapq.heappush(heap, entry)
        elif self._top:
            heapq.heappushpop(heap, entry)

    def worst(self, kind: str) -> list[Finding]:
        """Returns the top findings of a kind, the worst first."""
        return [finding for *_, finding in sorted(self._heaps[kind], reverse=True)]


def wrong_kinds(text: str) -> list[str]:
    """Returns the names in a comma-separated list that are no kinds."""
    return [kind for kind in kinds_of(text) if kind not in KINDS]


def kinds_of(text: str) -> list[str]:
    """Returns the names in a comma-separated list, hyphens or underscores."""
    return [kind.strip().replace("-", "_") for kind in text.split(",") if kind.strip()]


def csv_path(folder: Path) -> Path:
    """Returns where the findings of an audit lie."""
    return folder / "findings.csv"
