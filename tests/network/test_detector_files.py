"""The detector's files hold what the package mtcnn does: its networks, its weights, and so its faces."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from benchmarks import detector_files as files
from nets.mtcnn import mtcnn
from tests.test_detector import only, overlap, photo
from utils.detector import Detector
from utils.detector_weights import detector_file
from utils.onnx_network import onnx_session
from utils.settings import UserError


@pytest.mark.parametrize(("name", "parameters"), [("p_net", 6632), ("r_net", 100178), ("o_net", 389040)])
def test_the_networks_have_the_papers_sizes(name: str, parameters: int) -> None:
    assert mtcnn(name).count_params() == parameters


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the package runs on TensorFlow")
def test_faces_are_those_of_the_package() -> None:
    from mtcnn import MTCNN

    package, compared = MTCNN(), 0
    for person in (4, 5, 6, 10, 13, 15):
        rows = package.detect_faces(photo(person), min_face_size=20, output_type="numpy", box_format="xyxy")
        if len(rows) != 1:  # drawn faces are at the edge of what it takes for one
            continue
        (found,), compared = rows, compared + 1
        face = only(Detector(min_face=20).detect([photo(person)])[0])
        assert overlap(face.box, found[1:5]) > 0.7
        assert np.abs(face.landmarks - np.column_stack((found[6:11], found[11:16]))).mean() < 4
        assert abs(face.confidence - found[5]) < 0.2
    assert compared >= 3


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the package runs on TensorFlow")
@pytest.mark.parametrize(("name", "side"), [("p_net", 30), ("r_net", 24), ("o_net", 48)])
def test_the_networks_give_what_the_packages_give(name: str, side: int) -> None:
    from mtcnn import MTCNN

    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    stage = MTCNN().stages[("p_net", "r_net", "o_net").index(name)]
    expected = [np.asarray(output) for output in stage.model((pixels.astype(np.float32) - 127.5) / 128)]
    session = onnx_session(detector_file(name))
    keys = ["box", "landmarks", "score"] if name == "o_net" else ["box", "score"]
    for key, found, values in zip(keys, session.run(keys, {"images": pixels}), expected, strict=True):
        assert np.allclose(found, values, atol=1e-5), key


@pytest.mark.parametrize(("name", "side"), [("p_net", 41), ("r_net", 24), ("o_net", 48)])
def test_the_files_give_what_the_networks_on_keras_give(name: str, side: int) -> None:
    """So that they can be made again, under JAX too."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    expected, session = files.detector_network(name).predict_on_batch(pixels), onnx_session(detector_file(name))
    assert {output.name for output in session.get_outputs()} == set(expected)
    for key, values in expected.items():
        assert np.allclose(session.run([key], {"images": pixels})[0], values, atol=1e-5), key


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package mtcnn elsewhere, with the real weights; returns the folder of the files."""
    folder = tmp_path / "mtcnn" / "assets" / "weights"
    folder.mkdir(parents=True)
    found = importlib.util.find_spec("mtcnn")
    assert found
    assert found.submodule_search_locations
    for file, _ in files.FILES.values():
        data = Path(found.submodule_search_locations[0], "assets", "weights", file).read_bytes()
        (folder / file).write_bytes(data)
    fake = SimpleNamespace(submodule_search_locations=[str(tmp_path / "mtcnn")])
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: fake)
    return folder


def test_weights_that_are_others_are_not_opened(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray((package / "rnet.lz4").read_bytes())
    data[-1] ^= 1
    (package / "rnet.lz4").write_bytes(data)
    monkeypatch.setattr("joblib.load", lambda *_: pytest.fail("a pickle of unknown contents was opened"))
    with pytest.raises(UserError, match=r"rnet.lz4 has SHA-256 .* expected; pip install"):
        files.detector_weights("r_net")


def test_weights_that_are_missing_are_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "onet.lz4").unlink()
    with pytest.raises(UserError, match=r"cannot read .*onet.lz4.*pip install"):
        files.detector_weights("o_net")
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"mtcnn.* is not installed: pip install"):
        files.detector_weights("p_net")
