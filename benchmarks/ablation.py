"""What each choice of train.py is worth: one choice at a time against the others' defaults, at one budget.

Run as `python -m benchmarks.ablation --annotation_path cls_train.txt --teacher teacher.keras --lfw_dir lfw`. Each run
is one of `train.py`, in a folder `<save_dir>/<choice>/<seed>/` that is not made again: break it off at any time. The
table has all seeds that are there, so that a second call with `--only` and more `--seeds` adds to the first.
Choices are compared on people held out of training; LFW is measured beside them. Writes `ablation.json`, `.md`, `.png`.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from benchmarks.training_runs import finished, start
from utils.settings import UserError, at_least, run_script

LABELS = ("--sampler", "people", "--metric_loss", "contrastive", "--cross_entropy_weight", "0")
TEACHER = ("--teacher_weight", "0", "--teacher_contrast", "1")
DISTANCE = ("--teacher_weight", "1", "--teacher_contrast", "0")
MARGIN = ("--metric_weight", "0", "--cross_entropy_weight", "1", "--dropout", "0.2")
VARIED = ("--rotation", "6", "--scale", "0.05")
ONE_THREAD = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
Flags = tuple[str, ...]

# subject -> choice -> (flags beside the base's, whether there is a teacher)
CHOICES: dict[str, dict[str, tuple[Flags, bool]]] = {
    "signal": {
        "labels alone": ((), False),
        "labels and teacher": ((), True),
        "teacher alone": (("--metric_weight", "0"), True),
        "labels and teacher's distance": (DISTANCE, True),
        "teacher's distance alone": ((*DISTANCE, "--metric_weight", "0"), True),
        "labels and cross-entropy and teacher": (("--cross_entropy_weight", "1"), True),
    },
    "metric loss": {
        "triples (facenet)": (
            ("--sampler", "triples", "--metric_loss", "triplet", "--cross_entropy_weight", "1"),
            False,
        ),
        "contrastive and cross-entropy": (("--cross_entropy_weight", "1"), False),
        "batch_all": (("--metric_loss", "batch_all"), False),
        "batch_hard": (("--metric_loss", "batch_hard"), False),
        "semi_hard": (("--metric_loss", "semi_hard"), False),
        "any_violating": (("--metric_loss", "any_violating"), False),
        "contrastive and centre loss": (("--centre_weight", "0.01"), False),
    },
    "head": {
        **{
            head: ((*MARGIN, "--sampler", "shuffled", "--head", head), False)
            for head in ("softmax", "arcface", "cosface", "combined", "adaface", "subcenter")
        },
        "softmax over a tenth of the people": ((*MARGIN, "--sampler", "shuffled", "--class_sample", "0.1"), False),
    },
    "habits": {
        "rate 3e-3": (("--init_lr", "3e-3"), True),
        "rate 1.2e-2": (("--init_lr", "1.2e-2"), True),
        "adamw with decay 0.05": (("--optimizer", "adamw", "--weight_decay", "0.05"), True),
        "sgd at 0.1": (("--optimizer", "sgd", "--init_lr", "0.1", "--weight_decay", "5e-4"), True),
        "no warm-up": (("--warmup", "0"), True),
        "batch 64": (("--batch_size", "64"), True),
        "batch 256": (("--batch_size", "256"), True),
        "averaged weights": (("--ema", "0.05"), True),
        "gradients cut at 1": (("--clip_norm", "1"), True),
        "bfloat16": (("--precision", "bfloat16"), True),
        "48 px first": (("--first_size", "48", "--epochs", "2"), True),
        "2 images a person": (("--images_each", "2"), True),
        "8 images a person": (("--images_each", "8"), True),
        "people by images": (("--people_power", "1"), True),
        "dropout 0.2": (("--dropout", "0.2"), True),
    },
    "variation": {
        "not moved": (("--shift", "0"), True),
        "turned and scaled": (VARIED, True),
        "colours": (("--brightness", "0.2", "--contrast", "0.2", "--saturation", "0.2", "--grey", "0.1"), True),
        "blur and low resolution and noise": (("--blur", "0.1", "--low_resolution", "0.2", "--noise", "0.2"), True),
        "patches": (("--patches", "0.2"), True),
    },
    "trunk": {
        "mobilefacenet": (("--backbone", "mobilefacenet"), True),
        "iresnet18": (("--backbone", "iresnet18"), True),
        "mobilenet with stem stride 1": (("--stem_stride", "1"), True),
    },
}


@dataclass(frozen=True)
class Settings:
    """Switches one choice of train.py at a time."""

    annotation_path: str = "cls_train.txt"  # made by txt_annotation.py
    alignment: str = ""  # how the photos were cropped; empty: what align.py recorded beside them
    teacher: str = ""  # an embedder to learn from; choices with a teacher are left out without one
    lfw_dir: str = ""  # folder of LFW crops, measured after each run
    subjects: str = "signal"  # names of subjects with commas, or all
    only: str = ""  # names of choices with commas; empty: all of the subjects
    seeds: int = 1  # runs of each choice, with seeds 0, 1, ...
    images: int = 50_000  # seen by each run
    input_size: int = 64  # pixels, square
    crop: float = 0.875  # central share of each photo that is used
    batch_size: int = 128  # images a step, where the choice is not of it
    at_once: int = 2  # runs side by side, of one thread each where there are several
    save_dir: str = "logs/ablation"  # a folder for each choice is made in it
    dry: bool = False  # only print the commands


def base(settings: Settings) -> Flags:
    """Returns the flags that all runs have; those of a choice come behind them, and win."""
    values: dict[str, Any] = {
        "annotation_path": settings.annotation_path,
        "alignment": settings.alignment,
        "input_size": settings.input_size,
        "crop": settings.crop,
        "init_lr": 6e-3,
        "warmup": 0.1,
        "dropout": 0,
        "shift": 3,
        "epochs": 1,
        "lfw_dir": settings.lfw_dir,
    }
    given = [text for name, value in values.items() if value != "" for text in (f"--{name}", str(value))]
    return (*given, *LABELS)


def flags_of(settings: Settings, flags: Flags, taught: bool, seed: int) -> list[str]:
    """Returns the flags of one run of train.py."""
    own = dict(zip(flags[::2], flags[1::2], strict=True))
    if taught:
        own = dict(zip(TEACHER[::2], TEACHER[1::2], strict=True)) | {"--teacher": settings.teacher} | own
    batch = int(own.get("--batch_size", settings.batch_size))
    if own.get("--sampler") == "triples":
        batch -= batch % 3
    steps = max(1, settings.images // (int(own.get("--epochs", 1)) * batch))
    run = ("--batch_size", str(batch), "--steps_per_epoch", str(steps), "--seed", str(seed))
    merged = dict(zip(base(settings)[::2], base(settings)[1::2], strict=True)) | own
    rest = [text for pair in merged.items() if pair[0] != "--batch_size" for text in pair]
    return [*rest, *run]


def chosen(settings: Settings) -> dict[str, dict[str, tuple[Flags, bool]]]:
    """Returns subject -> choice -> (flags, taught); raises UserError for a name that is not there."""
    subjects = list(CHOICES) if settings.subjects == "all" else settings.subjects.split(",")
    if unknown := [name for name in subjects if name not in CHOICES]:
        raise UserError(f"--subjects: no '{unknown[0]}'; choose from: {', '.join(CHOICES)}; or all")
    only = [name for name in settings.only.split(",") if name]
    if unknown := [name for name in only if not any(name in CHOICES[subject] for subject in subjects)]:
        raise UserError(f"--only: no choice '{unknown[0]}' in {', '.join(subjects)}")

    def fits(flags: Flags) -> bool:
        return "--first_size" not in flags or int(flags[flags.index("--first_size") + 1]) < settings.input_size

    return {
        subject: {
            name: (flags, taught)
            for name, (flags, taught) in CHOICES[subject].items()
            if (not only or name in only) and (settings.teacher or not taught) and fits(flags)
        }
        for subject in subjects
    }


def file_name(choice: str) -> str:
    """Returns a choice as the name of a folder."""
    return re.sub(r"[^a-z0-9.]+", "_", choice)


def run_once(settings: Settings, folder: Path, flags: Flags, taught: bool, seed: int) -> list[dict[str, float]]:
    """Trains once, unless that was done; returns its epochs' figures; raises UserError where train.py fails."""
    line = flags_of(settings, flags, taught, seed)
    if settings.dry:
        print(" ".join(["python train.py", *line, "--save_dir", str(folder)]))
    elif not finished(folder):
        threads = dict.fromkeys(ONE_THREAD, "1") if settings.at_once > 1 else {}
        ended = start(line, folder, Path(settings.save_dir) / "teachers", threads)
        if ended.wait():
            raise UserError(f"train.py ended with {ended.returncode}: see {folder / 'train.log'}")
    figures = finished(folder)
    if figures and "held_out_auc" not in figures[-1]:
        raise UserError(f"{folder}: nobody was held out ({settings.annotation_path} is too small)")
    return figures


def main(settings: Settings) -> None:
    """Runs what is asked for, and writes the table and the picture of it."""
    from benchmarks.ablation_report import markdown, picture, spread
    from utils.files import write_json

    at_least(1, settings, "at_once", "seeds", "images", "batch_size")
    asked = [
        (subject, name, *choice) for subject, choices in chosen(settings).items() for name, choice in choices.items()
    ]

    def run(choice: tuple[str, str, Flags, bool]) -> dict[str, Any]:
        subject, name, flags, taught = choice
        folder = Path(settings.save_dir) / file_name(name)
        runs = [run_once(settings, folder / str(seed), flags, taught, seed) for seed in range(settings.seeds)]
        runs += takewhile(bool, (finished(folder / str(seed)) for seed in count(settings.seeds)))
        if not settings.dry:
            print(f"{name:>34}  {spread([run[-1]['held_out_auc'] for run in runs])}", flush=True)
        return {"subject": subject, "choice": name, "flags": " ".join(flags), "runs": runs}

    with ThreadPoolExecutor(settings.at_once) as pool:
        rows = list(pool.map(run, asked))
    if not settings.dry:
        write_json(Path(settings.save_dir) / "ablation.json", rows)
        (Path(settings.save_dir) / "ablation.md").write_text(markdown(rows), encoding="utf-8")
        picture(Path(settings.save_dir) / "ablation.png", rows)


if __name__ == "__main__":
    run_script(main, Settings)
