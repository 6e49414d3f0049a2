"""Starting Keras: in silence, with oneDNN's kernels, and without what no verb needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.backend import UNUSED, hidden

ROOT = Path(__file__).resolve().parents[2]
START = """
import os, sys
from utils.backend import UNUSED, start_keras
start_keras()
print(os.environ["TF_ENABLE_ONEDNN_OPTS"], [name for name in UNUSED if name in sys.modules])
import sklearn.isotonic, matplotlib.pyplot
print(sklearn.isotonic.IsotonicRegression().fit_transform([1, 2], [0.5, 1.5]))
"""


@pytest.mark.parametrize(("given", "kernels"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_keras_starts_without_what_nobody_needs_and_that_can_be_imported_afterwards(
    given: dict[str, str], kernels: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | given
    done = subprocess.run(
        [sys.executable, "-c", START],
        cwd=ROOT,
        env=environment | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{kernels} []", "[0.5 1.5]"]


def test_what_is_imported_already_is_left_alone() -> None:
    import json

    with hidden(("json", "wave")), pytest.raises(ImportError):
        import wave
    import wave

    assert sys.modules["json"] is json
    assert wave.__name__ == "wave"
    assert "sklearn" in UNUSED
