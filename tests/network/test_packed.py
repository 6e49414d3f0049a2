"""Training from shards is training from loose files: the same batches, the same losses, the same weights."""

import json
from pathlib import Path

import pytest

import train
from datasets.drawn_faces import draw_people
from utils.annotations import read_annotations, split_people, write_annotations
from utils.dataloader import Loader, Pixels
from utils.packing import pack
from utils.people_folder import PeopleFolder
from utils.samplers import PeopleSampler, TripleSampler
from utils.settings import parse

TINY = ["--sampler", "triples", "--metric_loss", "triplet", "--input_size", "64", "--batch_size", "6"]
TINY += ["--epochs", "1", "--steps_per_epoch", "2", "--val_people", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """loose/cls_train.txt, and packed/cls_train.txt in shards of some ten photos."""
    folder = tmp_path_factory.mktemp("packed")
    draw_people(folder / "loose", people=8, images=5, size=64, seed=0)
    (folder / "loose" / "alignment.json").write_text('{"alignment": "landmarks-64-0"}')
    source = folder / "loose" / "cls_train.txt"
    write_annotations(source, folder / "loose", PeopleFolder(folder / "loose"))
    annotations = read_annotations(source)
    Path(annotations.path(7)).write_bytes(b"no photo")
    assert len(pack(annotations, source, folder / "packed", 40_000).lengths) > 2
    return folder


@pytest.mark.parametrize("sampler", [TripleSampler, PeopleSampler])
def test_batches_are_equal_byte_for_byte(folder, sampler):
    loaders = []
    for name in ("loose", "packed"):
        people, _ = split_people(read_annotations(folder / name / "cls_train.txt"), 2, 0)
        more = {"images_each": 3, "power": 0.0} if sampler is PeopleSampler else {}
        loaders.append(Loader(sampler(people, 6, 1, **more), Pixels((48, 56), 0.9, True, 3.0), (0, 40), 2))
    for step in range(40):
        (loose, labels, paths), (packed, packed_labels, packed_paths) = (loader.batch(step) for loader in loaders)
        assert (loose == packed).all()
        assert (labels == packed_labels).all()
        names = [Path(path).parts[-2:] for path in paths]
        assert names == [Path(path).parts[-2:] for path in packed_paths]
    assert [len(loader.bad_files) for loader in loaders] == [1, 1]


def test_train_reads_shards_with_no_other_flag_and_learns_the_same(folder, tmp_path):
    histories, cards = [], []
    for name in ("loose", "packed"):
        annotation = str(folder / name / "cls_train.txt")
        train.main(parse(train.Settings, [*TINY, "--annotation_path", annotation, "--save_dir", str(tmp_path / name)]))
        (run,) = (tmp_path / name).iterdir()
        (history,) = json.loads((run / "history.json").read_text())
        histories.append({key: history[key] for key in ("loss", "triplet", "cross_entropy")})
        cards.append(json.loads((run / "embedder_last.json").read_text()))
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)
    assert [card["alignment"] for card in cards] == ["landmarks-64-0"] * 2
