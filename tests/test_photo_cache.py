"""Photos that are kept are read once, and are kept where they fit; what was asked for and cannot be is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.annotations import read_annotations
from utils.images import ImageError
from utils.photo_cache import Photos, Room, place_for
from utils.settings import UserError


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    random = np.random.default_rng(0)
    lines = []
    for i in range(4):
        path = tmp_path / "people" / str(i // 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (20 + 10 * i, 30, 3), dtype=np.uint8)).save(path)
        lines.append(f"{i // 2};{path}")
    (tmp_path / "cls_train.txt").write_text("\n".join(lines) + "\n")
    return Photos(read_annotations(tmp_path / "cls_train.txt"))


def test_a_kept_photo_is_read_once(photos):
    photos.keep()
    first = photos.read(1).copy()
    Path(photos.annotations.path(1)).unlink()
    assert (photos.read(1) == first).all()
    assert photos.kept[0] is None


def test_a_photo_that_is_not_kept_is_read_again(photos):
    first = photos.read(1).copy()
    assert (photos.read(1) == first).all()
    Path(photos.annotations.path(1)).unlink()
    with pytest.raises(ImageError):
        photos.read(1)


def test_what_cannot_be_read_is_not_kept(photos):
    photos.keep()
    path = Path(photos.annotations.path(2))
    whole = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(ImageError):
        photos.read(2)
    path.write_bytes(whole)
    assert photos.read(2).shape == (40, 30, 3)


def test_decoded_bytes_are_counted_of_what_can_be_read(photos):
    assert photos.bytes_decoded() == sum((20 + 10 * i) * 30 * 3 for i in range(4))
    Path(photos.annotations.path(0)).write_bytes(b"")
    assert photos.bytes_decoded() == 4 * np.mean([(20 + 10 * i) * 30 * 3 for i in (1, 2, 3)])


@pytest.mark.parametrize(
    ("asked", "decoded", "fitted", "host", "device", "looks", "varied", "place", "why"),
    [
        ("auto", 2.7, 2.0, 18.0, None, 6.0, True, "ram", "2.7 GB decoded, 18.0 GB are free"),
        ("auto", 2.7, 2.0, 18.0, 70.0, 6.0, True, "device", "2.0 GB as they are varied, 70.0 GB are free there"),
        ("auto", 2.7, 2.0, 18.0, 70.0, 6.0, False, "ram", "2.7 GB decoded"),
        ("auto", 2.7, 40.0, 18.0, 70.0, 6.0, True, "ram", "2.7 GB decoded"),
        ("auto", 2.7, 2.0, 18.0, 70.0, 1.0, True, "none", "looked at once"),
        ("auto", 10.0, 9.5, 18.0, None, 6.0, True, "none", "more than half of what is free, 18.0 GB"),
        ("none", 2.7, 2.0, 18.0, 70.0, 6.0, True, "none", "as asked for"),
        ("ram", 17.0, 2.0, 18.0, None, 0.9, True, "ram", "17.0 GB decoded"),
        ("device", 2.7, 17.0, 18.0, None, 6.0, True, "device", "17.0 GB"),
        ("device", 2.7, 40.0, 18.0, 70.0, 6.0, True, "device", "40.0 GB"),
    ],
)
def test_where_photos_are_kept(asked, decoded, fitted, host, device, looks, varied, place, why):
    room = Room(decoded * 1e9, fitted * 1e9, host * 1e9, device and device * 1e9)
    found, said = place_for(asked, room, looks, varied)
    assert found == place
    assert why in said


@pytest.mark.parametrize(
    ("asked", "room", "varied", "line"),
    [
        ("ram", Room(19e9, 2e9, 18e9, None), True, "--cache ram: the photos take 19.0 GB decoded, 18.0 GB are free"),
        ("device", Room(2e9, 19e9, 18e9, None), True, "the photos take 19.0 GB as they are varied, 18.0 GB are free"),
        ("device", Room(2e9, 17e9, 18e9, 16e9), True, "the photos take 17.0 GB as they are varied, 16.0 GB are free"),
        ("device", Room(2e9, 2e9, 18e9, None), False, "--cache device: the loader varies these images"),
    ],
)
def test_what_cannot_be_kept_is_refused(asked, room, varied, line):
    with pytest.raises(UserError, match=line):
        place_for(asked, room, 6.0, varied)
