"""Starting Keras on its backend without the backend's own chatter on the terminal."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

# TensorFlow's, where the environment does not say otherwise. By itself it takes oneDNN's kernels on processors with
# AVX512-VNNI or AMX only; on one with AVX2 a step of MobileNet was 2.4 times as fast with them (docs/results.md).
SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}


# What Keras imports where it is installed, for its scikit-learn wrappers and its galleries of images. No verb needs it,
# and it is a fifth to a quarter of the seconds that Keras takes to start.
UNUSED = ("sklearn", "matplotlib.pyplot", "pandas")


@contextlib.contextmanager
def hidden(modules: tuple[str, ...]) -> Iterator[None]:
    """Has imports of these modules raise ImportError meanwhile, but for what is imported already."""
    fresh = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(fresh))  # type: ignore[arg-type]  # None: the import system is to refuse them
    try:
        yield
    finally:
        for name in fresh:
            del sys.modules[name]


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Turns the file descriptor of stderr away: C++ libraries write there past `sys.stderr`. Errors still raise."""
    sys.stderr.flush()
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def start_keras(joined: Callable[[str], Any] | None = None) -> Any:
    """Imports Keras and its backend, finds the devices, and returns the module `keras`.

    `joined` is called with the backend's name before its devices are found: only then other processes can be joined.

    TensorFlow's C++ side writes lines on CPU kernels and missing CUDA drivers to the terminal before any setting of
    ours can reach it.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with silenced(), hidden(UNUSED):
        import keras

        if joined:
            joined(keras.backend.backend())
        keras.distribution.list_devices()
    return keras


def on_gpu() -> bool:
    """Says whether there is a GPU to compute on."""
    import keras

    return any(name.startswith("gpu") for name in keras.distribution.list_devices())  # JAX raises when asked for "gpu"


def xla_pays() -> bool:
    """Says whether to compile the step with XLA: not under TensorFlow on a CPU, where it is ten times slower."""
    import keras

    return keras.backend.backend() != "tensorflow" or on_gpu()
