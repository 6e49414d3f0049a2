"""Who is this: the nearest of the enrolled people, or nobody, and how likely a stranger would have come as near."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.calibration import Calibration, one_to_many
from utils.metrics import LARGEST_DISTANCE
from utils.settings import UserError
from utils.stores import Store
from utils.templates import as_between_photos, shared_part

CANDIDATES = 16  # nearest templates whose distances are corrected, where that may change who is nearest
NEVER = 1e-6  # rates below it are said to be "under 1 in 1,000,000": nothing that was measured reaches further


class Answer(NamedTuple):
    """What is said of one face."""

    name: str | None  # None: unknown, or no verdict
    nearest: str  # the person who comes nearest, whether or not that is near enough
    distance: float  # squared Euclidean, 0..4; with a calibration as between two photos (utils/templates.py)
    chance: float | None  # share of strangers who would come as near to somebody enrolled; None without a calibration

    def __str__(self) -> str:
        """Returns the answer in words."""
        at = f"distance {self.distance:.2f}, cosine {1 - self.distance / 2:.2f}"
        if self.chance is None:
            return f"nearest is {self.nearest} ({at}); no verdict without a calibration"
        if self.name is None:
            return f"unknown; nearest is {self.nearest} ({at}), and so near come {share(self.chance)} of strangers"
        return f"{self.name} ({at}); so near come {share(self.chance)} of strangers"


def share(rate: float) -> str:
    """Returns a rate in words: 0.01 is '1 in 100'."""
    if rate < NEVER:
        return f"fewer than 1 in {round(1 / NEVER):,}"
    return f"{rate:.0%}" if rate > 0.2 else f"1 in {round(1 / rate):,}"


def check_far(far: float) -> None:
    """Raises UserError for what is no share of strangers."""
    if not 0 < far < 1:
        raise UserError(f"--far is {far:g}; a share of strangers between 0 and 1 is expected")


class Identifier:
    """Compares faces with the people in a store.

    A search among N templates goes wrong N times as often as one comparison. So the threshold is the distance that a
    stranger stays above in all N of them, but for a share `far` of strangers: 1 - (1 - f) ** (1 / N) for each.
    """

    def __init__(
        self,
        store: Store,
        calibration: Calibration | None,
        far: float = 0.01,
        how: str = "mean",
        approximate: bool = False,
    ):
        check_far(far)
        flip = calibration.about.get("flip", "none") if calibration else store.origin.flip
        # distances of mirrored and of plain photos are different ones: what holds for one says nothing of the other
        self.store, self.calibration = store, calibration if flip == store.origin.flip else None
        self.far, self.how, self.approximate = far, how, approximate

    def who(self, embeddings: NDArray[np.floating]) -> list[Answer]:
        """Returns an answer for each embedding (N,D); raises UserError where nobody is enrolled."""
        strangers = self.calibration.distance_at(0.5) if self.calibration else LARGEST_DISTANCE
        uneven = self.how != "all" and shared_part(strangers) > 0
        found = self.store.nearest(embeddings, CANDIDATES if uneven else 1, self.how, self.approximate)
        if not found.compared:
            raise UserError("nobody is enrolled; python identify.py enroll FOLDER")
        if self.calibration is None:
            pairs = zip(found.names, found.distances[:, 0].tolist(), strict=True)
            return [Answer(None, names[0], distance, None) for names, distance in pairs]
        corrected = as_between_photos(found.distances, found.lengths, strangers)
        places = corrected.argmin(axis=1)
        distances = corrected[np.arange(len(places)), places]
        nearest = [names[place] for names, place in zip(found.names, places.tolist(), strict=True)]
        threshold = self.threshold(found.compared)
        chances = -np.expm1(found.compared * np.log1p(-np.minimum(self.calibration.far(distances), 1 - 1e-12)))
        return [
            Answer(name if distance < threshold else None, name, float(distance), float(chance))
            for name, distance, chance in zip(nearest, distances, chances, strict=True)
        ]

    def threshold(self, templates: int) -> float:
        """Returns the squared distance below which a face is given a name, among so many templates."""
        assert self.calibration, "without a calibration there is no threshold"
        return self.calibration.distance_at(one_to_many(self.far, templates))

    def basis(self, templates: int) -> str:
        """Returns what verdicts rest on, in words."""
        if self.calibration is None:
            return "no calibration for these embeddings: there will be distances, no verdicts; python calibrate.py"
        rate = one_to_many(self.far, templates)
        beyond = " (extrapolated)" if rate < self.calibration.finest_rate else ""
        return (
            f"named is who is nearer than {self.threshold(templates):.3f}: so {share(self.far)} of strangers would be"
            f" given a name, by {share(rate)} in each of {templates:,} comparisons{beyond}"
        )
