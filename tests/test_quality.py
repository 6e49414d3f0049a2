"""Quality of photos: pose against heads that were turned, flaws against photos that were spoilt."""

import cv2
import numpy as np
import pytest

from datasets.drawn_faces import draw_face
from utils.alignment import TEMPLATE, Face
from utils.quality import EYES, LIMITS, MODEL, NEUTRAL_PITCH, Quality, pose, quality


def turned(yaw: float, pitch: float, roll: float, scale: float = 1.0) -> np.ndarray:
    """Landmarks (5,2) of the model's face, turned about y, then x, then in the picture; degrees; seen from far away."""
    a, b, c = np.radians((yaw, pitch + NEUTRAL_PITCH, roll))
    about_y = np.array(((np.cos(a), 0, np.sin(a)), (0, 1, 0), (-np.sin(a), 0, np.cos(a))))
    about_x = np.array(((1, 0, 0), (0, np.cos(b), np.sin(b)), (0, -np.sin(b), np.cos(b))))
    in_picture = np.array(((np.cos(c), -np.sin(c), 0), (np.sin(c), np.cos(c), 0), (0, 0, 1)))
    return (MODEL @ (in_picture @ about_x @ about_y).T)[:, :2] * scale + (300, 200)


@pytest.mark.parametrize("angle", [-50, -20, 0, 15, 40])
def test_angles_come_back(angle: float) -> None:
    assert pose(turned(angle, 0, 0, 3))[0] == pytest.approx(angle, abs=2.5)
    assert pose(turned(0, angle - NEUTRAL_PITCH, 0))[1] == pytest.approx(angle - NEUTRAL_PITCH, abs=0.01)
    assert pose(turned(0, 0, angle, 0.2))[2] == pytest.approx(angle, abs=0.01)


@pytest.mark.parametrize("roll", [-150, -90, -30, 0, 45, 120, 179])
def test_a_face_that_lies_on_its_side_or_head_is_judged_as_one_that_stands(roll: float) -> None:
    for yaw, pitch in ((0, 0), (30, 0), (0, 15), (-40, 20), (25, -30)):
        assert pose(turned(yaw, pitch, roll)) == pytest.approx((yaw, pitch, roll), abs=0.01)
        lying, standing = (Quality(60.0, 500.0, *pose(turned(yaw, pitch, turn))[:2]) for turn in (roll, 0))
        assert lying.weight == pytest.approx(standing.weight)


def test_signs_are_those_of_the_picture() -> None:
    nose = TEMPLATE.copy()
    nose[2] += (8, 0)
    assert pose(nose)[0] > 10  # to the photo's right
    nose = TEMPLATE.copy()
    nose[2] += (0, 8)
    assert pose(nose)[1] > pose(TEMPLATE)[1] + 10  # down
    clockwise = TEMPLATE @ np.array(((0, 1), (-1, 0)))  # x' = -y, y' = x: the eye on the right is now below
    assert pose(clockwise)[2] == pytest.approx(90, abs=2)


def a_face(size: int) -> tuple[np.ndarray, Face]:
    """A drawn photo (size,size,3) and landmarks about where the face is."""
    points = (TEMPLATE + np.array((0, 12))) * size / 136
    return draw_face(1, 0, size, 0), Face(np.array((0, 0, size, size), float), points, 0.99)


def test_a_good_photo_has_no_flaws() -> None:
    for photo, face in (a_face(300), (draw_face(1, 0, 128, 0), None)):
        found = quality(photo, face)
        assert found.reasons() == []
        assert found.weight == 1


def test_size_is_in_pixels_of_the_photo() -> None:
    """Twice the photo, twice the size; turning the head to the side does not make it small."""
    one, two = quality(*a_face(150)), quality(*a_face(300))
    assert two.size == pytest.approx(2 * one.size)
    assert two.size == pytest.approx(EYES * 300 / 136, rel=0.01)
    photo, face = a_face(300)
    side = face._replace(landmarks=turned(50, 0, 0, 2) - (150, 50))
    assert (
        quality(photo, side).size > 0.75 * quality(photo, face._replace(landmarks=turned(0, 0, 0, 2) - (150, 50))).size
    )
    for crop in (photo[:112, :112], photo[:112, :200], photo[:200, :112]):
        assert quality(crop, None).size == pytest.approx(EYES)


def test_each_flaw_is_named_and_weighs() -> None:
    photo, face = a_face(300)
    small = Face(face.box / 10, face.landmarks / 10, 0.99)
    assert quality(np.asarray(cv2.resize(photo, (30, 30), interpolation=cv2.INTER_AREA), np.uint8), small).reasons()[
        0
    ] == ("small: 8 pixels between the eyes")
    blurred = quality(np.asarray(cv2.GaussianBlur(photo, (0, 0), 12), np.uint8), face)
    assert blurred.reasons()[0].startswith("blurred: sharpness ")
    assert blurred.weight < 0.5 < quality(photo, face).weight
    assert quality(photo, face._replace(confidence=0.7)).reasons() == ["hardly a face: the detector is sure by 70%"]
    for yaw in (-50.0, 50.0):
        assert Quality(50, 300, yaw=yaw).reasons() == ["turned to the side by some 50 degrees"]
    assert Quality(50, 300, 0.0, -35.0, 0.0, 1.0).reasons() == ["looking up or down by some 35 degrees"]
    assert Quality(50, 300, roll=90.0).weight == 1


def test_the_worst_flaw_is_the_weight() -> None:
    assert Quality(8, 300, yaw=42.5).weight == pytest.approx(0.5)
    assert Quality(8, 300, yaw=56.5).weight == pytest.approx(0.1)
    for limit in LIMITS.values():
        assert (limit.share(limit.good), limit.share(limit.bad)) == (1, 0)


def test_a_confidence_of_nothing_is_a_flaw() -> None:
    assert Quality(50, 300, 0.0, 0.0, 0.0, 0.0).weight == 0


def test_sharp_surroundings_do_not_make_a_face_sharp() -> None:
    photo, face = a_face(300)
    noise = np.random.default_rng(0).integers(0, 256, photo.shape, dtype=np.uint8)
    assert quality(np.hstack((photo, noise)), face).sharpness == pytest.approx(quality(photo, face).sharpness)
