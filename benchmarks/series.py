"""Trains several settings side by side on one device, for so many seconds: what a GPU that is lent for minutes is for.

Run as `python -m benchmarks.series series.json --common "--annotation_path cls_train.txt" --seconds 500`. The file says
what is trained: {"name": ["flags of train.py", "flags of what goes on from its weights", ...], ...}. All names train at
once, each in `<save_dir>/<name>/<stage>/`; at the end of the time all are stopped, and of each there is the embedder
of its best whole epoch. Called again, a stage that is done is not done again, and one that was stopped is resumed.
"""

import json
import math
import shlex
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.side_by_side import GPU_MEMORY
from benchmarks.training_runs import finished, newest, start
from utils.settings import UserError, at_least, positional, run_script

PATIENCE = 20.0  # seconds from the word to stop to the end of a process
FOREVER = math.inf


@dataclass(frozen=True)
class Settings:
    """Trains a series: python -m benchmarks.series series.json"""

    file: tuple[str, ...] = positional()  # JSON: name -> list of flags, each going on from the weights of those before
    common: str = ""  # flags of all
    seconds: float = 0.0  # after which all are stopped; 0: when they are done
    save_dir: str = "logs/series"  # a folder for each name is made in it


def main(settings: Settings) -> None:
    """Trains all of them and prints what came of each stage."""
    at_least(0, settings, "seconds")
    series = read(settings)
    ends = time.monotonic() + (settings.seconds or FOREVER)
    with ThreadPoolExecutor(len(series)) as pool:
        failed = [error for error in pool.map(lambda name: train(name, series[name], settings, ends), series) if error]
    for name in series:
        for stage in range(len(series[name])):
            say_of_stage(name, stage, Path(settings.save_dir) / name / str(stage))
    if failed:
        raise UserError("; ".join(failed))


def read(settings: Settings) -> dict[str, list[str]]:
    """Returns name -> flags of each stage; raises UserError where the file is not that."""
    if len(settings.file) != 1:
        raise UserError(f"one file of settings is expected; received {len(settings.file)}")
    try:
        found = json.loads(Path(settings.file[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{settings.file[0]} cannot be read: {error}") from error
    stages = list(found.values()) if isinstance(found, dict) else []
    if not stages or not all(isinstance(s, list) and s and all(isinstance(f, str) for f in s) for s in stages):
        raise UserError(f'{settings.file[0]}: {{"name": ["flags", ...], ...}} is expected')
    for name, flags in (("--common", settings.common), *((name, f) for name, s in found.items() for f in s)):
        try:
            shlex.split(flags)
        except ValueError as error:
            raise UserError(f"{name}: {flags}: {error}") from error
    return dict(found)


def train(name: str, stages: list[str], settings: Settings, ends: float) -> str:
    """Trains the stages of one name, one after the other; returns what went wrong, or an empty string."""
    place, weights = Path(settings.save_dir), ""
    environment = GPU_MEMORY | {"JAX_COMPILATION_CACHE_DIR": str((place / "compiled").absolute())}
    for stage, own in enumerate(stages):
        folder = place / name / str(stage)
        before = newest(folder)[0]
        going_on = ["--model_path", weights] if weights else []
        flags = [*shlex.split(settings.common), *shlex.split(own), *going_on]
        if not finished(folder):
            run = start(["--resume", str(before)] if before else flags, folder, place / "teachers", environment)
            if stopped(run, ends):
                return ""
            if run.returncode:
                return f"{name}: train.py ended with {run.returncode}, see {folder / 'train.log'}"
        weights = str(newest(folder)[0] / "embedder_last.keras")  # type: ignore[operator]
    return ""


def stopped(run: "subprocess.Popen[bytes]", ends: float) -> bool:
    """Waits for the run; stops it where the time is over, and says whether that was so."""
    try:
        run.wait(None if ends == FOREVER else max(0.0, ends - time.monotonic()))
        return False
    except subprocess.TimeoutExpired:
        run.terminate()  # not SIGINT: who was started in the background does not hear it
    try:
        run.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
    return True


def say_of_stage(name: str, stage: int, folder: Path) -> None:
    """Prints the best epoch on people held out, and how fast the epochs behind the first were."""
    run, history, epochs = newest(folder)
    if not history:
        print(f"{name} {stage}: no epoch was whole")
        return
    best = max(history, key=lambda epoch: epoch.get("held_out_auc", float(epoch["epoch"])))
    figures = " ".join(f"{key.removeprefix('held_out_')} {best[key]:.4f}" for key in best if key.startswith("held_out"))
    speeds = sorted(epoch["images_per_second"] for epoch in history[1:] if "images_per_second" in epoch)
    speed = f"; {speeds[len(speeds) // 2]:,.0f} images/s" if speeds else ""
    print(f"{name} {stage}: epoch {best['epoch']:.0f} of {len(history)} (of {epochs}): {figures}{speed}; {run}")


if __name__ == "__main__":
    run_script(main, Settings)
