"""train.py on folders as they are found: names that are no UTF-8, photos that cannot be read, one photo a person."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import train
from datasets.drawn_faces import draw_people
from utils import training
from utils.annotations import read_annotations, split_people, write_annotations
from utils.held_out import names_in
from utils.people_folder import PeopleFolder
from utils.settings import UserError, parse

TINY = ["--input_size", "32", "--batch_size", "12", "--epochs", "1", "--steps_per_epoch", "2"]


def annotation_of(folder: Path, people: int, images: int) -> Path:
    """Draws people; the first one's name has a byte that is no UTF-8."""
    draw_people(folder / "people", people=people, images=images, size=40, seed=0)
    first = sorted(os.listdir(folder / "people"))[0]
    os.rename(folder / "people" / first, os.fsencode(folder / "people" / first) + b"_\xe9")
    write_annotations(folder / "cls_train.txt", folder / "people", PeopleFolder(folder / "people"))
    return folder / "cls_train.txt"


def run(annotation: Path, logs: Path, *flags: str) -> Path:
    train.main(parse(train.Settings, [*TINY, "--annotation_path", str(annotation), "--save_dir", str(logs), *flags]))
    (folder,) = logs.glob("*-mobilenet")
    return folder


def test_a_photo_of_somebody_held_out_that_cannot_be_read_is_left_out(tmp_path, capsys):
    annotation = annotation_of(tmp_path, 14, 5)
    _, held_out = split_people(read_annotations(annotation), 4, 0)
    Path(held_out.path(0)).write_bytes(b"no photo")
    folder = run(annotation, tmp_path / "logs", "--val_people", "4")
    printed = " ".join(capsys.readouterr().out.split())
    assert "held out: 1 of 20 photos cannot be read, their pairs are left out; the first:" in printed
    (epoch,) = json.loads((folder / "history.json").read_text())
    assert epoch["held_out_auc"] > 0
    assert names_in(folder) == set(held_out.people)


def test_one_photo_a_person_trains_on_labels(tmp_path):
    annotation = annotation_of(tmp_path, 14, 1)
    flags = ("--sampler", "shuffled", "--metric_weight", "0", "--val_people", "0")
    folder = run(annotation, tmp_path / "logs", *flags)
    assert (folder / "first_batch.png").is_file()
    assert (folder / "embedder_last.keras").is_file()
    state = folder / "state.npz"
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])  # a copy that was broken off
    with pytest.raises(UserError, match="cannot read the training state"):
        train.main(parse(train.Settings, ["--resume", str(folder)]))


def test_photos_that_are_all_gone_leave_no_folder(tmp_path):
    annotation = annotation_of(tmp_path, 6, 3)
    annotation.write_text(annotation.read_text(errors="surrogateescape").replace("people/", "gone/"), errors="replace")
    (tmp_path / "cls_train.people.txt").unlink()
    with pytest.raises(UserError, match=r"none of the 18 images can be read; the first: .*gone"):
        run(annotation, tmp_path / "logs", "--val_people", "0")
    assert not (tmp_path / "logs").exists()
    with pytest.raises(UserError, match=r"--resume: '.*logs' has no settings\.json; the folder of a run is expected"):
        run(annotation, tmp_path / "logs", "--resume", str(tmp_path / "logs"))


def test_lfws_photos_are_looked_at_before_the_first_step(tmp_path):
    annotation = annotation_of(tmp_path, 14, 5)
    people = sorted(entry.name for entry in (tmp_path / "people").iterdir())[1:3]
    pairs = "".join(f"{name}/{name}_0001.jpg {name}/{name}_0002.jpg 1\n" for name in people)
    (tmp_path / "pairs.txt").write_text(pairs)
    (tmp_path / "people" / people[1] / f"{people[1]}_0002.jpg").write_bytes(b"no photo")
    lfw = ("--lfw_dir", str(tmp_path / "people"), "--lfw_pairs", str(tmp_path / "pairs.txt"))
    with pytest.raises(UserError, match=f"{people[1]}_0002.jpg is not an image"):
        run(annotation, tmp_path / "logs", "--val_people", "0", *lfw)
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("way", "contrast", "width"), [("distance", 0.0, 8), ("relation", 1.0, 8), ("relation", 0.0, 16)]
)
def test_a_teachers_width_is_the_students_where_vectors_are_compared(way, contrast, width, monkeypatch, capsys):
    vectors = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr("utils.teacher.Teacher.load", lambda *_: SimpleNamespace(width=16))
    monkeypatch.setattr("utils.teacher.teacher_embeddings", lambda *_: vectors)
    flags = ["--teacher", "t.keras", "--teacher_way", way, "--teacher_contrast", str(contrast), "--teacher_weight", "1"]
    settings = parse(train.Settings, [*flags, "--embedding_size", "8"])
    people = SimpleNamespace(labels=np.repeat(np.arange(10), 5))
    targets, _ = training.targets_of(settings, people, None)
    assert targets.shape == (50, width)
    said = " ".join(capsys.readouterr().out.split())
    assert "is it shown the right part (crop)?" in said  # these are drawn at random
    if width < 16:
        with pytest.raises(UserError, match=r"--teacher_spread 0\.3 would do nothing: of 16 numbers the 8 of largest"):
            training.targets_of(replace(settings, teacher_spread=0.3), people, None)


def test_another_teacher_under_its_name_is_not_gone_on_with(monkeypatch):
    settings = train.Settings(teacher="t.keras", epochs=3)
    run, taught = SimpleNamespace(state="state.npz"), {"annotations": "a", "epoch": 1, "history": []}
    monkeypatch.setattr("utils.training_people.taught_by", lambda _: "one")
    assert training.done_so_far(settings, None, None, "a", {})["teacher"] == "one"
    for noted in ({}, {"teacher": "one"}):  # runs of earlier versions did not note it
        monkeypatch.setattr("utils.state.load_state", lambda *_, noted=noted: taught | noted)
        assert training.done_so_far(settings, run, None, "a", {}) == taught | {"teacher": "one"}
    monkeypatch.setattr("utils.state.load_state", lambda *_: taught | {"teacher": "other"})
    with pytest.raises(UserError, match=r"--teacher t\.keras is not what it was when the run began"):
        training.done_so_far(settings, run, None, "a", {})


def test_epochs_that_people_held_out_judged_are_not_gone_on_with_without_them(monkeypatch):
    settings, run = train.Settings(epochs=3), SimpleNamespace(state="state.npz")
    done = {"annotations": "a", "epoch": 1, "teacher": "", "history": [{"epoch": 1, "held_out_auc": 0.8}]}
    monkeypatch.setattr("utils.state.load_state", lambda *_: done)
    assert training.done_so_far(settings, run, None, "a", {"held_out": "pairs"}) == done
    with pytest.raises(UserError, match="judged by people held out, whose photos resume needs again"):
        training.done_so_far(settings, run, None, "a", {})
