"""Photos without a person stand behind the people's, and nobody who is held out is among them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from utils.annotations import Annotations, read_annotations, split_people, write_annotations
from utils.people_folder import PeopleFolder
from utils.settings import UserError
from utils.training_people import fingerprint, taught_by
from utils.unlabelled import with_unlabelled


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def people(tmp_path: Path) -> Annotations:
    touch(*(tmp_path / "people" / name / f"{k}.jpg" for name in ("Ann", "Bo", "Cy", "Dee") for k in range(3)))
    write_annotations(tmp_path / "cls.txt", tmp_path / "people", PeopleFolder(tmp_path / "people"))
    return read_annotations(tmp_path / "cls.txt")


def test_photos_of_any_depth_come_behind_with_label_minus_one(people, tmp_path):
    wanted = [tmp_path / "more" / name for name in ("a.jpg", "deep/er/b.PNG", "gräße ;2.webp", "z.jpeg")]
    touch(*wanted, tmp_path / "more/notes.txt", tmp_path / "more/.hidden.jpg", tmp_path / "more/.git/c.jpg")
    train, held_out = split_people(people, 2, 0)
    found = with_unlabelled(train, tmp_path / "more", held_out)
    assert len(found) == 6 + 4
    assert (found.labels[:6] == train.labels).all()
    assert (found.labels[6:] == -1).all()
    assert [found.path(row) for row in range(6)] == [train.path(row) for row in range(6)]
    assert [found.path(row) for row in range(6, 10)] == [str(path) for path in wanted]
    assert (found.starts == train.starts).all()
    assert found.number_of_people == 2


def test_people_and_who_is_held_out_are_not_among_them(people, tmp_path):
    train, held_out = split_people(people, 2, 0)
    touch(tmp_path / "people" / "lonely.jpg")
    found = with_unlabelled(train, tmp_path, held_out)  # the people's own folder is below it
    assert [found.path(row) for row in np.flatnonzero(found.labels < 0)] == [str(tmp_path / "people" / "lonely.jpg")]


def test_nothing_to_add_is_said(people, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no photo without a person below .*empty'$"):
        with_unlabelled(people, tmp_path / "empty", people)
    with pytest.raises(UserError, match="all 12 there are among the people already"):
        with_unlabelled(people, tmp_path / "people", people)
    with pytest.raises(UserError, match="cannot list"):
        with_unlabelled(people, tmp_path / "none", people)


def test_a_run_knows_whether_the_photos_are_those_it_began_with(people, tmp_path):
    touch(tmp_path / "more/a.jpg")
    settings = SimpleNamespace(annotation_path=tmp_path / "cls.txt", unlabelled="", lr_decay="cos")
    train, held_out = split_people(people, 2, 0)
    plain = fingerprint(settings, train)
    settings.lr_decay = str(tmp_path / "rates.txt")
    rates = set()
    for text in ("0 1e-3\n", "0 1e-2\n"):
        (tmp_path / "rates.txt").write_text(text)
        rates.add(fingerprint(settings, train))
    assert len(rates | {plain}) == 3
    settings.unlabelled, settings.lr_decay = tmp_path / "more", "cos"
    first = fingerprint(settings, with_unlabelled(train, tmp_path / "more", held_out))
    assert first == fingerprint(settings, with_unlabelled(train, tmp_path / "more", held_out))
    touch(tmp_path / "more/b.jpg")
    assert len({plain, first, fingerprint(settings, with_unlabelled(train, tmp_path / "more", held_out))}) == 3


def test_a_run_knows_whether_its_teacher_is_the_one_it_began_with(tmp_path):
    settings = SimpleNamespace(teacher="")
    assert taught_by(settings) == ""
    settings.teacher, card = str(tmp_path / "t.onnx"), tmp_path / "t.json"
    digests = []
    for weights, text in (
        (b"a", '{"crop": 1.0}'),
        (b"a", '{"crop": 1.0, "thresholds": {}}'),  # what it is shown is as before
        (b"a", '{"crop": 0.875}'),
        (b"b", '{"crop": 0.875}'),
    ):
        (tmp_path / "t.onnx").write_bytes(weights)
        card.write_text(text)
        digests.append(taught_by(settings))
    assert digests[0] == digests[1]
    assert len({"", *digests}) == 4
