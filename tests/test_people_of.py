"""Whom train.py trains on and whom it holds out, where it starts from weights that know some of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from utils.annotations import read_annotations, split_people, write_annotations
from utils.files import write_json
from utils.settings import UserError
from utils.training import people_of

PEOPLE, PHOTOS = 40, 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """people/<k>/<photo>.jpg (empty files) and people.txt, their annotation."""
    names = [(f"{person:02d}", [f"{photo}.jpg" for photo in range(PHOTOS)]) for person in range(PEOPLE)]
    for person, photos in names:
        (tmp_path / "people" / person).mkdir(parents=True)
        for photo in photos:
            (tmp_path / "people" / person / photo).touch()
    write_annotations(tmp_path / "people.txt", tmp_path / "people", names)
    return tmp_path


def settings(folder: Path, seed: int = 0, val_people: float = 0.2, **more: Any) -> SimpleNamespace:
    named = {"annotation_path": str(folder / "people.txt"), "model_path": "", "unlabelled": ""}
    return SimpleNamespace(seed=seed, val_people=val_people, **named | more)


def start(folder: Path, seed: int, val_people: float, people: int | None = None) -> str:
    """Writes the card of weights that were trained with these settings; returns the weights' name."""
    rest, _ = split_people(read_annotations(folder / "people.txt"), val_people, seed)
    trained = {"people": people or rest.number_of_people, "images": len(rest)}
    write_json(
        folder / "m.json", {"crop": 1.0, "trained": trained | {"settings": {"seed": seed, "val_people": val_people}}}
    )
    return str(folder / "m.keras")


def test_everybody_is_on_one_side(folder: Path) -> None:
    people, held_out = people_of(settings(folder))
    assert (people.number_of_people, held_out.number_of_people) == (32, 8)
    assert not set(people.people) & set(held_out.people)


@pytest.mark.parametrize(("seed", "val_people"), [(0, 0.2), (0, 0.1), (1, 0)])
def test_whom_the_weights_held_out_may_be_held_out_again(folder: Path, seed: int, val_people: float) -> None:
    chosen = settings(folder, seed, val_people, model_path=start(folder, 0, 0.2))
    assert people_of(chosen)[1].number_of_people == round(val_people * PEOPLE)


@pytest.mark.parametrize(("seed", "val_people"), [(1, 0.2), (0, 0.5)])
def test_whom_the_weights_know_may_not(folder: Path, seed: int, val_people: float) -> None:
    theirs = set(people_of(settings(folder))[1].people)
    known = len(set(people_of(settings(folder, seed, val_people))[1].people) - theirs)
    assert known
    with pytest.raises(UserError, match=f"trained on {known} of .*: --seed 0 --val_people 0.2$"):
        people_of(settings(folder, seed, val_people, model_path=start(folder, 0, 0.2)))


def test_weights_that_know_everybody_leave_nobody_to_hold_out(folder: Path) -> None:
    path = start(folder, 0, 0)
    with pytest.raises(UserError, match=r"m\.keras: .* trained on all people of people\.txt.*or --val_people 0"):
        people_of(settings(folder, model_path=path))
    assert people_of(settings(folder, val_people=0, model_path=path))[0].number_of_people == PEOPLE


def test_weights_of_other_people_know_nobody(folder: Path) -> None:
    chosen = settings(folder, 1, model_path=start(folder, 0, 0.2, people=900))
    assert people_of(chosen)[1].number_of_people == 8
    (folder / "m.json").unlink()
    assert people_of(chosen)[1].number_of_people == 8
