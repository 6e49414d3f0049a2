"""A released file is half as large and embeds as the run's did."""

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import release
from nets.facenet import facenet
from utils.embedder import Embedder
from utils.files import read_json, sha256, write_json
from utils.halved import halve
from utils.settings import UserError

IMAGES = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    network = facenet((64, 64, 3), mode="predict", alpha=0.5)
    path = tmp_path_factory.mktemp("run") / "embedder_best.keras"
    card = {
        "backbone": "mobilenet",
        "crop": 1.0,
        "thresholds": {"sha256": "of the run's"},
        "trained": {"settings": {"teacher": "/home/me/teacher.keras", "lfw_pairs": "model_data/lfw_pairs.txt"}},
    }
    Embedder(network, card).save(path)
    return path


def test_the_released_file_embeds_as_the_runs_own(run, tmp_path, capsys):
    release.main(release.Settings(model_path=str(run), output=str(tmp_path), name="small"))
    released = tmp_path / "small.keras"
    assert released.stat().st_size < 0.6 * run.stat().st_size
    before, after = (Embedder.load(path) for path in (run, released))
    assert {str(v.dtype) for v in after.network.weights} == {"float32"}
    moved = np.square(before.embed_images(IMAGES) - after.embed_images(IMAGES)).sum(1)
    assert 0 < moved.max() < 1e-3
    assert f"written      {released}" in capsys.readouterr().out


def test_its_card_is_of_its_own_weights_and_names_no_folder(run, tmp_path):
    release.main(release.Settings(model_path=str(run), output=str(tmp_path)))
    card = read_json(tmp_path / "mobilenet.json")
    assert card["sha256"] == sha256(tmp_path / "mobilenet.keras")
    assert "thresholds" not in card
    assert card["trained"]["settings"] == {"teacher": "teacher.keras", "lfw_pairs": "model_data/lfw_pairs.txt"}


def test_the_same_weights_give_the_same_bytes(run, tmp_path):
    for name in ("a.keras", "b.keras"):
        halve(run, tmp_path / name)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def test_a_weight_beyond_float16_is_refused_and_nothing_is_written(run, tmp_path):
    large = Embedder.load(run)
    kernel = large.network.get_layer("Bottleneck").kernel
    kernel.assign(kernel * 1e7)
    large.save(tmp_path / "large.keras")
    write_json(tmp_path / "large.json", large.card)
    with pytest.raises(UserError, match="float16 ends at 65504"):
        release.main(release.Settings(model_path=str(tmp_path / "large.keras"), output=str(tmp_path / "out")))
    assert not list((tmp_path / "out").glob("*"))


def test_only_matrices_are_rounded(run, tmp_path):
    halve(run, tmp_path / "half.keras")
    with zipfile.ZipFile(tmp_path / "half.keras") as file:
        assert file.testzip() is None
    networks = Embedder.load(run).network, Embedder.load(tmp_path / "half.keras").network
    for old, new in zip(*(network.weights for network in networks), strict=True):
        exact = np.array_equal(np.asarray(old), np.asarray(new))
        assert exact == (len(old.shape) < 2), old.path
