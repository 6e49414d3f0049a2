"""Benchmarks of one device, side by side: all of them compile at once, then one after the other is timed alone.

On a GPU a step compiles for a minute or two and is timed for seconds.
"""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STARTED = "BENCHMARKS_STARTED_TOGETHER"  # of the environment: folder:number of processes
GPU_MEMORY = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # JAX: else the first would take it all


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Waits until all that were started together have come to this line or ended, then lets one at a time through."""
    folder, _, number = os.environ.get(STARTED, "").rpartition(":")
    if not folder:
        yield
        return
    import fcntl  # Unix

    (Path(folder) / f"{os.getpid()}.ready").touch()
    while len(list(Path(folder).glob("*.ready"))) < int(number):
        time.sleep(0.05)
    with open(Path(folder) / "turn", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def run_together(commands: Sequence[Sequence[str]]) -> list[subprocess.CompletedProcess[str]]:
    """Runs all commands at once, and returns what each printed, in their order."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max(1, len(commands))) as pool:
        environment = GPU_MEMORY | os.environ | {STARTED: f"{folder}:{len(commands)}"}

        def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
            process = subprocess.Popen(
                command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            printed, complained = process.communicate()
            (Path(folder) / f"{process.pid}.ready").touch()  # who ended before its turn holds nobody up
            return subprocess.CompletedProcess(command, process.returncode, printed, complained)

        return list(pool.map(run, commands))
