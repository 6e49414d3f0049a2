"""The learning rate over the steps of a run: a table of Keras's schedules."""

from collections.abc import Callable

from keras.optimizers import schedules

FLOOR = 0.01  # the last rate over the first
STAIRS = 10  # steps of the decay "step"


def cosine(rate: float, steps: int, warmup: int) -> schedules.LearningRateSchedule:
    """Rises linearly from 0 for `warmup` steps, then falls to 1% along half a cosine (arXiv:1608.03983, equation 5)."""
    return schedules.CosineDecay(
        0.0 if warmup else rate,
        decay_steps=max(1, steps - warmup),
        alpha=FLOOR,
        warmup_target=rate if warmup else None,
        warmup_steps=warmup,
    )


def stairs(rate: float, steps: int, warmup: int) -> schedules.LearningRateSchedule:
    """Falls to 1% in ten equal stairs, as facenet-tf2's "step"; it has no warm-up."""
    if warmup:
        raise ValueError(f"the schedule 'step' has no warm-up; received {warmup} steps of it")
    return schedules.ExponentialDecay(
        rate, decay_steps=max(1, steps // STAIRS), decay_rate=FLOOR ** (1 / (STAIRS - 1)), staircase=True
    )


SCHEDULES: dict[str, Callable[[float, int, int], schedules.LearningRateSchedule]] = {"cos": cosine, "step": stairs}
