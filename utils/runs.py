"""Runs: one folder each under logs/."""

import contextlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.exported import is_exported
from utils.files import read_json, write_json
from utils.settings import UserError, typed_names
from utils.train_checks import as_now

RELEASED = Path(__file__).parents[1] / "model_data" / "mobilenet.keras"  # what comes with the project


def default_embedder(logs: str | os.PathLike[str] = "logs", released: Path = RELEASED) -> Path:
    """Returns the best embedder of the run that wrote one last, or the released one where no run has.

    Raises UserError where there is neither.
    """
    found = [(path.stat().st_mtime, path) for path in Path(logs).glob("*/embedder_best.keras")]
    if found:
        return max(found)[1]
    if not released.is_file():
        raise UserError(f"no {logs}/*/embedder_best.keras: run python train.py, or name an embedder with --model_path")
    return released


def find_embedder(model_path: str, input_size: int = 0, flag: str = "model_path") -> Path:
    """Returns the embedder that a flag names; where it is empty, the newest run's, else the released one.

    Raises UserError, before Keras is started, where there is none, or for an `input_size` beside a file that knows it.
    """
    if input_size < 0:
        raise UserError(f"--input_size is a number of pixels; received {input_size}")
    path = Path(model_path) if model_path else default_embedder()
    if not path.is_file() and not is_exported(path):
        raise UserError(f"--{flag}: no file '{path}'; expected an embedder (.keras, .onnx, .tflite, or .h5)")
    if input_size and (path.suffix == ".keras" or is_exported(path)):
        raise UserError(f"--input_size {input_size}: {path} has a size of its own; it is for .h5 weights")
    return path


def named(path: Path, asked_for: str) -> str:
    """Returns an embedder's path as it is shown, and whose it is where none was `asked_for`."""
    shown = str(path)
    with contextlib.suppress(ValueError):  # Windows: on another drive
        shown = min(shown, os.path.relpath(path), key=len)
    return shown if asked_for else f"{shown} ({'released' if path == RELEASED else 'the newest run'})"


class Run:
    """The folder of one training: settings, history, curves, TensorBoard, embedders, and the state to resume from."""

    def __init__(self, folder: str | os.PathLike[str], writes: bool = True):
        """Names the files of `folder`; nothing is made or read. Of several processes, one is the one that `writes`."""
        self.folder, self.writes = Path(folder), writes
        self.settings = self.folder / "settings.json"
        self.best = self.folder / "embedder_best.keras"
        self.last = self.folder / "embedder_last.keras"
        self.state = self.folder / "state.npz"
        self.history = self.folder / "history.json"
        self.curves = self.folder / "curves.png"
        self.sheet = self.folder / "first_batch.png"
        self._writer: Any = None

    @classmethod
    def create(cls, save_dir: str | os.PathLike[str], name: str) -> "Run":
        """Makes `<save_dir>/<time>-<name>`; raises UserError where that cannot be done."""
        moment = time.strftime("%Y-%m-%d_%H-%M-%S")
        for number in range(100):
            folder = Path(save_dir) / f"{moment}-{name}{f'-{number}' if number else ''}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise UserError(f"save_dir: cannot make the folder {folder}: {error.strerror}") from error
            return cls(folder)
        raise UserError(f"save_dir: {save_dir} already has a hundred runs named {moment}-{name}")

    def settings_of_resumed(self, typed: Any) -> Any:
        """Returns the run's settings, of the class of `typed`; raises UserError where `typed` changes one of them."""
        if not self.settings.is_file():
            raise UserError(f"--resume: '{self.folder}' has no {self.settings.name}; the folder of a run is expected")
        stored, free = read_json(self.settings), ("resume", "workers", "devices", "cache")
        if not isinstance(stored, dict):
            raise UserError(f"{self.settings} holds no settings: {str(stored)[:40]}")
        for name in sorted(typed_names(typed) - {*free}):
            if getattr(typed, name) != stored.get(name):
                changed = f"--{name} {getattr(typed, name)}"
                raise UserError(f"{changed}: {self.folder} was begun with {stored.get(name)}; resume keeps it")
        try:
            kept = {name: getattr(typed, name) for name in ("resume", *(typed_names(typed) & {*free}))}
            return type(typed)(**as_now(stored) | kept)
        except (TypeError, AttributeError) as error:  # "model_path": null
            raise UserError(f"{self.settings} has other settings than this version: {error}") from error

    @contextlib.contextmanager
    def stop_said(self) -> Iterator[None]:
        """Says at Ctrl-C how the training goes on, or that nothing is there to go on from."""
        try:
            yield
        except KeyboardInterrupt:
            again = f"python train.py --resume {self.folder} goes on after the last whole epoch"
            print(f"\nstopped: {again if self.state.exists() else 'no epoch was whole, so nothing was kept'}")
            raise

    def write_sheet(self, sampler: Any, batch: tuple[Any, Any, list[str]]) -> None:
        """Draws the first batch (images, labels, paths), before a device varies it: triples in rows, if it has any."""
        from utils.plots import sheet, triple_sheet

        images, labels, paths = batch
        places = sampler.triples(labels)
        draw = triple_sheet if len(places) else sheet
        places = places if len(places) else range(len(images))
        draw(self.sheet, images[places], [Path(paths[place]).parent.name for place in places])

    def write_history(self, history: list[dict[str, float]]) -> None:
        """Writes the figures of all epochs as JSON and as curves, and the last epoch's to TensorBoard."""
        from utils.plots import curves_figure  # matplotlib takes its time; who only asks for an embedder does not wait

        write_json(self.history, history)
        curves_figure(self.curves, history)
        if self._writer is None:
            self._writer = _tensorboard(self.folder)
        if self._writer:
            for name, value in history[-1].items():
                if math.isfinite(value):
                    self._writer.add_scalar(name, value, int(history[-1]["epoch"]))
            self._writer.flush()


def _tensorboard(folder: Path) -> Any:
    """Returns tensorboardX's writer (it needs no TensorFlow), or False, with a line, where it is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        print("no TensorBoard logs: pip install tensorboardX")
        return False
    return SummaryWriter(str(folder))
