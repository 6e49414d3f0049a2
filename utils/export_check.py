"""What an exported embedder is held against before it is written: the one it was made of."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from utils.embedder import BATCH, Embedder
from utils.exported import SAME
from utils.exporting import Quantize
from utils.metrics import rate_name, squared_distances
from utils.pairs import PairSet
from utils.settings import UserError
from utils.validation import measure

# squared distance between the two embeddings of a photo, at most; thresholds lie at 0.1 to 1.4
BOUNDS: dict[Quantize, float] = {"none": SAME, "float16": 1e-3, "int8": 0.05}
CARRIED = 1e-3  # up to this difference, thresholds and calibration of the embedder hold for what was made of it


@dataclass(frozen=True)
class Check:
    """What was found; pairs are of (the embedder, what was made of it)."""

    photos: int
    largest: float  # squared distance between both embeddings of a photo
    mean: float
    length: float  # of the exported vectors: its largest difference to 1
    accuracy: tuple[float, float] | None  # on pairs, where there were any
    megabytes: tuple[float, float]
    milliseconds: tuple[float, float]  # a photo, on one core
    val: dict[float, tuple[float, float]] = field(default_factory=dict)  # false-accept rate -> VAL, on these pairs

    def lines(self) -> list[str]:
        """Returns the table, in lines of at most 80 columns."""
        rows = [
            f"differs by   {self.largest:.2g} at most, {self.mean:.2g} on average"
            f" (squared distance, {self.photos} photos)",
            f"size         {self.megabytes[1]:.1f} MB; the embedder {self.megabytes[0]:.1f} MB",
            f"one photo    {self.milliseconds[1]:.1f} ms on one core; Keras {self.milliseconds[0]:.1f} ms",
        ]
        if self.accuracy:
            rows.append(f"accuracy     {self.accuracy[1]:.4f}; the embedder {self.accuracy[0]:.4f}")
        for rate, (before, after) in self.val.items():
            rows.append(f"VAL at {rate_name(rate):<6}{after:.4f}; the embedder {before:.4f}")
        return rows


def compared(embedders: tuple[Embedder, Embedder], photos: np.ndarray) -> tuple[float, float, float]:
    """Returns the largest and the mean squared distance between two embeddings of a photo, and how far from 1 the
    second's vectors are in length.

    Raises UserError where there are numbers that are none.
    """
    parts = (photos[first : first + BATCH] for first in range(0, len(photos), BATCH))  # not all in memory at once
    vectors = np.concatenate([embedders[1].network.predict_on_batch(part) for part in parts])
    distances = squared_distances(embedders[0].embed_images(photos), embedders[1].embed_images(photos))
    if not np.isfinite(distances).all():
        raise UserError("the exported network gives NaN or infinity")
    return float(distances.max()), float(distances.mean()), float(np.abs(np.linalg.norm(vectors, axis=1) - 1).max())


def refuse(check: Check, bound: float, accuracy_bound: float) -> None:
    """Raises UserError where an exported embedder is not near enough to the one it was made of."""
    if check.largest > bound:
        raise UserError(
            f"not written: embeddings differ by up to {check.largest:.2g} in squared distance, more than {bound:g};"
            " another --quantize, more --representative photos, or a larger --largest_difference"
        )
    if check.length > bound:
        raise UserError(f"not written: vectors differ by up to {check.length:.2g} from unit length")
    if check.accuracy and check.accuracy[0] - check.accuracy[1] > accuracy_bound:
        raise UserError(
            f"not written: accuracy falls from {check.accuracy[0]:.4f} to {check.accuracy[1]:.4f}, by more than"
            f" {accuracy_bound:g}; another --quantize, more --representative photos, or a larger --accuracy_lost"
        )


def figures(
    embedders: tuple[Embedder, Embedder], pairs: PairSet
) -> tuple[tuple[float, float], dict[float, tuple[float, float]]]:
    """Returns the accuracy of both on pairs, and by false-accept rate their VAL, where the pairs resolve it."""
    first, second = (measure(embedder, pairs) for embedder in embedders)
    val = {rate: (value, second.val[rate]) for rate, value in first.val.items() if math.isfinite(value)}
    return (first.accuracy_mean, second.accuracy_mean), val


def megabytes(path: Path) -> float:
    """Returns the size of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files) / 1e6


def exported_card(embedder: Embedder, sha256: str, how: dict[str, str], check: Check) -> dict[str, object]:
    """Returns the card of what was made of an embedder.

    Thresholds and calibration come along where it gives the same vectors (`CARRIED`); they are measured anew elsewhere.
    """
    card = {name: value for name, value in embedder.card.items() if name not in ("thresholds", "calibration")}
    if check.largest <= CARRIED:
        for name in ("thresholds", "calibration"):
            stored = embedder.card.get(name)
            if isinstance(stored, dict) and stored.get("sha256") == embedder.card["sha256"]:
                card[name] = stored | {"sha256": sha256}
    source = {"from_sha256": embedder.card["sha256"], "largest_difference": check.largest}
    return card | {"input_size": list(embedder.size), "sha256": sha256, "exported": how | source}
