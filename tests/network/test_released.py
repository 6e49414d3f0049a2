"""The embedders that come with the project, in use: they tell drawn people apart, whom they have never seen."""

from pathlib import Path

import numpy as np
import pytest

from datasets.drawn_faces import draw_face
from tests.test_released import FILES
from utils.embedder import Embedder
from utils.metrics import squared_distances, verify
from utils.onnx_network import OnnxNetwork
from utils.runs import RELEASED

PEOPLE, IMAGES = 12, 4


@pytest.mark.parametrize("on_keras", [False, True])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_tells_people_apart(path: Path, on_keras: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    embedder = Embedder.load(path, on_keras=on_keras)
    assert isinstance(embedder.network, OnnxNetwork) == (path == RELEASED and not on_keras)
    height, width = embedder.size
    assert height == width
    faces = np.stack([draw_face(person, image, width, 0) for person in range(PEOPLE) for image in range(IMAGES)])
    found = embedder.embed_images(faces)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    person = np.repeat(np.arange(PEOPLE), IMAGES)
    first, second = np.triu_indices(len(person), 1)
    same = person[first] == person[second]
    assert verify(squared_distances(found[first], found[second]), same, np.arange(len(same)) % 10).auc > 0.85
    assert embedder.card["thresholds"]["far_1e-3"]["threshold"] < embedder.card["thresholds"]["far_1e-2"]["threshold"]
