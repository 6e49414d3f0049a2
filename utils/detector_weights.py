"""The detector's weights, out of the wheel of the package `mtcnn`, which is found but not imported."""

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from utils.settings import UserError

DETECTOR = "MTCNN, weights of mtcnn 1.0, landmarks the mean of 6 looks"  # utils/detector.py, as records name it
# The files of mtcnn 1.0. They are pickles, which run what they hold: none but these is ever opened.
FILES = {
    "p_net": ("pnet.lz4", "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5"),
    "r_net": ("rnet.lz4", "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee"),
    "o_net": ("onet.lz4", "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3"),
}
INSTALL = "pip install --force-reinstall 'mtcnn>=1.0,<1.1'"


def detector_weights(name: str) -> list[NDArray[np.float32]]:
    """Returns the arrays of `p_net`, `r_net` or `o_net`, layer by layer.

    Raises UserError where the package is missing, or the file is not the one of mtcnn 1.0 (by its SHA-256).
    """
    import joblib  # here, for it is needed once and takes a tenth of a second

    return joblib.load(io.BytesIO(_checked(name)))


def check_weights() -> None:
    """Raises UserError where weights are missing or others, without a network, and so at once."""
    for name in FILES:
        _checked(name)


def _checked(name: str) -> bytes:
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
    return data
