"""Reading photos: every kind of file the same way up and in the same colours, every bad one refused by one line."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from utils import images
from utils.annotations import IMAGE_SUFFIXES
from utils.images import ImageError, read_image

HEIGHT, WIDTH = 48, 64
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([X * 4, Y * 5, 255 - X * 3], axis=2).astype(np.uint8)  # every corner and every channel differs
GREY = np.repeat((X * 4).astype(np.uint8)[:, :, None], 3, axis=2)
ALPHA = (Y * 5).astype(np.uint8)
ON_WHITE = np.round(RGB * (ALPHA / 255.0)[:, :, None] + 255 * (1 - ALPHA / 255.0)[:, :, None])

Drawn = Image.fromarray
TRANSPARENT = Drawn(np.dstack([RGB, ALPHA]))
BLACK = Image.new("RGB", (WIDTH, HEIGHT))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encoded_16_bit(kind: str) -> bytes:
    return bytes(cv2.imencode(kind, RGB[:, :, ::-1].astype(np.uint16) << 8 | 7)[1])


def frames(kind: str, **options: object) -> bytes:
    return encoded(Drawn(RGB), kind, save_all=True, append_images=[BLACK], **options)


# name -> (file, pixels expected, largest difference allowed)
KINDS: dict[str, tuple[bytes, np.ndarray, int]] = {
    "JPEG": (encoded(Drawn(RGB), "JPEG", quality=98, subsampling=0), RGB, 8),
    "progressive JPEG": (encoded(Drawn(RGB), "JPEG", quality=98, subsampling=0, progressive=True), RGB, 8),
    "grey JPEG": (encoded(Drawn(GREY).convert("L"), "JPEG", quality=98), GREY, 4),
    "CMYK JPEG": (encoded(Drawn(RGB).convert("CMYK"), "JPEG", quality=98, subsampling=0), RGB, 8),
    "JPEG with more behind it": (encoded(Drawn(RGB), "JPEG", quality=98, subsampling=0) + b"video", RGB, 8),
    "PNG": (encoded(Drawn(RGB), "PNG"), RGB, 0),
    "grey PNG": (encoded(Drawn(GREY).convert("L"), "PNG"), GREY, 0),
    "transparent PNG": (encoded(TRANSPARENT, "PNG"), ON_WHITE, 1),
    "palette PNG": (encoded(Drawn(GREY).quantize(64), "PNG"), GREY, 0),
    "16-bit grey PNG": (encoded(Drawn(GREY[:, :, 0].astype(np.uint16) << 8 | 7), "PNG"), GREY, 0),
    "16-bit PNG": (encoded_16_bit(".png"), RGB, 0),
    "animated PNG": (frames("PNG"), RGB, 0),
    "WebP": (encoded(Drawn(RGB), "WEBP", quality=100), RGB, 12),
    "lossless WebP": (encoded(Drawn(RGB), "WEBP", lossless=True), RGB, 0),
    "transparent WebP": (encoded(TRANSPARENT, "WEBP", lossless=True, exact=True), ON_WHITE, 1),
    "transparent lossy WebP": (encoded(TRANSPARENT, "WEBP", quality=100, exact=True), ON_WHITE, 14),
    "animated WebP": (frames("WEBP", lossless=True), RGB, 0),
    "BMP": (encoded(Drawn(RGB), "BMP"), RGB, 0),
    "TIFF": (encoded(Drawn(RGB), "TIFF"), RGB, 0),
    "compressed TIFF": (encoded(Drawn(RGB), "TIFF", compression="tiff_lzw"), RGB, 0),
    "16-bit grey TIFF": (encoded(Drawn(GREY[:, :, 0].astype(np.uint16) << 8 | 7), "TIFF"), GREY, 0),
    "16-bit TIFF": (encoded_16_bit(".tif"), RGB, 0),
    "PGM": (encoded(Drawn(GREY).convert("L"), "PPM"), GREY, 0),
    "16-bit PGM": (b"P5 64 48 65535\n" + (X * 1024 + 7).astype(">u2").tobytes(), GREY, 0),
    "PPM": (encoded(Drawn(RGB), "PPM"), RGB, 0),
    "GIF": (encoded(Drawn(GREY), "GIF"), GREY, 0),
    "animated GIF": (encoded(Drawn(GREY), "GIF", save_all=True, append_images=[BLACK]), GREY, 0),
}
FAST = ("JPEG", "progressive JPEG", "grey JPEG", "PNG", "grey PNG", "WebP", "lossless WebP")


def written(folder: Path, data: bytes, name: str = "photo") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_rgb(tmp_path: Path, kind: str) -> None:
    data, expected, tolerance = KINDS[kind]
    image = read_image(written(tmp_path, data))  # the name does not say the kind
    assert (image.dtype, image.shape) == (np.uint8, (HEIGHT, WIDTH, 3))
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_the_usual_kinds_are_read_by_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    slow: list[object] = []
    pillow = images._read_with_pillow
    monkeypatch.setattr(images, "_read_with_pillow", lambda *arguments: slow.append(kind) or pillow(*arguments))
    read_image(written(tmp_path, KINDS[kind][0]))
    assert slow == ([] if kind in FAST else [kind])


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


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("PNG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA")]
)
def test_orientation_is_applied(tmp_path: Path, orientation: int, order: str, kind: str, mode: str) -> None:
    tag = struct.pack(f"{order}2sHIHHHIHHI", b"II" if order == "<" else b"MM", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}[kind]
    stored = Drawn(np.ascontiguousarray(STORED[orientation])).convert(mode)
    image = read_image(written(tmp_path, encoded(stored, kind, exif=b"Exif\0\0" + tag, **options)))
    assert image.shape == RGB.shape
    assert np.abs(image.astype(int) - RGB).max() <= 8


@pytest.mark.parametrize("name", ["照片.jpg", "صورة.png", "é ; 'a'.jpg", "no suffix", "-flag.jpg"])
def test_names_in_any_script(tmp_path: Path, name: str) -> None:
    assert read_image(written(tmp_path, KINDS["PNG"][0], name)).shape == RGB.shape
    assert read_image(os.fspath(tmp_path / name)).shape == RGB.shape


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "animated" not in kind and "behind" not in kind])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, -24])
def test_truncated_files_are_refused(tmp_path: Path, kind: str, share: float) -> None:
    data = KINDS[kind][0]
    message = refusal(written(tmp_path, data[: int(len(data) * share) if share > 0 else int(share)]))
    if kind in FAST and share != 0.1:
        assert "is truncated: its end is missing" in message


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_refused(tmp_path: Path) -> None:
    """The thumbnail, in the EXIF segment, has the end marker that the photo lacks."""
    data, thumbnail = KINDS["JPEG"][0], encoded(BLACK, "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    assert np.array_equal(read_image(written(tmp_path, whole)), read_image(written(tmp_path, data)))
    assert "truncated" in refusal(written(tmp_path, whole[:-300]))


def test_what_is_no_photo_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nothing.jpg")
    assert "is a folder" in refusal(tmp_path)
    assert "is an empty file" in refusal(written(tmp_path, b""))
    assert "is not an image" in refusal(written(tmp_path, b"label;path\n" * 20))
    assert "is not an image" in refusal(written(tmp_path, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"))
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refusal(tmp_path / "pipe")  # and does not wait for its other end
    assert "cannot read" in refusal(tmp_path / ("x" * 300))
    assert "cannot read" in refusal(tmp_path / "a\0b")
    fractions = encoded(Drawn(np.ones((4, 4), np.float32)), "TIFF")
    assert "fractions" in refusal(written(tmp_path, fractions))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def with_size(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


@pytest.mark.parametrize(
    "data",
    [
        bomb(40_000, 40_000),
        with_size(KINDS["JPEG"][0], struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 60_000, 60_000)),
        with_size(KINDS["CMYK JPEG"][0], struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 60_000, 60_000)),
        with_size(KINDS["WebP"][0], struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", 0x3FFF, 0x3FFF)),
        b"P5 12000 12000 255\n",
    ],
)
def test_too_many_pixels_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(Image.Image, "load", None)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # Pillow would warn
    message = refusal(written(tmp_path, data))
    assert "pixels; the limit is 120,000,000" in message


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_give_an_image_or_one_error(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    whole = np.frombuffer(KINDS[kind][0], np.uint8)
    for _ in range(20):
        data = whole.copy()
        data[random.integers(2, len(data), 5)] = random.integers(0, 256, 5)
        path = written(tmp_path, data[: random.integers(2, len(data) + 1)].tobytes())
        try:
            shape: tuple[int, ...] = read_image(path).shape
            message = str(path)
        except ImageError as error:
            shape, message = (1, 1, 3), str(error)
        assert shape[2:] == (3,)
        assert message.splitlines() == [message]
        assert message.startswith(str(path))


def test_suffixes_cover_what_is_read() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".gif"} == IMAGE_SUFFIXES
