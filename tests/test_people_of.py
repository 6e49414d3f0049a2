"""Whom train.py trains on and whom it holds out, where it starts from weights that know some of them."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from utils.annotations import write_annotations
from utils.files import write_json
from utils.held_out import digest, names_in, write_names
from utils.people_folder import PeopleFolder
from utils.settings import UserError
from utils.training_people import people_of

PEOPLE, PHOTOS = 40, 3


def annotate(folder: Path) -> None:
    write_annotations(folder / "people.txt", folder / "people", PeopleFolder(folder / "people"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """people/<k>/<photo>.jpg (empty files) and people.txt, their annotation."""
    for person in range(PEOPLE):
        (tmp_path / "people" / f"{person:02d}").mkdir(parents=True)
        for photo in range(PHOTOS):
            (tmp_path / "people" / f"{person:02d}" / f"{photo}.jpg").touch()
    annotate(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Chosen:
    """What people_of reads of train.py's settings."""

    annotation_path: str
    seed: int = 0
    val_people: float = 0.2
    val_seed: int = -1
    model_path: str = ""
    unlabelled: str = ""
    resume: str = ""
    sampler: str = "people"
    images_each: int = 4
    batch_size: int = 96


def settings(folder: Path, *values: Any, **more: Any) -> Chosen:
    return Chosen(str(folder / "people.txt"), *values, **more)


def held_out_of(chosen: Chosen) -> set[str]:
    return set(people_of(chosen)[2].people)


def start(
    folder: Path, seed: int, val_people: float, people: int | None = None, drawn_otherwise: bool = False, **more: Any
) -> str:
    """Writes the card of weights that were trained with these settings; returns the weights' name."""
    _, rest, held_out = people_of(settings(folder, seed, val_people, **more))
    trained = {"people": people or rest.number_of_people, "images": len(rest)}
    trained["settings"] = {"seed": seed, "val_people": val_people} | more
    if not people:  # else a card of before there were digests
        trained["everybody"] = digest([*rest.people, *held_out.people])
        trained["held_out"] = "of others" if drawn_otherwise else digest(held_out.people)
    write_json(folder / "m.json", {"crop": 1.0, "trained": trained})
    return str(folder / "m.keras")


def test_everybody_is_on_one_side(folder: Path) -> None:
    chosen, people, held_out = people_of(settings(folder, 3))
    assert (people.number_of_people, held_out.number_of_people) == (32, 8)
    assert not set(people.people) & set(held_out.people)
    assert chosen.val_seed == 3


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 96),  # of 96 images
        ({"val_people": 0.4}, 72),
        ({"val_people": 0.4, "images_each": 5}, 70),
        ({"val_people": 0.4, "sampler": "triples"}, 72),
        ({"val_people": 0.4, "batch_size": 95}, 95),  # typed: the sampler refuses it
        ({"val_people": 0.4, "batch_size": 48}, 48),
        ({"val_people": 38, "images_each": 4}, 96),  # 6 images are no two people of 4: the sampler refuses it
    ],
)
def test_a_batch_that_nobody_typed_fits_the_folder(
    folder: Path, more: dict[str, Any], expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = settings(folder, **more)
    assert people_of(chosen)[0].batch_size == expected
    said = f"batch_size {expected}: 72 images to train on are fewer than the usual 96" in capsys.readouterr().out
    assert said == (expected in (72, 70))


def test_devices_have_equal_shares_of_a_batch_that_fits(folder: Path) -> None:
    assert people_of(settings(folder, val_people=0.4, images_each=5), 2)[0].batch_size == 70
    assert people_of(settings(folder, val_people=0.4, images_each=4), 5)[0].batch_size == 60


def test_of_people_of_one_name_the_same_are_held_out_or_it_is_said(folder: Path) -> None:
    """facenet-tf2's annotation of two data sets, whose people are numbers."""
    lines = (folder / "people.txt").read_text().splitlines()
    numbered = [f"{line.split(';')[0]};{folder}/{'ab'[k % 2]}/{k // 2:02d}/{j}.jpg"
                for k in range(PEOPLE) for j, line in enumerate(lines[PHOTOS * k : PHOTOS * (k + 1)])]  # fmt: skip
    (folder / "people.txt").write_text("\n".join(numbered) + "\n")
    (folder / "people.people.txt").unlink()
    chosen = settings(folder, 3)
    first = people_of(chosen)[2]
    write_names(folder, first.people)
    again = people_of(replace(chosen, resume=str(folder)))[2]
    assert [again.path(row) for row in range(len(again))] == [first.path(row) for row in range(len(first))]
    with pytest.raises(UserError, match="several people have one name"):
        people_of(replace(chosen, resume=str(folder), seed=4))


def test_a_seed_of_its_own_draws_who_is_held_out(folder: Path) -> None:
    assert held_out_of(settings(folder, 3, val_seed=5)) == held_out_of(settings(folder, 5))
    assert held_out_of(settings(folder, 3)) != held_out_of(settings(folder, 5))


@pytest.mark.parametrize(("seed", "val_people"), [(0, 0.2), (0, 0.1), (1, 0.2), (1, 0.1), (1, 0)])
def test_whom_the_weights_held_out_is_held_out_again(folder: Path, seed: int, val_people: float) -> None:
    theirs = held_out_of(settings(folder, 0, 0.2))
    chosen, _, held_out = people_of(settings(folder, seed, val_people, model_path=start(folder, 0, 0.2)))
    assert set(held_out.people) <= theirs
    assert held_out.number_of_people == round(val_people * PEOPLE)
    assert chosen.seed == seed


def test_it_is_handed_on(folder: Path) -> None:
    first = held_out_of(settings(folder, 4))
    assert held_out_of(settings(folder, 9, model_path=start(folder, 7, 0.2, val_seed=4))) == first
    assert held_out_of(settings(folder, 9, model_path=start(folder, 4, 0.2, val_seed=-1))) == first


def test_whom_the_weights_know_may_not(folder: Path) -> None:
    chosen = settings(folder, 0, val_seed=1)
    known = len(held_out_of(chosen) - held_out_of(settings(folder)))
    assert known
    with pytest.raises(UserError, match=f"trained on {known} of .*; without --val_seed those are held out"):
        people_of(replace(chosen, model_path=start(folder, 0, 0.2)))


def test_more_than_the_weights_held_out_are_not(folder: Path) -> None:
    assert held_out_of(settings(folder, 0, 0.5, model_path=start(folder, 0, 0.2))) == held_out_of(settings(folder))


def grown(folder: Path) -> None:
    """Two people more, who come before and behind the others."""
    for person in ("00a", "zz"):
        (folder / "people" / person).mkdir()
        for photo in range(PHOTOS):
            (folder / "people" / person / f"{photo}.jpg").touch()
    annotate(folder)


def test_where_people_have_come_the_same_are_held_out_by_name(folder: Path) -> None:
    first = held_out_of(settings(folder, 5))
    path = start(folder, 5, 0.2)
    write_names(folder, first)
    assert names_in(folder) == first
    grown(folder)
    again = settings(folder, 9, model_path=path)
    assert held_out_of(again) == first
    assert held_out_of(replace(again, model_path="", resume=str(folder))) == first
    assert held_out_of(replace(again, model_path="")) != first


def test_where_people_have_gone_the_rest_are_held_out_by_name(folder: Path) -> None:
    first = held_out_of(settings(folder, 5))
    path = start(folder, 5, 0.2)
    write_names(folder, first)
    rest = set(sorted(first)[3:])
    for person in first - rest:
        shutil.rmtree(folder / "people" / person)
    annotate(folder)
    assert held_out_of(settings(folder, 9, model_path=path)) == rest


def test_who_cannot_be_drawn_again_is_looked_for_in_the_run(folder: Path) -> None:
    with pytest.raises(UserError, match=r"whom it held out is in held_out\.txt of its run, not here"):
        people_of(settings(folder, model_path=start(folder, 0, 0.2, drawn_otherwise=True)))


def test_names_of_other_people_hold_out_nobody(folder: Path) -> None:
    path = start(folder, 0, 0.2)
    write_names(folder, {"Ann", "Bob", "01"})
    assert len(held_out_of(settings(folder, 7, model_path=path))) == 8


def test_weights_that_know_everybody_leave_nobody_to_hold_out(folder: Path) -> None:
    path = start(folder, 0, 0)
    with pytest.raises(UserError, match=r"m\.keras: .* trained on all people of people\.txt.*or --val_people 0"):
        people_of(settings(folder, model_path=path))
    assert people_of(settings(folder, 0, 0, model_path=path))[1].number_of_people == PEOPLE


def test_the_first_cards_without_digests_count(folder: Path) -> None:
    assert held_out_of(settings(folder, 1, model_path=start(folder, 0, 0.2, people=32))) == held_out_of(
        settings(folder)
    )


def test_as_many_other_people_are_other_people(folder: Path) -> None:
    path = start(folder, 0, 0.2)
    os.rename(folder / "people" / "00", folder / "people" / "0x")
    annotate(folder)
    assert held_out_of(settings(folder, 1, model_path=path)) == held_out_of(settings(folder, 1))


def test_weights_of_other_people_know_nobody(folder: Path) -> None:
    chosen = settings(folder, 1, model_path=start(folder, 0, 0.2, people=900))
    assert held_out_of(chosen) == held_out_of(settings(folder, 1))
    (folder / "m.json").unlink()
    assert held_out_of(chosen) == held_out_of(settings(folder, 1))
