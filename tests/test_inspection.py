"""What one photo says of itself: hashes against their definition, measures, the cache of both."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.drawn_faces import draw_face
from utils.face_counts import BORDERS, count_faces
from utils.image_cache import ImageCache, image_keys
from utils.inspection import difference_hash, facts_of, perceptual_hash, same_picture, thumbnail


def flat(image: np.ndarray, factor: float, more: float = 0.0) -> np.ndarray:
    return np.clip(image * factor + more, 0, 255).astype(np.uint8)


def test_hashes_equal_those_of_imagehash() -> None:
    """ImageHash 4.3.2: phash and dhash of the drawn faces of people 0, 1, 2 at 97, 128, 159 pixels."""
    perceptual = (0xA952546C8B7994DE, 0xDEE32886D19ACE98, 0xEDF01087FB08FD82)
    difference = (0xE0C89C5B230F177F, 0x40862148EC6431B3, 0x0E0E26136A62E64C)
    for person in range(3):
        face = draw_face(person, 0, 97 + 31 * person, 0)
        # a drawing may differ in the last bit of a pixel between machines: a bit of the hash may, then
        assert (perceptual_hash(face) ^ perceptual[person]).bit_count() <= 2
        assert (difference_hash(face) ^ difference[person]).bit_count() <= 1


def test_perceptual_hash_equals_its_definition() -> None:
    image = np.repeat(np.random.default_rng(0).integers(0, 256, (32, 32, 1), np.uint8), 3, axis=2)
    low = np.zeros((8, 8))
    for u in range(8):
        for v in range(8):
            for y in range(32):
                for x in range(32):
                    wave = np.cos(np.pi * u * (2 * y + 1) / 64) * np.cos(np.pi * v * (2 * x + 1) / 64)
                    low[u, v] += image[y, x, 0] * wave
    bits = "".join("1" if value > np.median(low) else "0" for value in low.ravel())
    assert perceptual_hash(image) == int(bits, 2)


def test_measures_say_what_they_name() -> None:
    face = draw_face(3, 0, 128, 0)

    def measure(image: np.ndarray) -> tuple[float, float, float]:
        *_, sharpness, brightness, colour = facts_of(np.ascontiguousarray(image))
        return sharpness, brightness, colour

    sharp, bright, colour = measure(face)
    assert measure(cv2.GaussianBlur(face, (0, 0), 4))[0] < 0.1 * sharp
    assert measure(flat(face, 0.5))[1] == pytest.approx(bright / 2, abs=1)
    assert measure(np.repeat(face[..., :1], 3, axis=2))[2] == 0 < colour
    assert measure(cv2.copyMakeBorder(face, 0, 0, 0, 0, 0))[1] == bright
    black_around = face.copy()
    black_around[:20] = black_around[-20:] = black_around[:, :20] = black_around[:, -20:] = 0
    assert measure(black_around)[1] == pytest.approx(bright, abs=0.5)
    pixels = [
        facts_of(image)[0].tolist() for image in (face, face.copy(), face[:, ::-1].copy(), face.reshape(64, 256, 3))
    ]
    assert pixels[0] == pixels[1]
    assert len({tuple(found) for found in pixels}) == 3


def test_same_picture_tells_copies_from_other_faces() -> None:
    face = draw_face(0, 0, 128, 0)
    for copy in (face, flat(face, 0.7, 30), cv2.resize(face, (70, 70)), np.roll(face, 4, axis=1)):
        assert same_picture(thumbnail(face), thumbnail(copy)) > 0.95
    others = [same_picture(thumbnail(face), thumbnail(draw_face(p, i, 128, 0))) for p in range(5) for i in range(1, 5)]
    assert max(others) < 0.95
    black = np.zeros((64, 64), np.uint8)
    assert same_picture(black, black) == same_picture(black, thumbnail(face)) == 0


def test_cache_survives_damage_and_knows_changed_files(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_text("1")
    paths = [*map(str, files), str(tmp_path / "gone"), "zero\0byte"]
    keys = image_keys(paths)
    assert keys[2:].tolist() == [0, 0]
    cache = ImageCache(tmp_path / "c.npz", np.float16, (2,))
    assert cache.find(keys).tolist() == [-1] * 4
    cache.add(keys[:2], np.array([[1, 2], [3, 4]], np.float16))
    again = ImageCache(tmp_path / "c.npz", np.float16, (2,))
    assert again.rows[again.find(keys)[:2]].tolist() == [[1, 2], [3, 4]]
    assert again.find(keys)[2:].tolist() == [-1, -1]
    files[0].write_text("22")
    assert again.find(image_keys(paths)).tolist()[0] == -1
    assert len(ImageCache(tmp_path / "c.npz", np.float16, (3,)).keys) == 0
    for damage in (b"", b"PK no zip", (tmp_path / "c.npz").read_bytes()[:-30]):
        (tmp_path / "c.npz").write_bytes(damage)
        assert len(ImageCache(tmp_path / "c.npz", np.float16, (2,)).keys) == 0


def test_faces_are_looked_for_within_other_borders_where_there_are_none(tmp_path: Path) -> None:
    paths = []
    for name, value in (("plain", 10), ("tight", 20), ("none", 30)):
        paths.append(str(tmp_path / f"{name}.png"))
        cv2.imwrite(paths[-1], np.full((40, 40, 3), value, np.uint8))
    shown: list[tuple[int, int]] = []

    def detect(photos: list[np.ndarray]) -> list[list[str]]:
        found = []
        for photo in photos:
            value, side = int(photo[len(photo) // 2, len(photo) // 2, 0]), len(photo)
            shown.append((value, side))
            found.append(["face"] * {10: 2, 20: int(side == 80), 30: 0}[value])
        return found

    for _ in range(2):  # the second time from the cache
        assert count_faces(paths, tmp_path / "faces.npz", detect).tolist() == [2, 1, 0]
    sides = [round(40 * (1 + 2 * border)) for border in BORDERS]
    assert shown == [(10, 60), (20, 60), (30, 60), *((value, side) for side in sides[1:] for value in (20, 30))]
