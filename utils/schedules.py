"""The learning rate over the steps of a run: a table of schedules, each with a warm-up, and rates read from a file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import ops
from keras.optimizers import schedules

from utils.settings import UserError

FLOOR = 0.01  # the last rate over the first
STOP = -1  # davidsandberg/facenet's rate of the epoch that ends a run
STAIRS = 10  # steps of the decay "step"


@keras.saving.register_keras_serializable("face_kit")
class Warmup(schedules.LearningRateSchedule):
    """Rises in a line from 0 for `steps` steps, to the schedule `after`, which begins at step `delay`.

    Source: Goyal et al. 2017, arXiv:1706.02677, section 2.2 (gradual warmup).
    """

    def __init__(self, after: schedules.LearningRateSchedule, steps: int, delay: int):
        super().__init__()
        self.after, self.steps, self.delay = after, steps, delay

    def __call__(self, step: Any) -> Any:
        """Returns the rate of `step`, float32."""
        step = ops.cast(step, "float32")
        return ops.minimum(step / self.steps, 1.0) * self.after(ops.maximum(step - self.delay, 0.0))

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` takes."""
        return {"after": schedules.serialize(self.after), "steps": self.steps, "delay": self.delay}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Warmup":
        """Returns the schedule of a `get_config`."""
        return cls(**config | {"after": schedules.deserialize(config["after"])})


@keras.saving.register_keras_serializable("face_kit")
class Anew(schedules.LearningRateSchedule):
    """The schedule `first` for `steps` steps, then `second` from its beginning.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983 (warm restarts), once, where images become larger.
    """

    def __init__(self, first: schedules.LearningRateSchedule, second: schedules.LearningRateSchedule, steps: int):
        super().__init__()
        self.first, self.second, self.steps = first, second, steps

    def __call__(self, step: Any) -> Any:
        """Returns the rate of `step`, float32."""
        step = ops.cast(step, "float32")
        return ops.where(step < self.steps, self.first(step), self.second(ops.maximum(step - self.steps, 0.0)))

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` takes."""
        parts = {name: schedules.serialize(getattr(self, name)) for name in ("first", "second")}
        return parts | {"steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Anew":
        """Returns the schedule of a `get_config`."""
        return cls(**config | {name: schedules.deserialize(config[name]) for name in ("first", "second")})


@keras.saving.register_keras_serializable("face_kit")
class OfUpdates(schedules.LearningRateSchedule):
    """A schedule of updates for an optimizer that makes one of every `batches` batches: Keras asks it of each batch."""

    def __init__(self, after: schedules.LearningRateSchedule, batches: int):
        super().__init__()
        self.after, self.batches = after, batches

    def __call__(self, step: Any) -> Any:
        """Returns the rate of the update that batch `step` is of, float32."""
        return self.after(ops.floor_divide(ops.cast(step, "int32"), self.batches))

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` takes."""
        return {"after": schedules.serialize(self.after), "batches": self.batches}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OfUpdates":
        """Returns the schedule of a `get_config`."""
        return cls(**config | {"after": schedules.deserialize(config["after"])})


def warmed(after: schedules.LearningRateSchedule, steps: int) -> schedules.LearningRateSchedule:
    """Returns `after`, behind a warm-up of `steps` steps where there are any."""
    return Warmup(after, steps, delay=steps) if steps else after


def cosine(rate: float, steps: int, warmup: int) -> schedules.LearningRateSchedule:
    """Falls to 1% along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5)."""
    return warmed(schedules.CosineDecay(rate, max(1, steps - warmup), alpha=FLOOR), warmup)


def stairs(rate: float, steps: int, warmup: int) -> schedules.LearningRateSchedule:
    """Falls to 1% in ten equal stairs, as facenet-tf2's "step"."""
    long = max(1.0, (steps - warmup) / STAIRS)
    return warmed(schedules.ExponentialDecay(rate, long, FLOOR ** (1 / (STAIRS - 1)), staircase=True), warmup)


def exponential(rate: float, steps: int, warmup: int) -> schedules.LearningRateSchedule:
    """Falls to 1% by the same share each step."""
    return warmed(schedules.ExponentialDecay(rate, max(1, steps - warmup), FLOOR), warmup)


def constant(rate: float, steps: int, warmup: int) -> schedules.LearningRateSchedule:
    """Stays where it is."""
    return warmed(schedules.PiecewiseConstantDecay([steps], [rate, rate]), warmup)


# name -> (rate, steps of the optimizer in the run, the first of them that warm up) -> schedule
SCHEDULES: dict[str, Callable[[float, int, int], schedules.LearningRateSchedule]] = {
    "cos": cosine,
    "step": stairs,
    "exponential": exponential,
    "constant": constant,
}


def schedule_of_file(
    path: str | os.PathLike[str], steps_per_epoch: float, warmup: int
) -> schedules.LearningRateSchedule:
    """Returns the rates of a file: a line `epoch rate` says from where on which rate holds, in whole or broken epochs.

    `0 0.05` holds from the first step, `60 0.005` once 60 epochs are done; davidsandberg/facenet's colons
    (`60: 0.005`) and comments behind a `#` are read too. The warm-up takes the first steps and moves no epoch.
    Raises UserError for a missing file, a line that is not this, epochs that do not rise from 0, a rate of 0 or less.
    """
    epochs, rates = _epochs_and_rates(path)
    # Keras's boundaries are the last steps of a rate, not the first of the next
    places = [max(0, round(epoch * steps_per_epoch) - 1) for epoch in epochs[1:]]
    rated = schedules.PiecewiseConstantDecay(places or [0], rates if places else rates * 2)
    return Warmup(rated, warmup, delay=0) if warmup else rated


def _epochs_and_rates(path: str | os.PathLike[str]) -> tuple[list[float], list[float]]:
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the schedule '{path}': {getattr(error, 'strerror', None) or error}") from error
    epochs: list[float] = []
    rates: list[float] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].replace(":", " ").split()
        if not words:
            continue
        try:
            epoch, rate = map(float, words)
        except ValueError:
            raise UserError(f"{path}, line {number}: {line[:80]!r} is not 'epoch rate', as in '60 0.005'") from None
        if not (epochs[-1] < epoch < float("inf") if epochs else epoch == 0):
            raise UserError(f"{path}, line {number}: epoch {epoch:g}; epochs rise from line to line, the first is 0")
        if not 0 < rate < float("inf"):
            ends = " (--epochs says where a run ends)" if rate == STOP else ""
            raise UserError(f"{path}, line {number}: rate {rate:g}; a number over 0 is expected{ends}")
        epochs.append(epoch)
        rates.append(rate)
    if not rates:
        raise UserError(f"{path} has no rates; a line is 'epoch rate', as in '0 0.05'")
    return epochs, rates
