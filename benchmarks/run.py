"""All benchmarks in one go: a JSON file, and a table of it with the ratios to what that file held before of each.

Run as `python -m benchmarks.run`. Look at the ratios within a benchmark (its notes) first: those to an earlier day tell
of the machine too, and of what else it did.
"""

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, figures_of
from benchmarks.side_by_side import run_together
from utils.settings import UserError, run_script

# heading -> (module and its flags, where it is run)
EVERYWHERE, ON_GPU = "everywhere", "gpu"
BENCHMARKS: dict[str, tuple[str, str]] = {
    "Training step and fit": ("train_step", EVERYWHERE),
    "The same in bfloat16": ("train_step --precision bfloat16", EVERYWHERE),
    "What softmax and triplets cost": ("train_step --people 10000 --without_losses yes", EVERYWHERE),
    "The loader alone": ("loader", EVERYWHERE),
    "Shards": ("shards --photos 3000 --rounds 5", EVERYWHERE),
    "Five million lines": ("shards --lines 5000000", EVERYWHERE),
    "A million people, a tenth a step": ("many_people --steps 3", EVERYWHERE),
    "In use": ("use", EVERYWHERE),
    "Beside facenet-tf2": ("facenet_tf2", EVERYWHERE),
} | {
    f"{trunk} at {size} px, batches of {batch}": (
        f"train_step --backbone {trunk} --input_size {size} --batch_size {batch} --precision bfloat16 --cache device"
        " --steps 160 --steps_at_once 16",
        ON_GPU,
    )
    for trunk, size, batch in (
        ("mobilenet", 112, 384),
        ("mobilenet", 112, 1536),
        ("mobilenet", 160, 384),
        ("inception_resnet_v1", 112, 384),
        ("inception_resnet_v1", 160, 384),
    )
}
PACKAGES = ("keras", "tensorflow", "jax", "onnxruntime", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Settings:
    """Runs the benchmarks and keeps what they say."""

    output: str = "docs/benchmarks.json"  # figures; the table is written beside it, as .md
    only: str = ""  # words with commas: only benchmarks whose heading or module has one of them


def main(settings: Settings) -> None:
    """Runs one after the other; what fails is said, its figures stay as they were, the rest goes on; exit code 1."""
    from utils.backend import on_gpu, start_keras
    from utils.files import written_whole

    start_keras()
    path = Path(settings.output)
    before = json.loads(path.read_text()) if path.is_file() else {}
    words = [word for word in settings.only.split(",") if word]
    wanted = {
        heading: flags
        for heading, (flags, where) in BENCHMARKS.items()
        if (where == EVERYWHERE or on_gpu()) and (not words or any(word in f"{heading} {flags}" for word in words))
    }
    if not wanted:
        raise UserError(f"--only {settings.only}: no such benchmark here; there are {', '.join(BENCHMARKS)}")
    one_by_one = [[heading] for heading in wanted if BENCHMARKS[heading][1] == EVERYWHERE]
    found, when = {}, time.strftime("%Y-%m-%d %H:%M")
    for headings in [*one_by_one, [heading for heading in wanted if BENCHMARKS[heading][1] == ON_GPU]]:
        for heading, figures in zip(headings, run({heading: wanted[heading] for heading in headings}), strict=True):
            if figures:
                figures = beside(before.get("benchmarks", {}).get(heading), figures)
                command = f"python -m benchmarks.{wanted[heading]}"
                found[heading] = {"command": command, "when": when, "figures": figures}
    now = {"machine": {"when": when} | machine(), "benchmarks": before.get("benchmarks", {}) | found}
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    with written_whole(path.with_suffix(".md")) as temporary:
        temporary.write_text(table(now), encoding="utf-8")
    print(f"wrote {path} and {path.with_suffix('.md')}")
    if failed := [heading for heading in wanted if heading not in found]:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        raise SystemExit(1)


def beside(before: dict[str, Any] | None, figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the figures with what the benchmark had measured before, and when, where it had such a figure."""
    if not before:
        return figures
    when = before.get("when", "")
    old = {row["name"]: {"value": row["value"], "when": when} for row in before["figures"] if row["value"]}
    return [row | ({"before": old[row["name"]]} if row["name"] in old else {}) for row in figures]


def run(benchmarks: dict[str, str]) -> list[list[dict[str, Any]]]:
    """Runs `python -m benchmarks.<flags>` of each heading, side by side, shows and returns their figures.

    None, with its last line, of one that fails.
    """
    for heading, flags in benchmarks.items():
        print(f"{heading}: python -m benchmarks.{flags}", flush=True)
    commands = [[sys.executable, "-m", *f"benchmarks.{flags}".split()] for flags in benchmarks.values()]
    return [shown(heading, done) for heading, done in zip(benchmarks, run_together(commands), strict=True)]


def shown(heading: str, done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Returns the figures that a benchmark printed, and shows them."""
    if done.returncode:
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        print(f"  {heading} failed ({done.returncode}): {last}", flush=True)
        return []
    figures = figures_of(done.stdout)
    for figure in figures:
        print(f"  {figure}", flush=True)
    return [asdict(figure) for figure in figures]


def machine() -> dict[str, str]:
    """Returns what the figures depend on."""
    import keras

    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": f"{os.cpu_count()} x {names[0] if names else platform.machine()}",
        "devices": ", ".join(keras.distribution.list_devices()),
        "backend": keras.backend.backend(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **versions,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else []


def table(now: dict[str, Any]) -> str:
    """Returns Markdown: machine, then a table a benchmark, with ratios to the run before where there was one."""
    said = ", ".join(f"{name} {value}" for name, value in now["machine"].items())
    ratios = '"Of the first" is the median of the turns\' ratios, which need not be the ratio of the medians beside it.'
    lines = ["# Benchmarks", "", f"`python -m benchmarks.run`: {said}. {ratios}", ""]
    for heading, done in now["benchmarks"].items():
        lines += [f"## {heading}", "", f"`{done['command']}`, {done.get('when', 'before that')}", ""]
        lines += ["| | | to the run before | |", "|---|---|---|---|"]
        for row in done["figures"]:
            figure = Figure(**{name: value for name, value in row.items() if name != "before"})
            old = row.get("before")
            ratio = f"{figure.value / old['value']:.2f} ({old['when']})" if old else ""
            lines.append(f"| {figure.name} | {figure.value:,.4g} {figure.unit} | {ratio} | {figure.note} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main, Settings)
