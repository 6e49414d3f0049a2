"""The record of align.py: what was done is known after a kill, what changed is done again, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from utils.alignment_log import COLUMNS, NO_FACE, NUMBERS, AlignmentLog, Row
from utils.photo_tree import Photo
from utils.settings import UserError

SETTINGS: dict[str, Any] = {"alignment": "landmarks-160-0", "faces": "main", "min_face": 40}
PHOTOS = [Photo("ann/1.jpg", 100, 5), Photo('ann/"b", c.jpg', 200, 6), Photo("bob/Jürgen 1.jpg", 300, 7)]
NAMES = [photo.path for photo in PHOTOS]


def row(photo: Photo, faces: int = 1, number: str = "") -> Row:
    crop = f"{photo.stem}{number}.jpg"
    return Row(photo, faces, crop, numbers=tuple(range(len(NUMBERS))))


def begun(folder: Path, photos: list[Photo] = PHOTOS, **changed: Any) -> AlignmentLog:
    log = AlignmentLog(folder, SETTINGS | changed)
    log.begin(log.to_do(photos))
    return log


def recorded(folder: Path, **changed: Any) -> AlignmentLog:
    """A folder with the three photos done, and their crops."""
    log = begun(folder, **changed)
    log.append([[row(photo)] for photo in PHOTOS])
    for done in log.done.values():
        crop = folder / done.crops[0]
        crop.parent.mkdir(exist_ok=True)
        crop.write_text("pixels")
    return log


def crops(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    log = recorded(tmp_path)
    log.append(
        [[Row(Photo("x.jpg", 1, 2), 0, problem=NO_FACE)], [Row(Photo("y.jpg", 3, 4), 0, problem="x:\n no image")]]
    )
    again = AlignmentLog(tmp_path, SETTINGS)
    assert [done.photo for done in again.done.values()][:3] == PHOTOS
    assert again.done["ann/1.jpg"].crops == ("ann/1.jpg",)
    assert again.done["x.jpg"].problem == NO_FACE
    assert again.done["y.jpg"].problem == "x: no image"
    assert again.to_do(PHOTOS) == []


def test_numbers_stand_in_their_columns(tmp_path: Path) -> None:
    recorded(tmp_path)
    header, first, *_ = (tmp_path / "alignment.csv").read_text().splitlines()
    assert tuple(header.split(",")) == COLUMNS
    found = dict(zip(COLUMNS, first.split(","), strict=True))
    assert found["confidence"] == "0.0000"
    assert [float(found[name]) for name in NUMBERS] == list(range(len(NUMBERS)))
    assert (found["photo"], found["crop"], found["faces"], found["bytes"]) == ("ann/1.jpg", "ann/1.jpg", "1", "100")


def test_a_name_that_is_no_text_is_kept(tmp_path: Path) -> None:
    """Names of files are bytes: these are not UTF-8."""
    photo = Photo("caf\udce9.jpg", 1, 2)
    log = begun(tmp_path, [photo])
    log.append([[row(photo)]])
    assert AlignmentLog(tmp_path, SETTINGS).to_do([photo]) == []


@pytest.mark.parametrize("bytes_lost", [1, 2, 40])
def test_a_torn_last_line_is_dropped_and_done_again(tmp_path: Path, bytes_lost: int) -> None:
    recorded(tmp_path)
    path = tmp_path / "alignment.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[:-bytes_lost])
    log = AlignmentLog(tmp_path, SETTINGS)
    assert log.to_do(PHOTOS) == PHOTOS[2:]
    log.begin(PHOTOS[2:])
    log.append([[row(PHOTOS[2])]])
    assert path.read_bytes() == whole


def test_a_photo_of_several_faces_is_done_only_with_all_of_them(tmp_path: Path) -> None:
    log = begun(tmp_path, faces="all")
    log.append([[row(PHOTOS[0], 2, "_0"), row(PHOTOS[0], 2, "_1")], [row(PHOTOS[1], 2, "_0"), row(PHOTOS[1], 2, "_1")]])
    path = tmp_path / "alignment.csv"
    path.write_bytes(path.read_bytes()[:-5])
    del log  # as a process that was killed
    again = AlignmentLog(tmp_path, SETTINGS | {"faces": "all"})
    assert again.to_do(PHOTOS[:2]) == [PHOTOS[1]]
    again.begin([PHOTOS[1]])
    assert NAMES[1] not in path.read_text().replace('""', '"')


def test_a_run_that_was_killed_before_its_first_photo_goes_on(tmp_path: Path) -> None:
    begun(tmp_path)
    assert AlignmentLog(tmp_path, SETTINGS).to_do(PHOTOS) == PHOTOS
    (tmp_path / "alignment.csv").write_text("")
    assert AlignmentLog(tmp_path, SETTINGS).to_do(PHOTOS) == PHOTOS
    (tmp_path / "alignment.csv").unlink()
    assert AlignmentLog(tmp_path, SETTINGS).to_do(PHOTOS) == PHOTOS


@pytest.mark.parametrize("changed", [Photo("ann/1.jpg", 101, 5), Photo("ann/1.jpg", 100, 9)])
def test_a_photo_that_changed_is_done_again_and_its_old_crop_goes(tmp_path: Path, changed: Photo) -> None:
    recorded(tmp_path)
    log = AlignmentLog(tmp_path, SETTINGS)
    assert log.to_do([changed, *PHOTOS[1:]]) == [changed]
    log.begin([changed])
    assert crops(tmp_path) == {'ann/"b", c.jpg', "bob/Jürgen 1.jpg"}
    log.append([[row(changed)]])
    assert [done.photo for done in AlignmentLog(tmp_path, SETTINGS).done.values()] == [*PHOTOS[1:], changed]


def test_a_new_photo_is_done_and_one_that_went_stays_in_the_record(tmp_path: Path) -> None:
    recorded(tmp_path)
    log, new = AlignmentLog(tmp_path, SETTINGS), Photo("new.jpg", 1, 1)
    assert log.to_do([PHOTOS[0], new]) == [new]
    log.begin([new])
    assert list(log.done) == NAMES
    assert len(crops(tmp_path)) == 3


def test_other_settings_are_refused_with_what_differs(tmp_path: Path) -> None:
    recorded(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"min_face 40, now 20: choose another --output, or --again") as error:
        AlignmentLog(tmp_path, SETTINGS | {"min_face": 20})
    assert "alignment landmarks" not in str(error.value)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_again_removes_what_was_recorded_and_nothing_else(tmp_path: Path) -> None:
    recorded(tmp_path)
    (tmp_path / "ann" / "own.jpg").write_text("the user's")
    log = AlignmentLog(tmp_path, SETTINGS | {"min_face": 20}, again=True)
    assert len(crops(tmp_path)) == 4  # nothing is removed before it begins
    assert log.to_do(PHOTOS) == PHOTOS
    log.begin(PHOTOS)
    assert crops(tmp_path) == {"ann/own.jpg"}
    assert json.loads((tmp_path / "alignment.json").read_text())["min_face"] == 20
    assert AlignmentLog(tmp_path, SETTINGS | {"min_face": 20}).to_do(PHOTOS) == PHOTOS


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("mine")
    for again in (False, True):
        with pytest.raises(UserError, match="not empty"):
            AlignmentLog(tmp_path, SETTINGS, again)


@pytest.mark.parametrize("line", ["a,b\n", ",".join("x" * len(COLUMNS)) + "\n", ",".join("x" * 99) + "\n"])
def test_a_damaged_record_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    recorded(tmp_path)
    with open(tmp_path / "alignment.csv", "a") as file:
        file.write(line)
    with pytest.raises(UserError, match=r"line 5 is damaged"):
        AlignmentLog(tmp_path, SETTINGS)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    recorded(tmp_path)
    (tmp_path / "alignment.csv").write_text("photo,face\na,b\n")
    with pytest.raises(UserError, match="other columns"):
        AlignmentLog(tmp_path, SETTINGS)


@pytest.mark.parametrize("crop", ["../precious.txt", "/tmp/precious.txt", "a/../../precious.txt", "C:x", "..\\x"])
def test_a_record_from_elsewhere_removes_nothing_outside(tmp_path: Path, crop: str) -> None:
    (tmp_path / "precious.txt").touch()
    recorded(tmp_path / "out")
    record = tmp_path / "out" / "alignment.csv"
    record.write_text(record.read_text().replace("ann/1.jpg,ann/1.jpg", f"ann/1.jpg,{crop}"))
    with pytest.raises(UserError, match=r"line 2 is damaged: --again"):
        AlignmentLog(tmp_path / "out", SETTINGS)
    log = AlignmentLog(tmp_path / "out", SETTINGS, again=True)
    log.begin(log.to_do(PHOTOS), [photo.stem for photo in PHOTOS])
    assert (tmp_path / "precious.txt").exists()
    assert crops(tmp_path / "out") == set()


@pytest.mark.parametrize("harm", [b"\rx", b"\xff", b"x", b"photo,crop\n"])
def test_again_is_a_way_out_of_any_damage(tmp_path: Path, harm: bytes) -> None:
    recorded(tmp_path)
    record = tmp_path / "alignment.csv"
    record.write_bytes(record.read_bytes().replace(b"landmarks", harm).replace(b",100,", b"," + harm + b","))
    (tmp_path / "alignment.json").write_text("[")
    log = AlignmentLog(tmp_path, SETTINGS, again=True)
    log.begin(log.to_do(PHOTOS), [photo.stem for photo in PHOTOS])
    assert crops(tmp_path) == set()
    log.append([[row(photo)] for photo in PHOTOS])
    assert AlignmentLog(tmp_path, SETTINGS).to_do(PHOTOS) == []


def test_dates_before_1970_and_what_could_not_be_opened(tmp_path: Path) -> None:
    old, shut = Photo("old.jpg", 10, -157_800_000_000), Photo("shut.jpg", 10, 5)
    log = begun(tmp_path, [old, shut])
    log.append([[row(old)], [Row(shut, 0, problem="cannot read photos/shut.jpg: Permission denied")]])
    assert AlignmentLog(tmp_path, SETTINGS).to_do([old, shut]) == [shut]


def test_again_removes_crops_that_a_kill_left_out_of_the_record(tmp_path: Path) -> None:
    begun(tmp_path)
    for name in ("ann/1.png", "bob/Jürgen 1.webp", "ann/1_0.jpg", "ann/1_1.jpg", "ann/mine.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    log = AlignmentLog(tmp_path, SETTINGS, again=True)
    log.begin(PHOTOS, [photo.stem for photo in PHOTOS])
    assert {path.name for path in tmp_path.rglob("*.*") if path.suffix not in (".csv", ".json")} == {"mine.jpg"}


def test_two_at_once_are_refused_and_the_next_one_goes_on(tmp_path: Path) -> None:
    first = begun(tmp_path / "out")
    second = AlignmentLog(tmp_path / "out", SETTINGS)
    with pytest.raises(UserError, match="out' is being written to by another process"):
        second.begin(PHOTOS)
    first.append([[row(PHOTOS[0])]])
    first.end()
    third = begun(tmp_path / "out")
    assert list(third.done) == NAMES[:1]


def test_the_counts_stand_beside_the_settings(tmp_path: Path) -> None:
    log = recorded(tmp_path)
    several = Photo("several.jpg", 1, 2)
    log.append(
        [[row(several, 3)], [Row(Photo("x", 1, 2), 0, problem=NO_FACE)], [Row(Photo("y", 1, 2), 0, problem="cut")]]
    )
    assert json.loads((tmp_path / "alignment.json").read_text())["counts"] is None
    counts = log.end()
    assert list(counts.values()) == [6, 4, 1, 1, 1]
    assert json.loads((tmp_path / "alignment.json").read_text()) == SETTINGS | {"counts": counts}


def test_the_names_of_crops_that_stay_are_known(tmp_path: Path) -> None:
    log = recorded(tmp_path)
    assert log.stems() == {name.removesuffix(".jpg"): name for name in NAMES}
    assert AlignmentLog(tmp_path, SETTINGS, again=True).stems() == {}


def test_a_photo_of_which_one_face_was_wanted_is_done_with_it(tmp_path: Path) -> None:
    several, numbered = Photo("several.jpg", 1, 2), Photo("trip_1.jpg", 3, 4)
    log = begun(tmp_path, [several, numbered])
    log.append([[row(several, 3)], [row(numbered)]])
    again = AlignmentLog(tmp_path, SETTINGS)
    assert again.to_do([several, numbered]) == []
    assert again.stems() == {"several": "several.jpg", "trip_1": "trip_1.jpg"}  # the number is the photo's own
