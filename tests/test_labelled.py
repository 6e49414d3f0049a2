"""Whom an embedder is measured with: folders, annotations, and never those whom it was trained on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.annotations import read_annotations, split_people, write_annotations
from utils.held_out import digest
from utils.labelled import crops_of, joined, read_labelled, refuse_trained_on
from utils.settings import UserError

COUNTS = {"Ann": 3, "Bob": 1, "Cid": 2, "Dan": 4, "Eve": 2, "Fay": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """people/<name>/<k>.jpg (empty files), and people.txt, their annotation."""
    for person, photos in COUNTS.items():
        (tmp_path / "people" / person).mkdir(parents=True)
        for photo in range(photos):
            (tmp_path / "people" / person / f"{photo}.jpg").touch()
    names = [(person, [f"{photo}.jpg" for photo in range(photos)]) for person, photos in COUNTS.items()]
    write_annotations(tmp_path / "people.txt", tmp_path / "people", names)
    return tmp_path


def card(people: int, images: int, val_people: float, **more: Any) -> dict[str, Any]:
    return {"trained": {"people": people, "images": images, "settings": {"val_people": val_people, "seed": 3} | more}}


@pytest.mark.parametrize("name", ["people", "people.txt"])
def test_a_folder_and_its_annotation_are_the_same(folder: Path, name: str) -> None:
    people = read_labelled(str(folder / name), card(900, 9000, 0.05))  # trained with others
    assert people.people == list(COUNTS)
    assert np.bincount(people.labels).tolist() == list(COUNTS.values())
    for path, label in zip(people.paths, people.labels, strict=True):
        assert Path(path).exists()
        assert Path(path).parent.name == people.people[label]
    assert people.source == name


def test_of_the_annotation_of_the_training_those_held_out_count(folder: Path) -> None:
    rest, held_out = split_people(read_annotations(folder / "people.txt"), 2, 3)
    people = read_labelled(str(folder / "people.txt"), card(4, len(rest), 2))
    assert people.people == held_out.people
    assert len(people.paths) == len(held_out)
    assert people.source == "people held out of people.txt"
    unlabelled = card(4 + 1000, len(rest) + 1000, 2, unlabelled="more", annotation_path="somewhere/people.txt")
    assert read_labelled(str(folder / "people.txt"), unlabelled).people == held_out.people


def test_nobody_held_out_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"trained on all people of people\.txt"):
        read_labelled(str(folder / "people.txt"), card(6, 14, 0))


def test_people_are_drawn_until_there_are_enough_photos(folder: Path) -> None:
    people = read_labelled(str(folder / "people"))
    assert people.at_most(14) is people
    for seed in range(5):
        some = people.at_most(8, seed)
        assert len(some.paths) <= 8
        assert np.bincount(some.labels).tolist() == [COUNTS[person] for person in some.people]
        assert {Path(path).parent.name for path in some.paths} == set(some.people)
    assert len(people.at_most(1).people) == 2
    assert len(people.at_most(1, fewest=4).people) == 4


def test_people_of_the_training_are_refused_by_their_names(folder: Path) -> None:
    known = {"trained": {"everybody": digest(list(COUNTS))}}
    with pytest.raises(UserError, match=r"trained on people of .*people: name the annotation file"):
        read_labelled(str(folder / "people"), known)
    refuse_trained_on("people", [*COUNTS, "Zoe"], known)
    refuse_trained_on("people", list(COUNTS), {"crop": 1.0})


def test_people_of_one_name_are_one_person(folder: Path, tmp_path: Path) -> None:
    for person in ("Bob", "Zoe"):
        (tmp_path / "probes" / person).mkdir(parents=True)
        (tmp_path / "probes" / person / "new.jpg").touch()
    both, first = joined(read_labelled(str(folder / "people")), read_labelled(str(tmp_path / "probes")))
    assert both.people == [*COUNTS, "Zoe"]
    assert (first.sum(), (~first).sum()) == (14, 2)
    for path, label, enrolled in zip(both.paths, both.labels, first, strict=True):
        assert Path(path).parent.name == both.people[label]
        assert ("probes" in Path(path).parts) == (not enrolled)


def test_what_is_no_set_of_people_is_said(folder: Path) -> None:
    for source, message in (
        ("", "received none"),
        (str(folder / "people" / "Ann"), "of 0 people"),
        ("none", "cannot read"),
    ):
        with pytest.raises(UserError, match=message):
            read_labelled(source)
    people = read_labelled(str(folder / "people"))
    assert crops_of(people, "") is None
    found = crops_of(people, "landmarks-112-0")
    assert found
    assert found.size == 112
