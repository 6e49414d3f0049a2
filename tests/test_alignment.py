"""Crops of faces: against least squares, facenet's own formula, known rotations; and what shrinks does not alias."""

import cv2
import numpy as np
import pytest

from utils.alignment import TEMPLATE, Alignment, Face, align, crop_matrix, main_face, scale_of, similarity, template
from utils.images import Pixels
from utils.settings import UserError
from utils.warping import warp


def face(box: tuple[float, ...] = (60, 50, 140, 150), landmarks: np.ndarray = TEMPLATE) -> Face:
    return Face(np.array(box, np.float64), np.asarray(landmarks, np.float64), 0.99)


def smooth(height: int, width: int, seed: int = 0) -> Pixels:
    """A picture without fine detail, so that interpolation hardly matters."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def rotation(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = scale * np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    return np.column_stack((turn, shift))


def test_the_template_of_128_with_8_is_arcfaces_with_8_pixels_around() -> None:
    assert np.allclose(template(Alignment("landmarks", 128, 8)), TEMPLATE + 8)
    assert np.allclose(template(Alignment("landmarks", 112, 0)), TEMPLATE)


@pytest.mark.parametrize("name", ["landmarks-128-8", "box-160-32", "landmarks-112-0", "box-96-7.5"])
def test_a_name_is_read_back(name: str) -> None:
    assert Alignment.parse(name).name == name


def test_a_name_says_what_was_chosen() -> None:
    assert Alignment.parse("box-160-32") == Alignment("box", 160, 32)
    assert Alignment().name == "landmarks-160-0"


@pytest.mark.parametrize(
    "name", ["", "landmarks", "landmarks-128", "eyes-128-8", "landmarks-128-8-1", "box-x-8", "box--1-0"]
)
def test_other_names_are_refused_with_an_example(name: str) -> None:
    with pytest.raises(UserError, match="landmarks-128-8"):
        Alignment.parse(name)


@pytest.mark.parametrize(
    "alignment", [("landmarks", 128, 64), ("box", 160, 160), ("box", 0, 0), ("landmarks", 128, -1)]
)
def test_a_border_that_leaves_no_room_is_refused(alignment: tuple) -> None:
    with pytest.raises(UserError, match="no room"):
        Alignment(*alignment)
    with pytest.raises(UserError, match="unknown alignment mode"):
        Alignment("eyes")  # type: ignore[arg-type]


def test_similarity_is_the_plain_least_squares_solution() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        points, targets = random.uniform(0, 200, (2, 5, 2))
        rows, values = [], []
        for (x, y), (u, v) in zip(points, targets, strict=True):  # u = a x - b y + c, v = b x + a y + d
            rows += [(x, -y, 1, 0), (y, x, 0, 1)]
            values += [u, v]
        a, b, c, d = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
        assert np.allclose(similarity(points, targets), ((a, -b, c), (b, a, d)))


def test_similarity_of_moved_points_is_the_move() -> None:
    move = rotation(25, 1.7, (-30, 12))
    assert np.allclose(similarity(TEMPLATE, TEMPLATE @ move[:, :2].T + move[:, 2]), move)


def test_landmarks_at_one_place_are_refused() -> None:
    with pytest.raises(ValueError, match="one place"):
        similarity(np.full((5, 2), 7.0), TEMPLATE)


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (30, 1.3), (-75, 0.9), (180, 2)])
def test_a_face_that_was_turned_and_scaled_is_set_upright(degrees: float, scale: float) -> None:
    upright = smooth(112, 112)
    turn = rotation(degrees, scale, (0, 0))
    turn[:, 2] = 200 - turn[:, :2] @ (55.5, 55.5)  # the middle of the crop to the middle of the photo
    photo = cv2.warpAffine(upright, turn, (400, 400), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    turned = face(landmarks=TEMPLATE @ turn[:, :2].T + turn[:, 2])
    crop = align(np.asarray(photo, np.uint8), turned, Alignment("landmarks", 112, 0))
    assert np.abs(crop.astype(int) - upright)[2:-2, 2:-2].max() <= 4
    assert scale_of(turned, Alignment("landmarks", 112, 0)) == pytest.approx(1 / scale)


@pytest.mark.parametrize("name", ["landmarks-{}-0", "landmarks-{}-16", "box-{}-32"])
def test_a_crop_of_twice_the_size_shows_the_same_part(name: str) -> None:
    photo, border = smooth(300, 300), int(name.rpartition("-")[2])
    alignment = Alignment.parse(name.format(112))
    large = Alignment(alignment.mode, 224, 2 * border)
    halved = cv2.resize(align(photo, face(), large), (112, 112), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(int) - align(photo, face(), alignment)).max() <= 3


def facenet_crop(photo: Pixels, box: tuple[float, ...], size: int, margin: float) -> Pixels:
    """facenet-pytorch's extract_face, inside the photo: margin of the output, whole pixels, stretched to a square."""
    x1, y1, x2, y2 = box
    wide, high = margin * (x2 - x1) / (size - margin), margin * (y2 - y1) / (size - margin)
    left, top, right, bottom = int(x1 - wide / 2), int(y1 - high / 2), int(x2 + wide / 2), int(y2 + high / 2)
    cut = np.ascontiguousarray(photo[top:bottom, left:right])
    return np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize(("box", "size", "margin"), [((60, 50, 124, 146), 160, 32), ((60, 50, 140, 150), 50, 0)])
def test_box_mode_is_facenets_crop(box: tuple[float, ...], size: int, margin: float) -> None:
    photo = smooth(220, 200)
    crop = align(photo, face(box), Alignment("box", size, margin))
    assert np.abs(crop.astype(int) - facenet_crop(photo, box, size, margin)).max() <= 3


def test_beyond_the_photo_its_border_is_repeated() -> None:
    photo = np.zeros((100, 100, 3), np.uint8)
    photo[:, 0], photo[:, -1], photo[0], photo[-1] = (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)
    crop = align(photo, face((-50, -50, 150, 150)), Alignment("box", 200, 0))
    assert crop[100, 5].tolist() == [250, 0, 0]
    assert crop[100, 195].tolist() == [0, 250, 0]
    assert crop[5, 100].tolist() == [0, 0, 250]
    assert crop[195, 100].tolist() == [250, 250, 0]


def test_a_face_outside_the_photo_gives_its_border() -> None:
    crop = align(np.full((40, 40, 3), 77, np.uint8), face((900, 900, 990, 990)), Alignment("box", 32, 0))
    assert (crop == 77).all()


@pytest.mark.parametrize("size", [12, 20, 36, 50])
@pytest.mark.parametrize("degrees", [0, 17, 45])
def test_a_fine_checkerboard_shrinks_to_grey(size: int, degrees: float) -> None:
    """Bilinear weights alone would pick black or white here and there: waves that are not in the photo."""
    board = np.repeat((np.indices((300, 300)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    move = rotation(degrees, 1.4, (60, 30))
    seen = face(landmarks=TEMPLATE @ move[:, :2].T + move[:, 2])
    alignment = Alignment("landmarks", size, 0)
    plain = cv2.warpAffine(board, crop_matrix(seen, alignment), (size, size), borderMode=cv2.BORDER_REPLICATE)
    assert align(board, seen, alignment).std() < 5
    assert plain.std() > 30


def test_stripes_that_one_direction_shrinks_away_are_grey() -> None:
    """A box that is stretched: twice as large across, a quarter as large down."""
    photo = np.zeros((200, 60, 3), np.uint8)
    photo[::2] = 255
    crop = align(photo, face((0, 0, 25, 200)), Alignment("box", 50, 0))
    assert crop.std() < 5


def test_shrinking_moves_nothing() -> None:
    ramp = np.repeat(np.linspace(0, 250, 251).astype(np.uint8)[None, :, None], 251, axis=0).repeat(3, axis=2)
    for scale in (0.9, 0.5, 0.33, 0.21):
        size = int(200 * scale)
        matrix = np.array(((scale, 0, -20 * scale), (0, scale, -20 * scale)))
        values = warp(ramp, matrix, (size, size))[size // 2, :, 0].astype(float)
        there = np.arange(size) / scale + 20  # the ramp's value is its place
        assert np.abs(values - there)[2:-2].max() < 1.5


def test_the_main_face_is_large_and_near_the_centre() -> None:
    centred, beside, larger = face((80, 80, 120, 120)), face((0, 80, 44, 124)), face((60, 60, 140, 150))
    assert main_face([beside, centred], (200, 200)) == 1
    assert main_face([centred, larger, beside], (200, 200, 3)) == 1
    assert main_face([beside], (200, 200)) == 0


def test_the_main_face_is_facenets() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        height, width = random.integers(100, 400, 2)
        corners = random.uniform(0, 300, (6, 2))
        faces = [face((*corner, *(corner + random.uniform(10, 90, 2)))) for corner in corners]
        values = []
        for x1, y1, x2, y2 in (f.box for f in faces):
            squared_offset = ((x1 + x2) / 2 - width / 2) ** 2 + ((y1 + y2) / 2 - height / 2) ** 2
            values.append((x2 - x1) * (y2 - y1) - 2 * squared_offset)
        assert main_face(faces, (height, width, 3)) == values.index(max(values))


def test_scale_is_output_pixels_per_photo_pixel() -> None:
    assert scale_of(face((0, 0, 64, 64)), Alignment("box", 160, 32)) == pytest.approx(2)
    assert scale_of(face(landmarks=3 * TEMPLATE), Alignment("landmarks", 112, 0)) == pytest.approx(1 / 3)


def test_an_empty_box_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        align(smooth(50, 50), face((20, 20, 20, 40)), Alignment("box", 32, 0))
