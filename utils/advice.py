"""What is said of a training, in words, with what to change: before it begins, and of an epoch's figures."""

import math
from collections.abc import Mapping
from typing import Any

from utils.alignment import Alignment
from utils.cropping import extent

ONE_POINT = 0.02  # mean squared distance of strangers in a batch; random vectors are 2 apart
FEW_DIRECTIONS = 4.0  # effective rank of a batch's embeddings
STARTED = 500  # steps after which a margin head is expected to have left chance
WARM = 0.1  # share of a run that is warm-up enough
STUCK = 0.05  # mean cosine to the own person: stuck heads stayed at 0.03 to 0.04, learning ones were at 0.12 or more

# people of 10 photos each -> share of pairs of strangers judged rightly after a training from random weights (0.5 is
# chance) (docs/recognition.md, "Small folders"); and with the released weights as they are (model_data/mobilenet.md)
FROM_NOTHING = {5: 0.574, 20: 0.601, 100: 0.624}
RELEASED = 0.928
SAME_CUT = 0.02  # difference in the share of a face's surroundings that does not matter


def few_people(people: int, from_weights: bool) -> str | None:
    """Returns what to expect of a training on so few people and what to do instead; None where they are more."""
    measured = [number for number in FROM_NOTHING if number >= people]
    if not measured or from_weights:
        return None
    many, accuracy = measured[0], FROM_NOTHING[measured[0]]
    return (
        f"too few to learn faces from: {many} people with 10 photos each, from random weights, gave an accuracy of"
        f" {accuracy:.2f} on photos of strangers (0.5 is chance), the released weights as they are {RELEASED:.2f}."
        " Naming people takes no training: python identify.py enroll FOLDER. Or start from weights (--model_path),"
        " with --trunk_rate 0.1 --frozen_batchnorm yes --init_lr 3e-4"
    )


def other_faces(known: dict[str, Any], own: dict[str, Any]) -> str | None:
    """Returns what to say of weights to start from (card `known`) where faces are cut otherwise now (card `own`).

    None where the cut is the same, in pixels and in what is seen of a face, or where a card does not say it.
    """
    if not (known.get("alignment") and own.get("alignment") and isinstance(known.get("crop"), int | float)):
        return None
    if known["input_size"] == own["input_size"] and _same_part(known, own):
        return None
    theirs, ours = (
        f"{card['alignment']} --crop {card['crop']:g} --input_size {card['input_size'][0]}" for card in (known, own)
    )
    return f"they know faces as {theirs} shows them, not as {ours}: what they can do is worth less here at first"


def _same_part(known: dict[str, Any], own: dict[str, Any]) -> bool:
    """Says whether both see the same part of a face, however many pixels the crops have."""
    first, second = (Alignment.parse(card["alignment"]) for card in (known, own))
    if first.mode == second.mode == "landmarks":
        return abs(extent(first) * known["crop"] / (extent(second) * own["crop"]) - 1) < SAME_CUT
    return known["alignment"] == own["alignment"] and known["crop"] == own["crop"]


def advice(figures: dict[str, float], people: int, steps: int, settings: Mapping[str, Any]) -> list[str]:
    """Returns lines on what is wrong, none where nothing is seen to be.

    Args:
        figures: of an epoch: different_distance, effective_rank, cross_entropy, own_cosine (margin heads), ...
        people: how many the training has.
        steps: done so far; a margin head is given time to start.
        settings: of train.py: what is so already is not advised.
    """
    lines = []
    warmer = ", --warmup 0.1" if settings["warmup"] < WARM else ""
    apart = figures.get("different_distance", math.inf)
    if apart < ONE_POINT:
        triplets = settings["metric_weight"] and settings["metric_loss"] != "contrastive"
        lines.append(
            f"collapse: strangers are {apart:.3f} apart (random vectors: 2)"
            + (", the metric loss sits at its margin; " if triplets else "; ")
            + ("begin with --metric_weight 0 or --metric_loss contrastive, or " if triplets else "")
            + f"a tenth of --init_lr{warmer}"
        )
    elif figures.get("effective_rank", math.inf) < FEW_DIRECTIONS:
        lines.append(
            f"the embeddings of a batch spread over {figures['effective_rank']:.1f} directions only: people cannot be"
            f" told apart in so few; a smaller --init_lr{warmer}"
        )
    if steps >= STARTED and figures.get("own_cosine", 1.0) < STUCK:
        lines.append(
            f"the margin head is stuck: the cosine to the own one of {people:,} people is {figures['own_cosine']:.2f};"
            f" a smaller --head_scale{warmer}, or --head softmax first"
        )
    return lines
