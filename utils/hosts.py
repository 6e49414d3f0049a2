"""Several processes that train together, each on devices of its own: joining them, and ending with them. JAX only.

A process is told of the others as Keras is: KERAS_DISTRIBUTION_JOB_ADDRESSES (host:port of the first process),
_NUM_PROCESSES and _PROCESS_ID (0 is the first).
"""

import atexit
import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from utils.settings import UserError

NAMES = tuple(f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
TENSORFLOW = (
    "Keras 3 does not train under TensorFlow's MultiWorkerMirroredStrategy (keras-team/keras#20585): several processes"
    " train together under KERAS_BACKEND=jax, several devices of one host under either with --devices all"
)
# How a step ends whose partner is gone: a status of XLA's, such as "UNKNOWN: Gloo all-reduce failed: ... reset by peer"
LOST = re.compile("(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION): ")


@dataclass
class Hosts:
    """The processes of a training: this one's number, and how many there are."""

    process: int = 0
    processes: int = 1
    finished: bool = False

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.process == 0

    def join(self, backend: str) -> None:
        """Joins the processes that the environment names; to be called before the backend finds its devices.

        Others than the first are silent from then on, but for errors. Raises UserError for what cannot be joined.
        """
        if backend == "tensorflow" and "cluster" in os.environ.get("TF_CONFIG", ""):
            raise UserError(f"TF_CONFIG names several workers. {TENSORFLOW}")
        address, self.process, self.processes = _named()
        if self.processes == 1:
            return
        if backend != "jax":
            raise UserError(f"{self.processes} processes are asked for. {TENSORFLOW}")
        import keras

        try:
            keras.distribution.initialize(address, self.processes, self.process)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"cannot join the processes at {address}: {str(error).splitlines()[0]}") from error
        atexit.register(self._leave)  # what is registered last is called first: before JAX's own
        if not self.first:
            os.environ["TQDM_DISABLE"] = "1"
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    @contextlib.contextmanager
    def others_watched(self) -> Iterator[None]:
        """Raises UserError where a step fails because another process is gone."""
        try:
            yield
        except (ValueError, RuntimeError) as error:
            if self.processes == 1 or not LOST.match(str(error)):
                raise
            raise UserError(
                f"process {self.process} of {self.processes} has lost another one; the last whole epoch is kept: start"
                f" all of them again with --resume and the run's folder ({str(error).splitlines()[0][:200]})"
            ) from error

    def check_agreement(self, *what: Any) -> None:
        """Raises UserError, in every process, where they were not all given the same (anything that JSON can write)."""
        if self.processes > 1:
            import numpy as np
            from jax.experimental.multihost_utils import process_allgather

            digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()
            found = process_allgather(np.frombuffer(digest, np.uint32))
            if (found != found[0]).any():
                raise UserError("the processes were not given the same settings and annotation file; all take the same")

    def _leave(self) -> None:
        """Ends a process that has not finished at once: JAX's farewell waits for the others, who wait for this one."""
        if not self.finished:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(2)


def _named() -> tuple[str, int, int]:
    """Returns (address of the first process, this one's number, how many there are) of the environment."""
    address, processes, process = (os.environ.get(name, "") for name in NAMES)
    if not address and not processes and not process:
        return "", 0, 1
    given = ", ".join(f"{name}={os.environ.get(name, '')}" for name in NAMES)
    if not address or not processes.isdecimal() or not process.isdecimal():
        raise UserError(f"several processes take an address host:port, their number and this one's; received {given}")
    if int(process) >= int(processes):
        raise UserError(f"of {processes} processes this is one of 0 to {int(processes) - 1}; received {given}")
    return address, int(process), int(processes)
