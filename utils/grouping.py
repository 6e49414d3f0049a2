"""From an embedder's card to a cut, and from faces to groups, the first time and every later one."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from utils.calibration import Calibration
from utils.clustering import ALONE, METHODS, Labels, assign, group
from utils.identities import Vectors
from utils.metrics import rate_name
from utils.settings import UserError, choose
from utils.verdict import one_in

if TYPE_CHECKING:
    from utils.embedder import Embedder, Flip

NEW = -2  # a face that was not grouped yet


def flip_of(card: dict[str, Any]) -> "Flip":
    """Returns how mirrored photos count in what the card's calibration, or else its thresholds, were measured on."""
    about = (card.get("calibration") or {}).get("about") or card.get("thresholds") or {}
    flip: Flip = about.get("flip", "none")
    return flip


class Basis(NamedTuple):
    """What an embedder's card says on distances."""

    calibration: Calibration | None
    thresholds: dict[str, dict[str, float]]
    flip: "Flip"  # distances hold for embeddings made in the same way

    @classmethod
    def of(cls, embedder: "Embedder") -> "Basis":
        """Returns the basis; raises UserError for a card that cannot be read."""
        calibration, thresholds = Calibration.of_card(embedder.card), embedder.thresholds or {}
        about = calibration.about if calibration else thresholds
        return cls(calibration, thresholds, about.get("flip", "none"))

    def cut(self, rate: float) -> tuple[float, str]:
        """Returns the squared distance that a share `rate` of strangers is within, and what it rests on, in words.

        Raises UserError where the card holds neither a calibration nor a threshold for that rate.
        """
        within = f"{one_in(rate)} of strangers are as near"
        if self.calibration:
            beyond = ", extrapolated" if rate < self.calibration.finest_rate else ""
            return self.calibration.distance_at(rate), f"{within} (the card's calibration{beyond})"
        stored = self.thresholds.get(f"far_{rate_name(rate)}")
        if stored:
            return stored["threshold"], f"{within} (the card's thresholds)"
        has = "thresholds, but none" if self.thresholds else "neither calibration nor thresholds"
        raise UserError(
            f"the embedder's card has {has} for a rate of {rate:.2g}: python calibrate.py measures them;"
            " or give a squared distance with --cut"
        )


def usual_rate(method: str, photos: int) -> float:
    """Returns the share of strangers within the cut that suits the method; raises UserError for an unknown one."""
    return choose(METHODS, method, "method of grouping").rate(photos)


def continued(embeddings: Vectors, labels: Labels, cut: float, method: str, progress: str | None = None) -> Labels:
    """Returns labels (N,) with the faces that were NEW in groups, or -1; who was in a group stays in it.

    A new face goes to the nearest group within the cut. Those left over, and those that were alone, are grouped
    with one another: new groups get the numbers behind the old ones, the largest first.
    """
    labels, new, known = labels.copy(), labels == NEW, labels >= 0
    labels[new] = assign(embeddings[new], embeddings[known], labels[known], cut)
    rest = np.flatnonzero(labels == ALONE)
    if new.any():
        found = group(embeddings[rest], cut, method, progress)
        labels[rest] = np.where(found >= 0, found + labels.max(initial=-1) + 1, ALONE)
    return labels
