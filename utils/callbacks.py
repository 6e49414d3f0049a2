"""What happens beside the steps of a training: the watch over it, verification, and what is kept."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from utils.advice import advice
from utils.averaging import averaged
from utils.batchnorm import Statistics
from utils.calibration import FEWEST, Calibration
from utils.dataloader import Loader
from utils.embedder import Embedder
from utils.metrics import Verification, verify
from utils.pairs import PairSet
from utils.precision import copy_values
from utils.progress import Rate, Steps
from utils.runs import Run
from utils.settings import UserError
from utils.state import save_state
from utils.terminal import COLUMNS
from utils.validation import distances_of, summary, summary_intervals

STATISTICS_BATCHES = 16  # for BatchNorm's statistics before a verification
LISTED = 5  # files that cannot be read, by name
CHOSEN_BY = "held_out_auc"  # held-out people; never LFW


class Watch(keras.callbacks.Callback):
    """Stops training, in words, on a loss that is no number, or when too many files cannot be read."""

    def __init__(self, loader: Loader, rate: Rate):
        super().__init__()
        self.loader, self.rate, self.steps = loader, rate, Steps(loader.first_step)
        self.named: set[str] = set()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes which step is the first of those that are looked at together."""
        self.steps.begin(batch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises UserError; what was saved after the last whole epoch stays."""
        steps = self.steps.end(batch)
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            paths = [path for step in steps for path in self.loader.batch(step)[2]]
            raise UserError(
                f"the loss is not a number after step {steps.stop} (learning rate {self.rate(steps.stop - 1):.3g});"
                f" the last whole epoch is kept; try a tenth of --init_lr;"
                f" files of the last {len(steps)} step(s): {', '.join(paths)}"
            )
        if self.loader.too_many_bad_files():
            self._refuse()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Names the files that could not be read, each once, and counts them."""
        found = [path for path in self.loader.bad_files if path not in self.named]
        self.named.update(found)
        for path in found[:LISTED]:
            tqdm.write(f"left out: {self.loader.bad_files[path]}")
        if len(found) > LISTED:
            tqdm.write(f"left out: {len(found) - LISTED:,} more")
        if found:
            whole = self.loader.people_unread()
            gone = f"; of {whole} people none can: others' take it" if whole else ""
            line = f"{len(self.named):,} file(s) cannot be read; another image of the person takes their place{gone}"
            tqdm.write(fill(line, COLUMNS, break_on_hyphens=False))

    def _refuse(self) -> None:
        bad = list(self.loader.bad_files.values())
        more = f"; and {len(bad) - LISTED:,} more" if len(bad) > LISTED else ""
        raise UserError(
            f"{len(bad):,} of {self.loader.photos_tried():,} photos tried cannot be read, more than 1%:"
            f" {'; '.join(bad[:LISTED])}{more}"
        )


class Verify:
    """Measures the embedder after each epoch and adds the figures as `<name>_accuracy`, `<name>_auc`, …"""

    def __init__(self, embedder: Embedder, sets: dict[str, PairSet]):
        self.embedder, self.sets = embedder, sets  # the embedder takes images of the size that is trained at
        self.results: dict[str, Verification] = {}
        self.distances: dict[str, np.ndarray] = {}  # of the pairs, squared, (N,)

    def measure(self, logs: dict[str, Any]) -> None:
        """Embeds the pairs' images and scores them."""
        for name, pairs in self.sets.items():
            distances = self.distances[name] = distances_of(self.embedder, pairs)
            result = self.results[name] = verify(distances, pairs.same, pairs.fold)
            logs |= {f"{name}_{key}": value for key, value in summary(result).items()}
            val = result.val.get(0.01, math.nan)
            shown = f"{val:.4f}" if math.isfinite(val) else "(too few pairs)"
            line = (
                f"  {name}: accuracy {result.accuracy_mean:.4f}, VAL {shown} at FAR 1e-2, AUC {result.auc:.4f}"
                f" ({len(pairs.same):,} pairs)"
            )
            tqdm.write(fill(line, COLUMNS, subsequent_indent="    "))

    def intervals(self) -> dict[str, list[float]]:
        """Returns the 95% intervals [low, high] of the figures that were measured last, people drawn again."""
        return {
            f"{name}_{figure}": ends
            for name, distances in self.distances.items()
            for figure, ends in summary_intervals(distances, self.sets[name]).items()
        }


class Grow(keras.callbacks.Callback):
    """Has the first epochs train on images scaled down: cheaper, and what they learn carries over.

    What is measured and saved meanwhile is an embedder of that size: at the full size it would be a poor one.
    """

    def __init__(self, sizes: tuple[int, int], epochs: int, verify: Verify, embedder: Callable[[int], Embedder]):
        """Takes the first (0: none) and the last size in pixels, the epochs at the first; size -> embedder."""
        super().__init__()
        self.first, self.last = sizes
        self.epochs = epochs if self.first else 0
        self.verify, self.embedder = verify, embedder

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the resolution of the epoch's steps, and the embedder that is measured after them."""
        small = epoch < self.epochs
        self.model.train_at(self.first if small else None)
        size = self.first if small else self.last
        if self.verify.embedder.size != (size, size):
            self.verify.embedder = self.embedder(size)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds "pixels" to the epoch's figures."""
        if logs is not None:
            logs["pixels"] = self.verify.embedder.size[0]


class Keep(keras.callbacks.Callback):
    """Measures after each epoch, and writes what a run leaves: history, curves, embedders, the state to resume from.

    What is measured and saved are the averaged weights where the optimizer keeps them, with BatchNorm's statistics
    taken anew. The best is the epoch of highest AUC on people held out of training; without them, the last epoch. Only
    epochs at one size are compared.
    Of several processes all do and measure the same, and the one whose run `writes` writes.
    """

    def __init__(self, run: Run, verify: Verify, loader: Loader, done: dict[str, Any], trained: keras.Model):
        """Takes the part of the network that gives embeddings, `trained`, beside what is measured and saved."""
        super().__init__()
        self.run, self.verify, self.loader, self.done = run, verify, loader, done
        self.trained, self.statistics = trained, Statistics(trained)

    @property
    def embedder(self) -> Embedder:
        """What is measured and saved."""
        return self.verify.embedder

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes everything; the state comes last, so that a kill before it repeats the epoch."""
        logs = {} if logs is None else logs
        logs["gradient_norm"] = self.model.gradient_norm()
        if not math.isfinite(logs["gradient_norm"]):
            raise UserError(
                f"the gradients are not numbers at the end of epoch {epoch + 1}; the one before it is kept;"
                " try a tenth of --init_lr"
            )
        with averaged(self.model, self.statistics, self._images()):
            if self.embedder.network.layers[-1] is not self.trained.layers[-1]:  # it is a copy, in float32
                copy_values(self.trained, self.embedder.network)
            self.verify.measure(logs)
            figures = {name: float(np.asarray(value)) for name, value in logs.items()}
            people = self.loader.sampler.annotations.number_of_people
            steps = int(keras.ops.convert_to_numpy(self.model.steps_done))
            for line in advice(figures, people, steps, self.embedder.card["trained"]["settings"]):
                tqdm.write(fill(f"  {line}", COLUMNS, subsequent_indent="  ", break_on_hyphens=False))
            history = self.done["history"] = [*self.done["history"], {"epoch": epoch + 1} | figures]
            self.embedder.card["trained"] |= {"epoch": epoch + 1, "figures": figures, "intervals": {}}
            rivals = [row for row in history[:-1] if CHOSEN_BY in row and row.get("pixels") == figures.get("pixels")]
            if all(row[CHOSEN_BY] < figures[CHOSEN_BY] for row in rivals):
                self.embedder.card["trained"]["intervals"] = self.verify.intervals()
                self._save(self.run.best)
                tqdm.write(f"  best so far: {self.run.best}")
            self._save(self.run.last)
        if not self.run.writes:
            return
        self.run.write_history(history)
        save_state(self.run.state, self.model, self.done | {"epoch": epoch + 1})

    def _images(self) -> Iterator[Any]:
        """Yields the run's first batches, whole faces; where the loader mirrors and shifts them, so moved."""
        for step in range(STATISTICS_BATCHES):
            yield self.model.in_use(self.loader.inputs(step), self.embedder.size)

    def _save(self, path: Path) -> None:
        if not self.run.writes:
            return
        self.embedder.save(path)
        if "held_out" in self.verify.results:
            pairs, distances = self.verify.sets["held_out"], self.verify.distances["held_out"]
            about = {"data": "people held out of training", "flip": "none", "date": time.strftime("%Y-%m-%d")}
            if min(pairs.same.sum(), (~pairs.same).sum()) >= FEWEST:
                people = len(np.unique(pairs.people))
                with suppress(UserError):  # a network that has collapsed: no distance tells strangers apart
                    calibration = replace(Calibration.fit(distances, pairs.same, people, "platt"), about=about)
                    self.embedder.card = calibration.into_card(self.embedder.card)
            self.embedder.store_thresholds(
                self.verify.results["held_out"].thresholds | about | {"pairs": len(pairs.same)}
            )
