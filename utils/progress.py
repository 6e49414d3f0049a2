"""The two lines of a training on the terminal: progress, images/s, time left, share of it spent waiting; figures."""

import sys
import time
from collections.abc import Callable
from textwrap import fill, shorten
from typing import Any

import keras
from tqdm import tqdm

from utils.dataloader import Loader
from utils.terminal import COLUMNS, progress_bar

Rate = Callable[[int], float]  # step -> learning rate


class Steps:
    """Which steps of a run lie between two calls of a callback: Keras counts them anew each epoch, and may do several.

    `end` returns them as a range.
    """

    def __init__(self, first: int):
        self.next, self.began_at = first, 0

    def begin(self, batch: int) -> None:
        """Takes the number within the epoch of the first of them."""
        self.began_at = batch

    def end(self, batch: int) -> range:
        """Takes the number within the epoch of the last of them."""
        done = range(self.next, self.next + batch - self.began_at + 1)
        self.next = done.stop
        return done


class Bar(keras.callbacks.Callback):
    """Two lines: progress, images/s, time left, share of the time that steps waited for data; then the figures."""

    def __init__(self, loader: Loader, rate: Rate, epochs: int, steps_per_epoch: int):
        super().__init__()
        self.loader, self.rate = loader, rate
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.steps, self.waited, self.busy = Steps(loader.first_step), 0.0, 0.0
        self.images_per_second = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Opens the two lines."""
        name = f"epoch {epoch + 1}/{self.epochs}"
        form = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {postfix}"
        self.bar = progress_bar(total=self.steps_per_epoch, bar_format=form, desc=name, leave=False)
        self.line = progress_bar(bar_format="{desc}", position=1, leave=False, disable=not sys.stderr.isatty())
        self.counted_from, self.counted = time.perf_counter(), 0
        self.waited = self.busy = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes when the step, or several at once, began."""
        self.steps.begin(batch)
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar on."""
        ended = time.perf_counter()
        steps = self.steps.end(batch)
        self.waited += self.loader.seconds_waited(steps, self.began, ended)
        self.busy += ended - self.began
        self.counted += len(steps)
        self.images_per_second = self.counted * self.loader.sampler.batch_size / (ended - self.counted_from)
        if steps.start % self.steps_per_epoch == 0:  # the first ones may compile: the next are counted without them
            self.counted_from, self.counted = ended, 0
        left = (self.loader.last_step - steps.stop) * self.loader.sampler.batch_size / self.images_per_second
        self.bar.set_postfix_str(
            f"{self.images_per_second:.0f} images/s, {clock(left)} left, waited {self.share_waited():.0%}",
            refresh=False,
        )
        figures = shorten(figures_line(logs or {}, self.rate(steps.stop - 1)), COLUMNS, placeholder=" …")
        self.line.set_description_str(figures, refresh=False)
        self.bar.update(len(steps))
        self.line.update(len(steps))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Closes the two lines; adds images_per_second, waited and rate to the epoch's figures."""
        self.line.close()  # the lower one first, or the cursor stays at the end of the cleared line
        self.bar.close()
        if logs is not None:
            rate = self.rate(self.steps.next - 1)
            line = f"epoch {epoch + 1}/{self.epochs}: {figures_line(logs, rate)}"
            tqdm.write(fill(line, COLUMNS, subsequent_indent="  "))
            logs |= {"images_per_second": self.images_per_second, "waited": self.share_waited(), "rate": rate}

    def share_waited(self) -> float:
        """Returns the share of the epoch's steps' time that went into waiting for data."""
        return self.waited / self.busy if self.busy else 0.0


def figures_line(logs: dict[str, Any], rate: float) -> str:
    """Returns the figures of a step or an epoch in a line."""
    forms = {
        "loss": "loss {:.2f}",
        **dict.fromkeys(("triplet", "semi_hard", "any_violating", "batch_hard", "batch_all"), "triplet {:.3f}"),
        "contrastive": "contrast {:.2f}",
        "imitation": "imitate {:.3f}",
        "teacher_contrast": "teacher {:.2f}",
        "centre": "centre {:.2f}",
        "cross_entropy": "entropy {:.2f}",
        "accuracy": "accuracy {:.3f}",
        "own_cosine": "own {:.2f}",
        "violating": "violate {:.0%}",
    }
    words = [form.format(float(logs[name])) for name, form in forms.items() if name in logs]
    return " ".join([*words, f"rate {rate:.1e}"])


def clock(seconds: float) -> str:
    """Returns seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
