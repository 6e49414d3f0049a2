"""Writes the detector's networks, model_data/mtcnn/*.onnx: `nets/mtcnn.py` with the weights of the package `mtcnn`.

Run as `python -m benchmarks.detector_files`, once for each change of `nets/mtcnn.py`; what uses the files needs neither
Keras nor the package. It takes mtcnn 1.0 (requirements-dev.txt) and what `export.py --format onnx` takes.
"""

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.settings import UserError, run_script

# The files of mtcnn 1.0. They are pickles, which run what they hold: none but these is ever opened.
FILES = {
    "p_net": ("pnet.lz4", "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5"),
    "r_net": ("rnet.lz4", "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee"),
    "o_net": ("onet.lz4", "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3"),
}
INSTALL = "pip install --force-reinstall 'mtcnn>=1.0,<1.1'"


@dataclass(frozen=True)
class Settings:
    """Writes the detector's networks as ONNX files."""

    output: str = "model_data/mtcnn"  # folder


def main(settings: Settings) -> None:
    """Writes the three files."""
    from utils.backend import start_keras

    start_keras()
    from utils.exporting import check_packages, write_onnx
    from utils.files import written_whole

    check_packages("onnx")
    for name in FILES:
        path = Path(settings.output, f"{name}.onnx")
        with written_whole(path) as temporary:
            write_onnx(detector_network(name), temporary)
        print(f"written      {path}, {path.stat().st_size / 1e6:.2f} MB")


def detector_network(name: str) -> Any:
    """Returns `p_net`, `r_net` or `o_net` on Keras, with the package's weights."""
    from nets.mtcnn import mtcnn

    network = mtcnn(name)
    network.set_weights(detector_weights(name))
    return network


def detector_weights(name: str) -> list[NDArray[np.float32]]:
    """Returns the arrays of `p_net`, `r_net` or `o_net`, layer by layer.

    Raises UserError where the package is missing, or the file is not the one of mtcnn 1.0 (by its SHA-256).
    """
    import joblib

    file, expected = FILES[name]
    package = importlib.util.find_spec("mtcnn")  # of a package at the top this runs nothing
    if package is None or not package.submodule_search_locations:
        raise UserError(f"the package mtcnn, whose weights find the faces, is not installed: {INSTALL}")
    path = Path(package.submodule_search_locations[0], "assets", "weights", file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the detector's weights, {path}: {error.strerror}; {INSTALL}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise UserError(f"{path} has SHA-256 {found[:12]}…, {expected[:12]}… of mtcnn 1.0 is expected; {INSTALL}")
    return joblib.load(io.BytesIO(data))


if __name__ == "__main__":
    run_script(main, Settings)
