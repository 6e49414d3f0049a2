"""The estimate of memory: counted by hand on a small network, and beside the peak of a process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest

from nets.facenet import TRUNKS, facenet
from utils.memory_estimate import PROGRAM, Classes, memory_of
from utils.precision import set_precision

ROOT = Path(__file__).resolve().parents[2]
CLASSES = Classes(people=50, numbers=16, columns=20, kept=2)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(
        TRUNKS, "tiny", lambda x: keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 8, strides=8)(x))
    )
    yield
    keras.config.set_dtype_policy("float32")


def parts_of(side: int | None = 32, trunk: str = "tiny") -> dict[str, float]:
    network = facenet((side, side, 3), 50, trunk, 16, head="cosface")
    return memory_of(network, CLASSES, kept=2, images=(4, 32, 32), queue=3, on_host=True)


def test_every_part_is_counted():
    image, vectors = 32 * 32 * 3, 8 + 8 + 16 + 16 + 16  # pooled, dropped; bottleneck, its BatchNorm, unit length
    maps = 4 * 4 * (image + image + 4 * 4 * 8 + vectors)  # the input, scaled, and the convolution's
    weights = 8 * 8 * 3 * 8 + 8 + 8 * 16 + 3 * 16
    assert parts_of() == {
        "class weights": 50 * 16 * 4 * 3,
        "their step": 20 * 16 * 4 * (3 + 3),
        "logits": 4 * 20 * 4 * 5,
        "network": weights * 4 * 4,
        "maps": maps + 2 * 4 * 4 * image,
        "images waiting": 3 * 4 * image,
        "program": PROGRAM,
    }


def test_a_network_of_images_of_any_size_is_counted_at_its_size():
    assert parts_of(None) == parts_of(32)


def test_bfloat16_halves_the_maps_between_the_layers():
    whole = parts_of(trunk="mobilenet")
    set_precision("bfloat16")
    half = parts_of(trunk="mobilenet")
    assert half["maps"] == pytest.approx(0.5 * whole["maps"], rel=0.1)  # images come in float32
    assert {name: half[name] for name in half if name != "maps"} == {n: whole[n] for n in whole if n != "maps"}


@pytest.mark.parametrize("share", ["1", "0.1"])
def test_the_peak_of_a_process_is_within_a_factor_of_two(share):
    flags = ["--people", "100000", "--class_sample", share, "--batch_size", "64", "--steps", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.many_people", *flags],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r": peak +([\d.]+) GB, estimated ([\d.]+) GB", done.stdout)
    assert found is not None, done.stdout
    peak, estimated = map(float, found.groups())
    assert 0.5 * peak < estimated < 2 * peak
