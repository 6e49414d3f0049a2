"""Where decoded photos are kept changes no batch and no loss."""

import json
from pathlib import Path

import numpy as np
import pytest

import train
from datasets.drawn_faces import draw_people
from utils.annotations import read_annotations, write_annotations
from utils.dataloader import Loader, Pixels
from utils.images import fit_image, read_image
from utils.people_folder import PeopleFolder
from utils.samplers import PeopleSampler
from utils.settings import parse

TINY = ["--input_size", "64", "--crop", "0.875", "--batch_size", "12", "--epochs", "2", "--steps_per_epoch", "3"]
VARIED = ["--rotation", "5", "--val_people", "3"]


@pytest.fixture(scope="module")
def annotation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_people(folder / "people", people=8, images=5, size=80, seed=0)
    write_annotations(folder / "cls_train.txt", folder / "people", PeopleFolder(folder / "people"))
    Path(read_annotations(folder / "cls_train.txt").path(7)).write_bytes(b"no photo")
    return folder / "cls_train.txt"


def loader_of(annotation: Path, **options: object) -> Loader:
    sampler = PeopleSampler(read_annotations(annotation), 12, 0, images_each=4, power=0.0)
    return Loader(sampler, Pixels((72, 72)), (0, 9), 2, **options)  # type: ignore[arg-type]


def test_rows_of_everything_are_the_images_of_the_batch(annotation):
    plain, kept, shard = loader_of(annotation), loader_of(annotation), loader_of(annotation, places=[1, 5, 11])
    photos = kept.everything()
    assert (shard.everything() == photos).all()
    assert photos.shape == (40, 72, 72, 3)
    assert list(kept.bad_files) == [plain.sampler.annotations.path(7)]
    seen = set()
    for i in range(9):
        images, labels = plain[i]
        rows, found = kept[i]
        assert rows.dtype == np.int32
        assert (photos[rows] == images).all()
        assert (found == labels).all()
        part, part_labels = shard[i]
        assert (part == rows[[1, 5, 11]]).all()
        assert (part_labels == labels[[1, 5, 11]]).all()
        seen |= set(rows.tolist())
    assert 7 not in seen
    assert 7 in {row for step in range(9) for row in plain.sampler.rows(step).tolist()}
    expected = fit_image(read_image(plain.sampler.annotations.path(3)), (72, 72))
    assert (photos[3] == expected).all()


def test_kept_photos_are_varied_anew_each_time(annotation):
    sampler = PeopleSampler(read_annotations(annotation), 12, 0, images_each=4, power=0.0)
    loaders = [Loader(sampler, Pixels((64, 64), 0.875, True, 3.0), (0, 9), 2) for _ in range(2)]
    loaders[1].photos.keep()
    for step in (0, 1, 2, 0, 1, 2):
        images, again = (loader.batch(step)[0] for loader in loaders)
        assert (images == again).all()
    assert sum(photo is not None for photo in loaders[1].photos.kept) > 12


def test_a_run_is_the_same_wherever_photos_are_kept(annotation, tmp_path, capsys):
    losses = {}
    for where in ("none", "ram", "device"):
        given = ["--annotation_path", str(annotation), "--save_dir", str(tmp_path / where), "--cache", where]
        train.main(parse(train.Settings, [*TINY, *VARIED, *given]))
        assert f"cache  {where}: " in capsys.readouterr().out
        (folder,) = (tmp_path / where).iterdir()
        losses[where] = [row["loss"] for row in json.loads((folder / "history.json").read_text())]
        with np.load(folder / "state.npz") as state:
            assert not [name for name in state.files if "photos" in name]
    assert losses["ram"] == losses["none"]
    assert losses["device"] == pytest.approx(losses["none"], rel=1e-5)
