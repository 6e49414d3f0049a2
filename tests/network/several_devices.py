"""Runs train.py, with a tiny trunk, on two virtual devices of this CPU; several times in one process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, os, sys

class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named '{name}'")

backend, *runs = sys.argv[1:]
if backend == "jax":  # it needs no TensorFlow, whose import takes its time
    sys.meta_path.insert(0, Absent())
else:
    import tensorflow as tf

    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [one, one])

import train
from nets.facenet import TRUNKS
from tests.network.several_devices import tiny
from utils import class_layout
from utils.settings import run_script

TRUNKS["mobilenet"] = tiny
class_layout.MANY = int(os.environ.get("MANY", class_layout.MANY))
for flags in runs:
    run_script(train.main, train.Settings, json.loads(flags))
"""


def tiny(images: Any, **_: Any) -> Any:
    """A trunk that compiles in no time; it takes MobileNet's place."""
    import keras

    from nets.layers import BatchNorm

    x = keras.layers.Conv2D(8, 8, strides=4, use_bias=False)(images)
    return keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(BatchNorm()(x)))


def start(backend: str, *runs: list[str], **environment: str) -> "subprocess.Popen[str]":
    """Starts a process of that backend with two devices, which trains with each of the lists of flags in turn."""
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"} if backend == "jax" else {}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, backend, *map(json.dumps, runs)],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend} | two | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> str:
    """Returns what a process printed that ended well."""
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error[-3000:]
    return out


def history_of(logs: Path) -> list[dict[str, Any]]:
    """Returns the figures of the one run below `logs`."""
    (path,) = logs.glob("*/history.json")
    history: list[dict[str, Any]] = json.loads(path.read_text())
    return history
