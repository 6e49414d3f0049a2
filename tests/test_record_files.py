"""Record files against a writer made from the format's description (dmlc-core recordio.h, MXNet's recordio.py)."""

import random
import struct
from pathlib import Path

import pytest

from utils.record_files import MAGIC, Record, check_index, read_records
from utils.settings import UserError

JPEG = b"\xff\xd8\xff\xe0"


def part(flag: int, data: bytes) -> bytes:
    return MAGIC + struct.pack("<I", flag << 29 | len(data)) + data + b"\0" * ((4 - len(data) % 4) % 4)


def written(content: bytes) -> bytes:
    """Splits the content at every magic number that lies at a multiple of four, as dmlc's writer does."""
    cuts = [at for at in range(0, len(content) - len(content) % 4, 4) if content[at : at + 4] == MAGIC]
    pieces = [content[a:b] for a, b in zip([0, *(c + 4 for c in cuts)], [*cuts, len(content)], strict=True)]
    flags = [0] if len(pieces) == 1 else [1, *[2] * (len(pieces) - 2), 3]
    return b"".join(part(flag, piece) for flag, piece in zip(flags, pieces, strict=True))


def image_record(label: float, image: bytes, number: int = 0, labels: tuple[float, ...] = ()) -> bytes:
    header = struct.pack("<IfQQ", len(labels), 0.0 if labels else label, number, 0)
    return header + struct.pack(f"<{len(labels)}f", *labels) + image


def casia(path: Path, images: list[tuple[int, bytes]], index: bool = True) -> Path:
    """A file as InsightFace's tools write them: ranges first, the images, then a record for each person."""
    people = 1 + max(label for label, _ in images)
    ends = (len(images) + 1.0, len(images) + 1.0 + people)
    contents = [image_record(0, b"", 0, ends)]
    contents += [image_record(label, image, k) for k, (label, image) in enumerate(images, start=1)]
    contents += [image_record(0, b"", 0, (1.0, 2.0)) for _ in range(people)]
    data, lines = b"", []
    for number, content in enumerate(contents):
        lines.append(f"{number}\t{len(data)}\n")
        data += written(content)
    path.write_bytes(data)
    if index:
        path.with_suffix(".idx").write_text("".join(lines))
    return path


def some_images(number: int, seed: int = 0) -> list[tuple[int, bytes]]:
    """Images of every length modulo four; in every third stands the magic number, at multiples of four and beside."""
    rng = random.Random(seed)
    images = []
    for k in range(number):
        image = JPEG + rng.randbytes(rng.randrange(40))
        if k % 3 == 0:
            image += rng.choice([b"", b"x"]) + MAGIC * rng.randrange(4) + rng.randbytes(rng.randrange(9)) + MAGIC
        images.append((k // 4, image))
    return images


def found(path: Path) -> list[tuple[int, bytes]]:
    return [(record.label, record.image) for record in read_records(path) if record.image]


def test_images_come_back_byte_by_byte(tmp_path: Path) -> None:
    images = some_images(200)
    path = casia(tmp_path / "train.rec", images)
    assert path.read_bytes().count(MAGIC) > 1 + 200 + 50  # there are records in several parts
    assert found(path) == images
    records = list(read_records(path))
    assert [record.number for record in records] == list(range(1 + 200 + 50))
    assert records[-1].end == path.stat().st_size
    assert {record.suffix for record in records} == {".jpg", ""}


def test_labels_behind_the_header_and_kinds_of_image(tmp_path: Path) -> None:
    contents = [
        image_record(0, JPEG, labels=(7.0, 1.5, 2.5)),
        image_record(9_999_999, b"\x89PNG\r\n\x1a\n"),
        image_record(3, b"RIFF\0\0\0\0WEBPVP8 "),
        image_record(3, b"neither"),
    ]
    (tmp_path / "a.rec").write_bytes(b"".join(map(written, contents)))
    assert list(read_records(tmp_path / "a.rec")) == [
        Record(0, 48, 7, JPEG, ".jpg"),
        Record(1, 88, 9_999_999, b"\x89PNG\r\n\x1a\n", ".png"),
        Record(2, 136, 3, b"RIFF\0\0\0\0WEBPVP8 ", ".webp"),
        Record(3, 176, 3, b"neither", ""),
    ]


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf"), 1e7])
def test_a_label_that_is_no_number_of_a_person(tmp_path: Path, label: float) -> None:
    (tmp_path / "a.rec").write_bytes(written(image_record(0, JPEG)) + written(image_record(label, JPEG)))
    with pytest.raises(UserError, match=r"at byte 36: label .*; a whole number from 0 to 9,999,999 is expected"):
        list(read_records(tmp_path / "a.rec"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"\xff\xd8\xff\xe0 a photo, not a record file",
            "at byte 0: a record begins with 0a23d7ce, here stands ffd8ffe0",
        ),
        (part(0, b"short"), "at byte 0: a record of 5 bytes has no header"),
        (part(0, image_record(0, b"", labels=(1.0,))[:26]), "has no place for 1 labels"),
        (part(2, bytes(24)), "at byte 0: a part of kind 2 does not belong here"),
        (part(1, bytes(24)) + part(0, bytes(24)), "at byte 32: a part of kind 0 does not belong here"),
        (part(1, bytes(24)) + part(1, bytes(24)), "at byte 32: a part of kind 1 does not belong here"),
        (part(3, bytes(24)), "at byte 0: a part of kind 3 does not belong here"),
        (part(1, bytes(24)) + b"torn" * 9, "at byte 32: a record begins with 0a23d7ce, here stands 746f726e"),
        (part(1, bytes(24)), "at byte 32: 8 bytes are expected here, the file has 0 more"),
        (part(5, bytes(24)), "a part of kind 5"),
        (MAGIC + b"\xff\xff\xff\x1f", "at byte 8: 536,870,912 bytes are expected here, the file has 0 more"),
    ],
)
def test_damage_is_named_with_its_byte(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "a.rec").write_bytes(data)
    with pytest.raises(UserError) as caught:
        list(read_records(tmp_path / "a.rec"))
    assert expected in str(caught.value)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = casia(tmp_path / "train.rec", some_images(6)).read_bytes()
    ends = {record.end for record in read_records(tmp_path / "train.rec")}
    records = len(ends)
    for end in range(1, len(whole)):
        (tmp_path / "train.rec").write_bytes(whole[:end])
        with pytest.raises(UserError):
            check_index(tmp_path / "train.rec", sum(1 for _ in read_records(tmp_path / "train.rec")))
    (tmp_path / "train.rec").write_bytes(whole)
    check_index(tmp_path / "train.rec", records)
    (tmp_path / "train.idx").unlink()
    check_index(tmp_path / "train.rec", 3)  # without it there is nothing to compare with


def test_mutations_give_records_or_one_line(tmp_path: Path) -> None:
    rng = random.Random(1)
    whole = casia(tmp_path / "train.rec", some_images(12)).read_bytes()
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "train.rec").write_bytes(data)
        try:
            records = list(read_records(tmp_path / "train.rec"))
        except UserError as error:
            refused += str(error).count("\n") + 1
        else:
            assert all(0 <= r.label < 10_000_000 or not r.image for r in records)
    assert 500 < refused < 2000


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nothing\.rec: No such file"):
        list(read_records(tmp_path / "nothing.rec"))


def test_one_label_behind_the_header_and_a_header_alone(tmp_path: Path) -> None:
    contents = image_record(0, JPEG, labels=(7.0,)), image_record(0, b""), image_record(3, b"RIFF\0\0\0\0AVI LIST")
    (tmp_path / "a.rec").write_bytes(b"".join(map(written, contents)))
    found = list(read_records(tmp_path / "a.rec"))
    assert [(record.label, record.suffix) for record in found] == [(7, ".jpg"), (-1, ""), (3, "")]


def test_an_index_of_fewer_records_is_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "train.idx").write_text("0\t0\n1\t44\n\n")  # lines of nothing are none
    check_index(tmp_path / "train.rec", 2)
    for records in (1, 3):
        with pytest.raises(UserError, match=rf"has {records} records, .*train\.idx names 2"):
            check_index(tmp_path / "train.rec", records)
