"""Starting Keras: in silence, with oneDNN's kernels, and without what no verb needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.backend import UNUSED, backend_asked_for, hidden

ROOT = Path(__file__).resolve().parents[2]
START = """
import os, sys
from utils.backend import UNUSED, UNUSED_BY_TENSORFLOW, start_keras
keras = start_keras()
unused = UNUSED + (UNUSED_BY_TENSORFLOW if keras.backend.backend() == "tensorflow" else ())
print(os.environ["TF_ENABLE_ONEDNN_OPTS"], [name for name in unused if name in sys.modules])
import jax.numpy, sklearn.isotonic, matplotlib.pyplot
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
    with hidden(("json", "wave")), pytest.raises(ImportError):
        import wave
    import wave

    assert sys.modules["json"] is json
    assert wave.__name__ == "wave"
    assert "sklearn" in UNUSED


@pytest.mark.parametrize(
    ("named", "written", "expected"),
    [
        (None, None, "tensorflow"),
        (None, '{"backend": "jax"}', "jax"),
        ("jax", '{"backend": "tensorflow"}', "jax"),
        (None, '{"floatx": "float32"}', "tensorflow"),
        (None, "[", "tensorflow"),
        (None, "[]", "tensorflow"),
    ],
)
def test_the_backend_is_the_one_that_keras_will_start(
    named: str | None, written: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if named:
        monkeypatch.setenv("KERAS_BACKEND", named)
    if written:
        (tmp_path / "keras.json").write_text(written)
    assert backend_asked_for() == expected


def test_a_few_images_give_what_many_give() -> None:
    import keras
    import numpy as np

    from utils.backend import outputs_of

    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="convolution")(inputs)
    outputs = {"map": x, "mean": keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))}
    network = keras.Model(inputs, outputs)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    few, many = (outputs_of(network, images, few=few) for few in (True, False))
    assert set(few) == set(many) == {"map", "mean"}
    for name, found in few.items():
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, many[name], rtol=1e-5)
    assert network.predict_function is not None  # many are worth it
    network.predict_function = None
    outputs_of(network, images, few=True)
    assert (network.predict_function is None) == (keras.backend.backend() == "tensorflow")
