"""From how many people on training pays: from random weights, and fine-tuned from an embedder, measured on strangers.

Run as `python -m benchmarks.small_sets --annotation_path cls_train.txt --model_path embedder.keras`. The people that
are measured on are those that `train.py` holds out of the same annotation; subsets are drawn from the others.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.settings import run_script

WAYS = ("from nothing", "fine-tuned", "fine-tuned, BatchNorm frozen")


@dataclass(frozen=True)
class Settings:
    """Trains on small subsets of people."""

    annotation_path: str = "cls_train.txt"  # made by txt_annotation.py
    alignment: str = ""  # how the photos were cropped; empty: what align.py recorded beside them
    model_path: str = ""  # an embedder to fine-tune, and to use as it is; empty: neither is done
    people: str = "5,20,100,500,2000"  # sizes of the subsets, with commas
    images_each: int = 10  # images of each person
    images: int = 40_000  # seen by each run from nothing; a tenth of it by each that is fine-tuned
    input_size: int = 64  # pixels, square; what is fine-tuned keeps its own
    crop: float = 0.875  # central share of each photo that is used
    val_people: float = 0.05  # as train.py's
    seed: int = 0  # of who is held out and who is drawn


def main(settings: Settings) -> None:
    """Prints a line for each size: accuracy and AUC on people that no run has seen."""
    from utils.backend import start_keras

    start_keras()
    import numpy as np

    from utils.annotations import read_annotations, split_people
    from utils.embedder import Embedder
    from utils.validation import held_out_pairs, measure

    people, held_out = split_people(read_annotations(settings.annotation_path), settings.val_people, settings.seed)
    pairs = held_out_pairs(held_out, 6000, settings.seed)

    def show(name: str, path: str | Path) -> None:
        found = measure(Embedder.load(path), pairs)
        print(f"{name:>42}  accuracy {found.accuracy_mean:.3f}  AUC {found.auc:.3f}", flush=True)

    if settings.model_path:
        show("as it is", settings.model_path)
    enough = np.flatnonzero(np.diff(people.starts) >= settings.images_each)
    for size in map(int, settings.people.split(",")):
        drawn = np.random.default_rng(settings.seed).permutation(enough)[:size]
        with tempfile.TemporaryDirectory() as folder:
            rows = [people.starts[person] + i for person in drawn for i in range(settings.images_each)]
            lines = [f"{i // settings.images_each};{people.path(int(row))}" for i, row in enumerate(rows)]
            Path(folder, "cls_train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            for way in WAYS if settings.model_path else WAYS[:1]:
                show(f"{size} people, {way}", trained(settings, folder, size, way))


def trained(settings: Settings, folder: str, people: int, way: str) -> Path:
    """Runs train.py on the annotation in `folder`, nobody held out, and returns the last epoch's embedder."""
    batch = min(128, people * settings.images_each // 2)
    out = Path(folder, way)
    flags: dict[str, Any] = {
        "annotation_path": Path(folder, "cls_train.txt"),
        "alignment": settings.alignment,
        "input_size": settings.input_size,
        "crop": settings.crop,
        "sampler": "people",
        "metric_loss": "contrastive",
        "cross_entropy_weight": 0,
        "dropout": 0,
        "init_lr": 6e-3,
        "warmup": 0.1,
        "shift": 4,
        "batch_size": batch,
        "epochs": 1,
        "steps_per_epoch": settings.images // batch,
        "val_people": 0,
        "save_dir": out,
    }
    if way != WAYS[0]:
        card = json.loads(Path(settings.model_path).with_suffix(".json").read_text())
        flags |= {"input_size": card["input_size"][0], "crop": card["crop"], "init_lr": 3e-4, "trunk_rate": 0.1}
        flags |= {"frozen_batchnorm": "yes" if way == WAYS[2] else "no"}
        flags |= {"model_path": Path(settings.model_path).resolve(), "steps_per_epoch": settings.images // batch // 10}
    given = [text for name, value in flags.items() if value != "" for text in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "train.py", *given], check=True, stdout=subprocess.DEVNULL)
    (path,) = out.glob("*/embedder_last.keras")
    return path


if __name__ == "__main__":
    run_script(main, Settings)
