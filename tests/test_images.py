"""Reading photos: every kind of file the same way up and in the same colours, under any name."""

import io
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tests.image_kinds import COLOURS, FOUR, HEIGHT, KINDS, RGB, WIDTH, Drawn, encoded
from utils import image_decoders
from utils.files import FileInMemory
from utils.images import ImageError, read_image
from utils.people_folder import IMAGE_SUFFIXES

TURBO = ("JPEG", "progressive JPEG", "grey JPEG", "JPEG with more behind it")
OPENCV = ("WebP", "lossless WebP")
ZIP = ("PNG", "grey PNG")


def written(folder: Path, data: bytes, name: str | bytes = "photo") -> Path:
    path = folder / os.fsdecode(name)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_rgb(tmp_path: Path, kind: str) -> None:
    data, expected, tolerance = KINDS[kind]
    image = read_image(written(tmp_path, data))  # the name does not say the kind
    assert (image.dtype, image.shape) == (np.uint8, (HEIGHT, WIDTH, 3))
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_who_decodes(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    asked: list[str] = []
    pillow = (Image, "open"), (Image, "frombytes")
    for module, name in ((simplejpeg, "decode_jpeg"), (cv2, "imdecode"), (image_decoders, "read_netpbm"), *pillow):
        decoder = getattr(module, name)
        spy = lambda *a, name=name, decoder=decoder, **k: asked.append(name) or decoder(*a, **k)  # noqa: E731
        monkeypatch.setattr(module, name, spy)
    read_image(FileInMemory("photo", KINDS[kind].data))
    netpbm = kind.split(" with")[0].endswith(("PBM", "PGM", "PPM"))
    fast = dict.fromkeys(TURBO, "decode_jpeg") | dict.fromkeys(OPENCV, "imdecode") | dict.fromkeys(ZIP, "frombytes")
    assert asked == [fast.get(kind, "read_netpbm" if netpbm else "open")]


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 98, "subsampling": 0}, 12),
        ("PNG", {}, 0),
        ("WEBP", {"quality": 100}, 30),
        ("WEBP", {"lossless": True}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("PPM", {}, 0),
        ("GIF", {}, 0),
    ],
)
@pytest.mark.parametrize("pillow", [False, True])
def test_red_is_red(
    monkeypatch: pytest.MonkeyPatch, kind: str, options: dict[str, object], tolerance: int, pillow: bool
) -> None:
    """Blue in place of red would be 190 away; also where Pillow stands in for a faster decoder."""
    data = encoded(Drawn(FOUR).quantize(4) if kind == "GIF" else FOUR, kind, **options)
    decode = image_decoders._decode_with_pillow if pillow and kind != "PPM" else image_decoders.decode
    image = decode(data).astype(int)
    for (y, x), colour in zip([(10, 20), (10, 52), (34, 20), (34, 52)], COLOURS, strict=True):
        assert np.abs(image[y, x] - colour).max() <= tolerance


@pytest.mark.parametrize("kind", TURBO + OPENCV + ZIP)
def test_the_decoders_agree(kind: str) -> None:
    data = KINDS[kind].data
    assert np.array_equal(image_decoders.decode(data), image_decoders._decode_with_pillow(data))


@pytest.mark.parametrize("kind", KINDS)
def test_strips_of_a_large_image_make_up_the_whole(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    whole = image_decoders.decode(KINDS[kind].data)
    monkeypatch.setattr(image_decoders, "STRIP", 7 * WIDTH)
    assert np.array_equal(image_decoders.decode(KINDS[kind].data), whole)


# how a file of each orientation is stored, so that it shows RGB: (EXIF 2.3, tag 0x0112)
STORED = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.transpose(1, 0, 2),
    6: RGB.transpose(1, 0, 2)[::-1],
    7: RGB.transpose(1, 0, 2)[::-1, ::-1],
    8: RGB.transpose(1, 0, 2)[:, ::-1],
}
OPTIONS = {"JPEG": {"quality": 98, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    return b"Exif\0\0" + struct.pack(f"{order}2sHIHHHIHHI", mark, 42, 8, 1, 0x112, kind, 1, orientation, 0, 0)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "mode"),
    [tuple(way.split()) for way in ("JPEG RGB", "JPEG L", "JPEG CMYK", "PNG RGB", "PNG RGBA", "WEBP RGB", "WEBP RGBA")],
)
def test_orientation_is_applied(orientation: int, order: str, kind: str, mode: str) -> None:
    stored = Drawn(np.ascontiguousarray(STORED[orientation])).convert(mode)
    data = encoded(stored, kind, exif=exif(orientation, order), **OPTIONS[kind])
    image = read_image(FileInMemory("photo", data))
    assert image.shape == RGB.shape
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - np.asarray(Drawn(RGB).convert(mode).convert("RGB"))).max() <= 8


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_orientation_of_tiffs_is_applied(orientation: int, compression: str | None) -> None:
    stored = Drawn(np.ascontiguousarray(STORED[orientation]))
    data = encoded(stored, "TIFF", tiffinfo={0x112: orientation}, compression=compression)
    assert np.array_equal(read_image(FileInMemory("photo", data)), RGB)


@pytest.mark.parametrize("segment", [exif(0), exif(9), exif(6, kind=4), exif(6)[:-12], b"Exif\0\0II", b"Exif\0\0"])
def test_an_orientation_that_is_none_changes_nothing(segment: bytes) -> None:
    data = encoded(RGB, "JPEG", exif=segment, quality=98, subsampling=0)
    assert np.array_equal(image_decoders.decode(data), image_decoders.decode(KINDS["JPEG"].data))


NAMES = [
    "照片.jpg",
    "صورة.png",
    "👩🏽‍🦱.webp",
    "é ; 'a'.jpg",
    "no suffix",
    "-flag.jpg",
    "%s{0}.JPG",
    b"\xff\xfe\x80.png",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_script(tmp_path: Path, name: str | bytes) -> None:
    """Of a PNG: suffixes lie, and may be in capitals."""
    path = written(tmp_path, KINDS["PNG"].data, name)
    assert np.array_equal(read_image(path), RGB)
    assert np.array_equal(read_image(os.fspath(path)), RGB)
    path.write_bytes(b"no photo")
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.encode().decode().isprintable() or "👩" in message
    assert message.startswith(os.fspath(path) if isinstance(name, str) else f"{tmp_path}/\\udcff\\udcfe\\udc80.png")


def test_a_name_with_a_newline_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(written(tmp_path, b"no photo", "a\nb\r\u2028.png"))
    assert str(caught.value).startswith(f"{tmp_path}/a\\nb\\r\\u2028.png is not an image")
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_inside_another_file() -> None:
    assert np.array_equal(read_image(FileInMemory("lfw.bin, image 3", KINDS["PNG"].data)), RGB)
    with pytest.raises(ImageError, match=r"^lfw\.bin, image 3 is truncated: its end is missing$"):
        read_image(FileInMemory("lfw.bin, image 3", KINDS["PNG"].data[:-20]))
    with pytest.raises(ImageError, match=r"^lfw\.bin, image 4 is an empty file$"):
        read_image(FileInMemory("lfw.bin, image 4", b""))


def test_the_first_of_several_netpbm_images_is_read() -> None:
    assert np.array_equal(image_decoders.decode(KINDS["PPM"].data * 2), RGB)


def test_pillow_reads_what_it_wrote_as_one_bit(tmp_path: Path) -> None:
    """Odd widths: a row of a binary PBM begins with a byte of its own."""
    bits = np.random.default_rng(0).random((5, 13)) < 0.5
    buffer = io.BytesIO()
    Image.fromarray(bits).save(buffer, "PPM")
    assert np.array_equal(image_decoders.decode(buffer.getvalue())[:, :, 0], bits * 255)


def test_suffixes_cover_what_is_read() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".gif"} == IMAGE_SUFFIXES
