"""A head that begins at its people's mean embeddings: the means against a plain loop, and a training that uses them."""

import json
from pathlib import Path

import numpy as np
import pytest

import train
from datasets.drawn_faces import draw_people
from tests.network.small_embedder import save_small_embedder
from utils.annotations import Annotations, read_annotations, write_annotations
from utils.embedder import Embedder
from utils.head_start import EACH, means_of
from utils.people_folder import PeopleFolder
from utils.settings import run_script


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_people(folder / "people", people=6, images=12, size=48, seed=0)
    write_annotations(folder / "cls_train.txt", folder / "people", PeopleFolder(folder / "people"))
    save_small_embedder(folder / "people", folder / "small.keras")
    return folder


@pytest.fixture
def people(folder: Path) -> Annotations:
    return read_annotations(folder / "cls_train.txt")


def plain_mean(embedder: Embedder, paths: list[str]) -> np.ndarray:
    vectors = [embedder.embed_images(embedder.read(path)[None])[0] for path in paths]
    mean = sum(vectors) / len(vectors)
    return np.asarray(mean / np.linalg.norm(mean))


def test_means_are_the_plain_loop_over_ten_photos_evenly_spread(folder, people):
    embedder = Embedder.load(folder / "small.keras")
    found = means_of(folder / "small.keras", people, None)
    assert EACH == 10
    for person, mean in enumerate(found):
        first = int(people.starts[person])
        paths = [people.path(first + k) for k in (0, 1, 2, 3, 4, 6, 7, 8, 9, 11)]  # of 12: 11/9 apart, rounded down
        assert mean == pytest.approx(plain_mean(embedder, paths), abs=2e-3)  # half precision


def test_a_photo_that_cannot_be_read_is_left_out_and_one_without_any_has_no_mean(folder, people, tmp_path, capsys):
    copy = tmp_path / "people"
    draw_people(copy, people=2, images=2, size=48, seed=1)
    (first, second), (third, fourth) = (sorted(one.glob("*.jpg")) for one in sorted(copy.iterdir()))
    for photo in (second, third, fourth):
        photo.write_bytes(b"no photo")
    write_annotations(tmp_path / "cls_train.txt", copy, PeopleFolder(copy))
    found = means_of(folder / "small.keras", read_annotations(tmp_path / "cls_train.txt"), None)
    embedder = Embedder.load(folder / "small.keras")
    assert found[0] == pytest.approx(plain_mean(embedder, [str(first)]), abs=2e-3)
    assert not found[1].any()
    assert capsys.readouterr().out.count("not in its person's mean:") == 3


def test_a_training_that_goes_on_from_weights_names_people_sooner(folder, tmp_path):
    flags = ["--annotation_path", str(folder / "cls_train.txt"), "--input_size", "32", "--batch_size", "12"]
    flags += ["--steps_per_epoch", "2", "--val_people", "0", "--images_each", "2", "--init_lr", "1e-3"]
    run_script(train.main, train.Settings, [*flags, "--epochs", "8", "--save_dir", str(tmp_path / "start")])
    (start,) = (tmp_path / "start").glob("*/embedder_last.keras")
    accuracy = {}
    for way in ("random", "means"):
        more = ["--model_path", str(start), "--head_start", way, "--epochs", "1", "--init_lr", "1e-6"]
        more += ["--frozen_batchnorm", "yes"]  # as it was when the means were taken
        run_script(train.main, train.Settings, [*flags, *more, "--save_dir", str(tmp_path / way)])
        (history,) = (tmp_path / way).glob("*/history.json")
        accuracy[way] = json.loads(history.read_text())[0]["accuracy"]
    assert accuracy["means"] > accuracy["random"] + 0.2, accuracy
