"""The first answer comes without Keras: what the released embedder and the detector need is ONNX Runtime."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.drawn_faces import draw_face, draw_people, person_name, write_pairs

ROOT = Path(__file__).parents[1]
WITHOUT = """
import runpy, sys
class Refused:
    def find_spec(name, *_):
        if name.partition(".")[0] in ("keras", "tensorflow", "jax", "torch"):
            raise ModuleNotFoundError(f"{name} was asked for", name=name)
sys.meta_path.insert(0, Refused)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def without_keras(folder: Path, script: str, *flags: str, code: int = 0) -> str:
    """Runs a script in a folder where any import of Keras and its backends fails; returns what it printed.

    It has to leave with `code`.
    """
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(ROOT / script), *flags],
        cwd=folder,
        env=environment | {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_two_photos_are_compared(tmp_path: Path) -> None:
    for person in (4, 10):  # whom the detector takes for people
        photo = np.full((240, 300, 3), 120, np.uint8)
        photo[40:200, 70:230] = draw_face(person, 0, 160, seed=0)
        Image.fromarray(photo).save(tmp_path / f"{person}.png")
    said = without_keras(tmp_path, "predict.py", "4.png", "10.png", "--show", "no")
    assert "mobilenet.keras (released)" in said
    assert "4.png: a face of " in said
    assert "10.png: a face of " in said
    assert "distance " in said
    assert (tmp_path / "comparison.png").is_file()


def test_the_other_verbs_come_without_it_too(tmp_path: Path) -> None:
    draw_people(tmp_path / "people", people=6, images=4, size=128, seed=0)
    people = [person_name(person) for person in range(6)]
    write_pairs(tmp_path / "pairs.txt", people, images=4, pairs=20, seed=0)
    evaluated = without_keras(
        *(tmp_path, "eval_lfw.py", "--lfw_dir", "people", "--lfw_pairs", "pairs.txt"),
        *("--save_dir", "pictures", "--store_thresholds", "no"),
    )
    assert "accuracy" in evaluated
    assert "6 people" in without_keras(tmp_path, "identify.py", "enroll", "people")
    assert people[0] in without_keras(tmp_path, "identify.py", "who", f"people/{people[0]}/{people[0]}_0001.jpg")
    assert "group" in without_keras(tmp_path, "group.py", "people", "--output", "groups")


def test_what_takes_keras_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (128, 128)).save(tmp_path / "a.png")
    model = str(ROOT / "model_data" / "iresnet18.keras")
    said = without_keras(tmp_path, "predict.py", "a.png", "a.png", "--model_path", model, code=2)
    assert said.startswith("error: keras is not installed: pip install -r requirements.txt")
    assert len(said.splitlines()) == 1


EMBEDDED = """
import sys
import numpy as np
from utils.embedder import Embedder
print(Embedder.load(sys.argv[1]).embed_images(np.zeros((2, 112, 112, 3), np.uint8)).shape)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="statistics are kept elsewhere there")
def test_onnx_runtime_keeps_and_sends_no_statistics(tmp_path: Path) -> None:
    """Its builds from 1.29 on note every session in files of the user's and send them to their maker."""
    home = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", EMBEDDED, str(ROOT / "model_data" / "mobilenet.onnx")],
        env=os.environ | home | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "(2, 128)\n"
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name or path.name in ("deviceid", ".ses")]
