"""Keras on its backend: started quickly and without chatter, and what is worth compiling there."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils.settings import UserError, choose

# TensorFlow's, where the environment does not say otherwise. By itself it takes oneDNN's kernels on processors with
# AVX512-VNNI or AMX only; on one with AVX2 a step of MobileNet was 2.4 times as fast with them (docs/results.md).
SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}


# What Keras imports where it is installed, for its scikit-learn wrappers and its galleries of images, and TensorFlow to
# convert to TFLite. No verb needs it while Keras starts, and it is a third of the seconds that this takes.
UNUSED = ("sklearn", "matplotlib", "pandas")
UNUSED_BY_TENSORFLOW = ("jax",)
BACKENDS = ("tensorflow", "jax")  # of Keras's, those that this project runs on


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


def backend_asked_for() -> str:
    """Returns the backend that Keras will start: the environment's, else its own file's, else TensorFlow."""
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        return str(json.loads((folder / "keras.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


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
    ours can reach it. Raises UserError for another backend, or where Keras or its backend is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    choose({name: name for name in BACKENDS}, backend_asked_for(), "backend of Keras (KERAS_BACKEND)")
    unused = UNUSED + (UNUSED_BY_TENSORFLOW if backend_asked_for() == "tensorflow" else ())
    with silenced(), hidden(unused):
        try:
            import keras
        except ModuleNotFoundError as error:  # Keras, or its backend
            raise UserError(
                f"{error.name} is not installed: pip install -r requirements.txt (without it, .onnx embedders run)"
            ) from None

        if joined:
            joined(keras.backend.backend())
        keras.distribution.list_devices()
    return keras


def on_gpu() -> bool:
    """Says whether there is a GPU to compute on."""
    import keras

    return any(name.startswith("gpu") for name in keras.distribution.list_devices())  # JAX raises when asked for "gpu"


def may_have_gpu() -> bool:
    """Says, without starting Keras, whether it might find a GPU: a driver of NVIDIA's (or WSL's) or AMD's is loaded."""
    hidden_from_us = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    return not hidden_from_us and any(os.path.exists(f"/dev/{name}") for name in ("nvidiactl", "dxg", "kfd"))


def xla_pays() -> bool:
    """Says whether to compile the step with XLA: not under TensorFlow on a CPU, where it is ten times slower."""
    import keras

    return keras.backend.backend() != "tensorflow" or on_gpu()


def outputs_of(network: Any, images: Any, few: bool) -> Any:
    """Returns what a network makes of `images (B, H, W, 3)`, as arrays.

    `few` are not worth a compiled graph, which takes longer than they do; but under JAX each operation would be
    compiled by itself.
    """
    import keras

    if few and keras.backend.backend() == "tensorflow" and isinstance(network, keras.Model):
        return keras.tree.map_structure(keras.ops.convert_to_numpy, network(images, training=False))
    return network.predict_on_batch(images)
