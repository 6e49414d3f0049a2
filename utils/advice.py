"""What an epoch's figures say about a training, in words, with what to change."""

import math

ONE_POINT = 0.02  # mean squared distance of strangers in a batch; random vectors are 2 apart
FEW_DIRECTIONS = 4.0  # effective rank of a batch's embeddings
STARTED = 500  # steps after which a margin head is expected to have left chance
NEAR_CHANCE = 0.98  # cross-entropy as a share of log(people)


def advice(figures: dict[str, float], people: int, steps: int) -> list[str]:
    """Returns lines on what is wrong, none where nothing is seen to be.

    Args:
        figures: of an epoch: different_distance, effective_rank, cross_entropy, own_cosine (margin heads), ...
        people: how many the training has.
        steps: done so far; a margin head is given time to start.
    """
    lines = []
    apart = figures.get("different_distance", math.inf)
    if apart < ONE_POINT:
        lines.append(
            f"collapse: strangers are {apart:.3f} apart (random vectors: 2), the metric loss sits at its margin; begin"
            " with --metric_weight 0 or --metric_loss contrastive, or a tenth of --init_lr"
        )
    elif figures.get("effective_rank", math.inf) < FEW_DIRECTIONS:
        lines.append(
            f"the embeddings of a batch spread over {figures['effective_rank']:.1f} directions only: people cannot be"
            " told apart in so few; a smaller --init_lr, a longer --warmup"
        )
    entropy, chance = figures.get("cross_entropy", 0.0), math.log(max(people, 2))
    if "own_cosine" in figures and steps >= STARTED and entropy > NEAR_CHANCE * chance:
        lines.append(
            f"the margin head is stuck: its loss {entropy:.2f} is that of guessing among {people:,} people"
            f" ({chance:.2f}); a longer --head_ramp, a smaller --head_margin, --warmup 0.1, or --head softmax first"
        )
    return lines
