"""Whether two photos show one person, in words: from the calibration in the embedder's card, or from its thresholds."""

from dataclasses import dataclass
from typing import Any

from utils.calibration import Calibration

SURE = 0.95  # probability from which on there is no "probably"
CERTAIN = 0.01  # false-accept rate up to which a pair is called the same person without "probably"


@dataclass(frozen=True)
class Verdict:
    """What is said of two photos."""

    distance: float  # squared Euclidean between unit vectors, 0..4
    same: bool | None  # None without thresholds
    text: str
    probability: float | None = None  # that it is one person, at even odds; None without a calibration

    def __str__(self) -> str:
        """Returns the line for the terminal."""
        return f"distance {self.distance:.2f} (cosine {1 - self.distance / 2:.2f}): {self.text}"


def decide(
    distance: float,
    thresholds: dict[str, Any] | None,
    faceless: bool = False,
    calibration: Calibration | None = None,
) -> Verdict:
    """Says whether a squared distance is that of one person: by its probability, or else by thresholds.

    The strictest threshold counts that it is below.

    Args:
        thresholds: as the Embedder stores them (name -> threshold, far, val; besides data and pairs), or None.
        faceless: no face was found in one of the photos: there is no verdict.
    """
    if faceless:
        return Verdict(distance, None, "no verdict where no face was found")
    if calibration:
        return _probable(distance, calibration)
    ranked = _ranked(thresholds)
    if not ranked:
        return Verdict(distance, None, "no verdict without stored thresholds")
    for name, entry in ranked:
        if distance < entry["threshold"]:
            rate = float(name.removeprefix("far_")) if name.startswith("far_") else entry["far"]
            person = "the same person" if rate <= CERTAIN else "probably the same person"
            if rate == 0:
                return Verdict(distance, True, f"{person}; no strangers measured were as near")
            return Verdict(distance, True, f"{person}, at a false-accept rate of {one_in(rate)}")
    missed = 1 - ranked[-1][1]["val"]
    if missed == 0:
        return Verdict(distance, False, "different people; no photos of one person measured were as far apart")
    return Verdict(distance, False, f"different people, at a false-reject rate of {one_in(missed)}")


def _probable(distance: float, calibration: Calibration) -> Verdict:
    """Returns the likelier verdict, how likely it is, and how often such a distance is seen in the other case."""
    probability = float(calibration.probability(distance))
    if probability >= 0.5:
        rate, far = float(calibration.far(distance)), calibration.finest_rate
        seen = f"{one_in(rate)} pairs of strangers" if rate >= far else f"fewer than {one_in(far)} pairs of strangers"
        text, near = "the same person", f"{seen} are as near"
    else:
        missed, fewest = 1 - float(calibration.val(distance)), 1 / calibration.same_pairs
        seen = one_in(missed) if missed >= fewest else f"fewer than {one_in(fewest)}"
        text, near = "different people", f"{seen} pairs of one person are as far apart"
    sure = max(probability, 1 - probability)
    doubt = "" if sure >= SURE else "probably "
    return Verdict(distance, probability >= 0.5, f"{doubt}{text}, {percent(sure)}; {near}", probability)


def percent(probability: float) -> str:
    """Returns a probability of a half or more in words; never 100%."""
    if probability > 0.999:
        return "over 99.9%"
    return f"{probability:.1%}" if probability >= 0.99 else f"{probability:.0%}"


def basis(thresholds: dict[str, Any] | None, calibration: Calibration | None = None) -> str:
    """Returns the line that says what verdicts rest on: a calibration, else thresholds; empty without either."""
    if calibration:
        about = calibration.about
        error = f"; they are off by {about['ece']:.1%} on average" if "ece" in about else ""
        return (
            f"probabilities at even odds, measured on {calibration.same_pairs:,} same and"
            f" {calibration.different_pairs:,} different pairs of {calibration.people:,} people"
            f" ({about.get('data', 'unknown data')}){error}"
        )
    ranked = _ranked(thresholds)
    if not ranked or thresholds is None:
        return ""
    parts = []
    for name, entry in ranked:
        meaning = f"for {one_in(float(name[4:]))}" if name.startswith("far_") else "for best accuracy"
        parts.append(f"{entry['threshold']:.2f} {meaning}")
    pairs, data = thresholds.get("pairs", 0), thresholds.get("data", "unknown data")
    return f"thresholds measured on {pairs:,} pairs ({data}): {', '.join(parts)}"


def one_in(rate: float) -> str:
    """Returns a rate in words: 0.01 is '1 in 100'."""
    return f"{rate:.0%}" if rate > 0.2 else f"1 in {round(1 / rate):,}"


def _ranked(thresholds: dict[str, Any] | None) -> list[tuple[str, dict[str, float]]]:
    """Returns (name, entry) from the strictest threshold to the loosest."""
    entries = [(name, entry) for name, entry in (thresholds or {}).items() if isinstance(entry, dict)]
    return sorted(entries, key=lambda each: each[1]["threshold"])
