"""Crops for an embedder: crops stay, crops of another kind are converted, raw photos are aligned."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from utils.alignment import Alignment, Face, align, template
from utils.cropping import (
    ARCFACE,
    Cropper,
    check_choice,
    chosen_cropper,
    common_alignment,
    edges,
    extent,
    recorded_alignment,
    scaled,
)
from utils.images import Pixels, fit_image
from utils.settings import UserError

CONTEXT = Alignment("landmarks", 128, 8)


class Finder:
    """Finds in every photo the faces that it was given."""

    def __init__(self, *faces: Face):
        self.faces, self.asked = faces, 0

    def detect(self, images: Sequence[Pixels]) -> list[list[Face]]:
        self.asked += len(images)
        return [list(self.faces) for _ in images]


def face(left: float, side: float) -> Face:
    return Face(np.array((left, left, left + side, left + side)), template(Alignment(size=round(side))) + left, 0.9)


def photo(size: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)


def test_crops_of_the_right_size_stay_and_others_are_aligned() -> None:
    finder, photos = Finder(face(10, 40), face(50, 100)), [photo(128), photo(200), photo(128, 1)]
    cropper = Cropper(CONTEXT, cut=0.875, finder=finder)
    crops = cropper(photos, ["a", "b", "c"])
    assert finder.asked == 1
    assert crops[0].image is photos[0]
    assert crops[2].image is photos[2]
    assert (crops[1].image == align(photos[1], face(50, 100), CONTEXT)).all()  # the main face
    assert [crop.faces for crop in crops] == [None, 2, None]
    assert [crop.cut for crop in crops] == [0.875] * 3
    assert cropper.raw == {"b": 2}
    cropper([photo(200)[:128], photo(200)[:, :128]])  # one side alone is none of a crop
    assert finder.asked == 3


def test_a_photo_without_a_face_is_shown_whole() -> None:
    cropper = Cropper(CONTEXT, cut=0.875, finder=Finder())
    image = photo(200)
    (crop,) = cropper([image], ["a/b.jpg"])
    assert (crop.image is image, crop.cut, crop.face, crop.faces) == (True, 1.0, None, 0)
    assert "none in 1 (shown whole: b.jpg)" in cropper.summary()


def test_an_alignment_that_is_named_holds_for_photos_of_any_size() -> None:
    cropper = chosen_cropper("landmarks-128-8", None, 0.875)
    cropper._finder = finder = Finder(face(20, 90))
    assert cropper([photo(128)])[0].cut == 0.875
    assert finder.asked == 1
    assert chosen_cropper("auto", CONTEXT, 0.875, ARCFACE).crops == ARCFACE


@pytest.mark.parametrize("choice", ["no", "auto"])
def test_without_an_alignment_photos_are_taken_as_they_are(choice: str) -> None:
    image = photo(90)
    (crop,) = chosen_cropper(choice, None, 0.5)([image])
    assert (crop.image is image, crop.cut, crop.faces) == (True, 0.5, None)


def test_known_crops_of_another_kind_show_the_same_part_of_the_face() -> None:
    """An embedder that sees the central 112 of 128-8 crops sees just a 112-0 crop; and the other way round."""
    big = photo(128)
    small = big[8:120, 8:120]
    (crop,) = Cropper(CONTEXT, crops=ARCFACE, cut=0.875)([small])
    assert (fit_image(crop.image, (112, 112), crop.cut) == small).all()
    (crop,) = Cropper(ARCFACE, crops=CONTEXT)([big])
    assert (fit_image(crop.image, (112, 112), crop.cut) == small).all()


def test_a_box_keeps_its_place_on_the_face() -> None:
    box = (0.1, 0.2, 0.8, 1.1)
    share = extent(CONTEXT) / extent(ARCFACE)
    converted = scaled(box, share)
    in_template = [(edge - 0.5) * extent(CONTEXT) for edge in edges(box)]
    assert [(edge - 0.5) * extent(ARCFACE) for edge in edges(converted)] == pytest.approx(in_template)
    assert edges(0.5) == (0.25, 0.25, 0.75, 0.75)


def test_boxes_and_landmarks_cannot_be_turned_into_each_other() -> None:
    with pytest.raises(UserError, match="crops of box-160-32 cannot be turned into landmarks-128-8"):
        Cropper(CONTEXT, crops=Alignment("box", 160, 32))


def test_the_record_of_align_is_found_beside_and_above(tmp_path: Path) -> None:
    people = tmp_path / "people" / "ann"
    (people / "2020" / "may").mkdir(parents=True)
    assert recorded_alignment(people) is None
    (tmp_path / "people" / "alignment.json").write_text(json.dumps({"alignment": "landmarks-128-8"}))
    assert recorded_alignment(people) == recorded_alignment(people.parent) == CONTEXT
    assert recorded_alignment(people / "2020") == CONTEXT
    assert recorded_alignment(people / "2020" / "may") is None
    (tmp_path / "people" / "alignment.json").write_text("[]")
    with pytest.raises(UserError, match=r"alignment\.json names no alignment"):
        recorded_alignment(people)


def test_of_several_folders_all_are_cut_the_same_way_or_it_is_said(tmp_path: Path) -> None:
    folders = [tmp_path / kind / name for kind in ("crops", "raw") for name in ("ann", "bob")]
    for folder in folders:
        folder.mkdir(parents=True)
    (tmp_path / "crops" / "alignment.json").write_text(json.dumps({"alignment": "landmarks-128-8"}))
    assert common_alignment(folders[:2]) == CONTEXT
    assert common_alignment(folders[2:]) is None
    with pytest.raises(UserError, match=r"ann holds crops \(landmarks-128-8\), .*photos that align.py did not cut"):
        common_alignment(folders)


def test_a_wrong_choice_is_one_line() -> None:
    for choice in ("auto", "no", "box-160-32"):
        check_choice(choice)
    with pytest.raises(UserError, match="--align takes auto, no or an alignment's name: 'yes' is no alignment"):
        check_choice("yes")
