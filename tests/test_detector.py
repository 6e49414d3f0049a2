"""The cascade on drawn faces, whatever the photo's size and its neighbours."""

import shutil
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.drawn_faces import draw_face
from utils.alignment import Face
from utils.detector import PYRAMID, WINDOW, Detector
from utils.detector_weights import check_weights, detector_file
from utils.images import Pixels
from utils.onnx_network import onnx_session
from utils.settings import UserError
from utils.tiles import TILE, tiled

PEOPLE = (4, 6, 10, 13)  # MTCNN takes three of four drawn faces for faces, and is sure of these


@cache
def detector() -> Detector:
    return Detector(min_face=40)


@cache
def photo(person: int, size: int = 160, height: int = 240, width: int = 300) -> Pixels:
    """A drawn face in the middle of a grey photo."""
    picture = np.full((height, width, 3), 120, np.uint8)
    top, left = (height - size) // 2, (width - size) // 2
    picture[top : top + size, left : left + size] = draw_face(person, 0, size, seed=0)
    return picture


def only(faces: list[Face]) -> Face:
    assert len(faces) == 1
    return faces[0]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union, by counting."""
    common = max(0, min(one[2], other[2]) - max(one[0], other[0])) * max(
        0, min(one[3], other[3]) - max(one[1], other[1])
    )
    return common / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - common)


@pytest.mark.parametrize("person", PEOPLE)
def test_a_drawn_face_is_found_with_its_parts_in_their_places(person: int) -> None:
    face = only(detector().detect([photo(person)])[0])
    left_eye, right_eye, nose, mouth_left, mouth_right = face.landmarks
    assert np.abs((face.box[:2] + face.box[2:]) / 2 - (150, 120)).max() < 20  # the photo's middle
    assert left_eye[0] < nose[0] < right_eye[0]
    assert mouth_left[0] < nose[0] < mouth_right[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
    assert 0.8 <= face.confidence <= 1


def test_photos_of_any_sizes_are_found_as_each_alone() -> None:
    photos = [photo(4), photo(10, 200, 400, 210), np.full((9, 500, 3), 90, np.uint8), photo(13, 120, 130, 800)]
    together, alone = detector().detect(photos), [detector().detect([one])[0] for one in photos]
    assert [len(faces) for faces in together] == [1, 1, 0, 1]
    for faces, others in zip(together, alone, strict=True):
        for face, other in zip(faces, others, strict=True):
            assert np.allclose(face.box, other.box, atol=0.01)
            assert np.allclose(face.landmarks, other.landmarks, atol=0.01)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    face, other = only(Detector(threads=threads).detect([photo(4)])[0]), only(detector().detect([photo(4)])[0])
    assert np.allclose(face.landmarks, other.landmarks, atol=1e-3)


def test_no_photos_give_no_faces() -> None:
    assert detector().detect([]) == []
    assert detector().detect([np.zeros((200, 200, 3), np.uint8)] * 33) == [[]] * 33
    assert detector().detect([np.zeros((1, 1, 3), np.uint8)]) == [[]]


def test_a_large_photo_is_found_in_its_own_pixels() -> None:
    small = only(detector().detect([photo(4)])[0])
    large = cv2.resize(photo(4), None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)  # 1920 x 2400
    face = only(detector().detect([np.asarray(large, np.uint8)])[0])
    assert overlap(face.box, 8 * small.box) > 0.85
    assert np.abs((face.landmarks + 0.5) / 8 - 0.5 - small.landmarks).max() < 3


def test_a_smaller_face_than_asked_for_is_not_looked_for() -> None:
    picture = photo(4, 56, 1000, 1000)  # the face itself has 35 pixels
    assert detector().detect([picture]) == [[]]
    assert len(Detector(min_face=20).detect([picture])[0]) == 1
    picture = photo(4, 160)
    assert len(detector().detect([picture])[0]) == 1
    assert Detector(min_face=120).detect([picture]) == [[]]
    with pytest.raises(UserError, match="12 is the smallest"):
        Detector(min_face=11)


def test_several_faces_come_by_falling_confidence() -> None:
    row = np.hstack([photo(person) for person in PEOPLE])
    faces = detector().detect([row])[0]
    assert len(faces) == len(PEOPLE)
    assert [face.confidence for face in faces] == sorted((face.confidence for face in faces), reverse=True)
    assert sorted(int(face.box[[0, 2]].mean() // 300) for face in faces) == [0, 1, 2, 3]


def test_landmarks_hold_still_when_the_photo_moves() -> None:
    """Without the second look they jump by up to three pixels."""
    moves = [np.float64(((scale, 0, 7 * scale), (0, scale, -4 * scale))) for scale in (0.85, 0.93, 1.1, 1.2)]
    still = only(detector().detect([photo(4)])[0])
    moved = [cv2.warpAffine(photo(4), move, (300, 300), borderMode=cv2.BORDER_REPLICATE) for move in moves]
    for move, faces in zip(moves, detector().detect(moved), strict=True):  # type: ignore[arg-type]
        back = (only(faces).landmarks - move[:, 2]) / move[0, 0]
        assert np.abs(back - still.landmarks).mean() < 1


def test_p_net_sees_on_tiles_what_it_sees_on_whole_levels() -> None:
    """A level larger than a tile is cut, and small ones share tiles: no window is lost, seen twice, or spoilt."""
    network = onnx_session(detector_file("p_net"))
    noise = np.random.default_rng(0).integers(0, 256, (370, 611, 3), dtype=np.uint8)
    photos = [noise, noise[:100, :90]]
    tiles, pieces = tiled(photos, [1.0, 0.8], PYRAMID, WINDOW)
    scores = network.run(["score"], {"images": tiles})[0][..., 1]
    for number in range(2):
        width, height = (
            2 * round(photos[number].shape[1] * (1, 0.8)[number] / 2),
            2 * round(photos[number].shape[0] * (1, 0.8)[number] / 2),
        )
        level = cv2.resize(photos[number], (width, height), interpolation=cv2.INTER_AREA)
        whole = network.run(["score"], {"images": level[None]})[0][0, ..., 1]
        seen = np.full(whole.shape, np.nan)
        for piece in [p for p in pieces if p.photo == number and p.level == 0]:
            (x, y), (left, top) = (np.array(piece.place) // 2, np.array(piece.corner) // 2)
            wide, high = (side // 2 - 5 for side in piece.size)
            assert np.isnan(seen[top : top + high, left : left + wide]).all()
            seen[top : top + high, left : left + wide] = scores[piece.tile, y : y + high, x : x + wide]
        assert np.allclose(seen, whole, atol=1e-5)


def test_pieces_lie_apart_on_their_tiles() -> None:
    photos = [np.zeros((h, w, 3), np.uint8) for h, w in ((240, 300), (90, 700), (1000, 1000), (13, 13))]
    tiles, pieces = tiled(photos, [0.5] * 3 + [1.0], PYRAMID, WINDOW)
    covered = np.zeros((len(tiles), TILE, TILE), int)
    for piece in pieces:
        (x, y), (width, height) = piece.place, piece.size
        assert x + width <= TILE
        assert y + height <= TILE
        covered[piece.tile, y : y + height, x : x + width] += 1
    assert covered.max() == 1
    assert {piece.photo for piece in pieces} == {0, 1, 2, 3}


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_weights()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for use in (check_weights, Detector):
        with pytest.raises(UserError, match=r"ONNX Runtime.*is not installed: pip install -r requirements.txt"):
            use()
    for name in ("p_net", "r_net"):
        shutil.copy(detector_file(name), tmp_path)
    monkeypatch.setattr("utils.detector_weights.FOLDER", tmp_path)
    for use in (check_weights, Detector):
        with pytest.raises(UserError, match=r"no file .*o_net\.onnx: it comes with the project"):
            use()
