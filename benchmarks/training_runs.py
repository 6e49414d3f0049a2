"""Runs of train.py that a benchmark starts: each in a folder of its own, with one cache of a teacher's embeddings."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

History = list[dict[str, float]]  # figures of each epoch


def start(
    flags: Sequence[str], folder: Path, teachers: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Starts `train.py flags` with `folder` as its save_dir, and what it prints in train.log there.

    Args:
        teachers: where targets are kept, of all runs that name this folder.
        environment: what is set beside this process's own.
    """
    teachers.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "teachers").is_symlink():
        (folder / "teachers").symlink_to(os.path.relpath(teachers, folder), target_is_directory=True)
    command = [sys.executable, "train.py", *flags, "--save_dir", str(folder)]
    with open(folder / "train.log", "w") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment})


def newest(folder: Path) -> tuple[Path | None, History, int]:
    """Returns (folder, figures of its epochs, epochs that it was to have) of the run that went farthest in `folder`."""
    found: tuple[Path | None, History, int] = (None, [], 0)
    for path in sorted(folder.glob("*/history.json")):
        if not path.with_name("state.npz").is_file():  # stopped between the two files of its first epoch
            continue
        history: History = json.loads(path.read_text())
        if len(history) > len(found[1]):
            found = path.parent, history, json.loads(path.with_name("settings.json").read_text())["epochs"]
    return found


def finished(folder: Path) -> History:
    """Returns the figures of the epochs of the finished run in `folder`; none where there is none."""
    _, history, epochs = newest(folder)
    return history if history and len(history) == epochs else []
