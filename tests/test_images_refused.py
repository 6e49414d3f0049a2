"""What gives no photo is refused by one line that names it: cut, damaged, too large, something else."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tests.image_kinds import BLACK, HEIGHT, KINDS, WIDTH, Drawn, ascii_samples, chunk, encoded, png, tiff
from utils import netpbm
from utils.files import FileInMemory
from utils.image_headers import PIXEL_LIMIT
from utils.images import ImageError, read_image

ROOT = Path(__file__).resolve().parents[1]


def refusal(source: Path | bytes) -> str:
    """Returns what is said of it; its name must be there."""
    with pytest.raises(ImageError) as caught:
        read_image(FileInMemory("a photo", source) if isinstance(source, bytes) else source)
    message = str(caught.value)
    assert ("a photo" if isinstance(source, bytes) else str(source)) in message
    assert message.isprintable()
    return message


WHOLE = [kind for kind in KINDS if "animated" not in kind and "behind" not in kind]


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, -24])
def test_truncated_files_are_refused(kind: str, share: float) -> None:
    data = KINDS[kind].data
    message = refusal(data[: int(len(data) * share) if share > 0 else int(share)])
    if share not in (0.02, 0.1) and "TIFF" not in kind and "GIF" not in kind:  # the kind and the size were there
        assert "truncated" in message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "palette PNG", "WebP", "transparent WebP", "BMP", "PGM", "PPM", "GIF"])
def test_one_missing_byte_in_ten_is_seen_wherever_it_ends(kind: str) -> None:
    data = KINDS[kind].data
    for end in range(0, int(len(data) * 0.9), max(1, len(data) // 50)):
        assert refusal(data[:end])


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_refused() -> None:
    """The thumbnail, in the EXIF segment, has the end marker that the photo lacks."""
    data, thumbnail = KINDS["JPEG"].data, encoded(BLACK, "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    images = [read_image(FileInMemory("photo", jpeg)) for jpeg in (whole, data)]
    assert np.array_equal(*images)
    assert "is truncated: its end is missing" in refusal(whole[:-300])


def test_damage_inside_a_jpeg_is_seen() -> None:
    """Where other readers paint over what they cannot decode."""
    data = KINDS["JPEG"].data
    assert "is damaged: premature end" in refusal(data[:-400] + data[-2:])


def test_a_wrong_checksum_in_a_png_is_seen() -> None:
    data = bytearray(KINDS["PNG"].data)
    data[-20] ^= 1
    assert "is damaged: the checksum of its IDAT is wrong" in refusal(bytes(data))


def test_what_is_no_photo_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nothing.jpg")
    assert "is a folder" in refusal(tmp_path)
    assert "is an empty file" in refusal(b"")
    assert "is not an image" in refusal(b"label;path\n" * 20)
    assert "is not an image" in refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refusal(tmp_path / "pipe")  # and does not wait for its other end
    assert "cannot read" in refusal(tmp_path / ("x" * 300))
    with pytest.raises(ImageError, match=r"^cannot read a\\x00b: "):
        read_image("a\0b")
    assert "fractions" in refusal(encoded(np.ones((4, 4), np.float32), "TIFF"))
    assert "32-bit numbers" in refusal(encoded(np.full((4, 4), 70_000, np.int32), "TIFF"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P5\n64\n", "no width and height"),
        (b"P5 64 48 0\n" + bytes(9999), "no value of white"),
        (b"P5 64 48 65536\n" + bytes(9999), "no value of white"),
        (b"P5 0 48 255\n", "has 0 x 48 pixels"),
        (b"P2 2 1 255\n3 -4", "not all numbers"),
        (b"P2 2 1 255\n3 256", "not all of its samples are from 0 to 255"),
        (b"P2 2 1 255\n3 99999999999999999999999", "not all of its samples are from 0 to 255"),
        (b"P1 2 1\n3 1", "not all 0 or 1"),
        (b"P2 9 9 255\n" + b"#\n" * 500_000, "truncated"),  # Pillow takes minutes for so many comments
        (b"P2 9 9 255\n1" + b"2" * 1_000_000, "truncated"),
    ],
)
def test_netpbm_files_that_are_none(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def with_size(kind: str, old: bytes, new: bytes) -> bytes:
    assert KINDS[kind].data.count(old) == 1
    return KINDS[kind].data.replace(old, new)


LITTLE, BIG = struct.pack("<HH", WIDTH, HEIGHT), struct.pack(">HH", HEIGHT, WIDTH)
HUGE = {256: 60_000, 257: 60_000, 258: 8, 259: 8, 262: 1, 273: -1, 277: 1, 278: 60_000, 279: 20}
TILED = {256: 64, 257: 48, 258: 8, 259: 8, 262: 1, 277: 1, 322: 1 << 20, 323: 1 << 10, 324: -1, 325: 20}
BOMBS = {
    "PNG": png(40_000, 40_000, zlib.compress(bytes(1000))),
    "PNG as large as can be": png(0x7FFFFFFF, 0x7FFFFFFF, zlib.compress(bytes(1000))),
    "JPEG": with_size("JPEG", BIG, struct.pack(">HH", 60_000, 60_000)),
    "CMYK JPEG": with_size("CMYK JPEG", BIG, struct.pack(">HH", 60_000, 60_000)),
    "WebP": with_size("WebP", LITTLE, struct.pack("<HH", 0x3FFF, 0x3FFF)),
    "animated WebP": KINDS["animated WebP"].data[:24] + b"\xff\xff\0\xff\xff\0" + KINDS["animated WebP"].data[30:],
    "BMP": with_size("BMP", struct.pack("<II", WIDTH, HEIGHT), struct.pack("<II", 12_000, 12_000)),
    "TIFF": tiff(HUGE, bytes(20)),
    "TIFF of huge tiles": tiff(TILED, bytes(20)),  # 1 GB, for a picture of 64 x 48
    "GIF": b"GIF89a" + struct.pack("<HH", 0xFFFF, 0xFFFF) + KINDS["GIF"].data[10:],
    "GIF with a huge frame": KINDS["GIF"].data.replace(b",\0\0\0\0" + LITTLE, b",\0\0\0\0\xff\xff\xff\xff"),
    "PGM": b"P5 12000 12000 255\n",
    "ASCII PPM": b"P3 12000 12000 255\n1 2 3",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch, bomb: str) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", None)
    monkeypatch.setattr(Image.Image, "load", None)
    monkeypatch.setattr(Image, "frombytes", None)
    monkeypatch.setattr(netpbm, "_binary", None)
    monkeypatch.setattr(netpbm, "_ascii", None)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # Pillow would warn, or refuse in its own words
    assert "pixels; the limit is 120,000,000 pixels" in refusal(BOMBS[bomb])


def test_pillows_own_refusal_is_put_into_words() -> None:
    assert "claims more pixels than are read" in refusal(BOMBS["GIF"])


MEASURE = """
import sys
from utils.images import ImageError, read_image
from utils.memory_estimate import peak_memory

def peak():
    return int(peak_memory() / 1e6)

read_image(sys.argv[1])
before = peak()
for path in sys.argv[2:]:
    try:
        read_image(path)
    except ImageError:
        pass
print(peak() - before)
"""


def test_bombs_take_little_memory(tmp_path: Path) -> None:
    """Also 256 MB of zeros behind a header of 64 x 48: decoders stop when they have their pixels."""
    packer = zlib.compressobj(1)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1 << 8)) + packer.flush()
    strip = {256: 64, 257: 48, 258: 8, 259: 8, 262: 1, 273: -1, 277: 1, 278: 0xFFFFFFFF, 279: len(zeros)}
    plain = KINDS["PNG"].data
    files = {"sound": plain, "PNG that goes on": png(WIDTH, HEIGHT, zeros), "TIFF that goes on": tiff(strip, zeros)}
    files["tiled TIFF that goes on"] = tiff(TILED | {325: len(zeros)}, zeros)
    files["PNG with a long text"] = plain[:33] + chunk(b"zTXt", b"Comment\0\0" + zeros) + plain[33:]
    paths = []
    for name, data in (files | BOMBS).items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.stderr == ""
    assert int(done.stdout) < 60  # MB; each of them would take 200 or more


def test_many_scans_are_refused() -> None:
    """Each costs the decoder a pass over the whole picture, and takes a hundred bytes."""
    data = KINDS["progressive JPEG"].data
    scan = data[data.rfind(b"\xff\xda") : -2]
    assert "more than 100 scans" in refusal(data[:-2] + scan * 100 + data[-2:])
    hidden = b"\xff\xfe\x00\x04\xff\xd9"  # an end within a comment is none
    assert "more than 100 scans" in refusal(data[:-2] + hidden + scan * 100 + data[-2:])


def test_a_film_behind_a_photo_is_not_looked_at() -> None:
    """As telephones write them: what follows the image has the bytes of a scan's beginning by chance."""
    for kind in ("progressive JPEG", "JPEG"):
        photo = KINDS[kind].data
        plain, film = (FileInMemory("a photo", data) for data in (photo, photo + b"film" + b"\xff\xda" * 500))
        assert (read_image(film) == read_image(plain)).all()


def test_the_limit_itself_is_read() -> None:
    """A PBM, for its size: 11,000 x 10,900 pixels are as many as a telephone takes."""
    width, height = 11_000, 10_900
    assert 0.99 * PIXEL_LIMIT < width * height <= PIXEL_LIMIT
    assert refusal(f"P5 {width} {height} 255\n".encode()).endswith("is truncated: its end is missing")


def test_samples_in_words_and_numbers_are_told_apart() -> None:
    good = ascii_samples("P2", np.asarray(Drawn(KINDS["PGM"].expected).convert("L")), "255")
    assert read_image(FileInMemory("photo", good)).shape == (HEIGHT, WIDTH, 3)
    assert "not all numbers" in refusal(good.replace(b"128", b"l28", 1))
