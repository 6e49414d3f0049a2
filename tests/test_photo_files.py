"""Photos inside shards: found at their place, and never another's in their stead."""

import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import utils.photo_files
from tests.image_kinds import KINDS
from utils.images import ImageError, read_bytes, read_image
from utils.photo_files import SHARDS_OPEN, Member, member_of, photo_status

CONTENTS = {"ann/1.jpg": b"one", "ann/2.jpg": b"", "bob/" + 120 * "x" + ".jpg": os.urandom(1300)}


def tar_of(path: Path, contents: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> dict[str, str]:
    """Writes a tar as anybody would; returns name -> the path of the photo inside it."""
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with tarfile.open(path) as tar:
        return {info.name: f"{path}:{info.offset_data}:{info.size}/{info.name}" for info in tar}


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_any_tar_can_be_read_from(tmp_path: Path, kind: int) -> None:
    contents = dict(list(CONTENTS.items())[:2]) if kind == tarfile.USTAR_FORMAT else CONTENTS
    paths = tar_of(tmp_path / "a.tar", contents, kind)
    assert {name: read_bytes(path) for name, path in paths.items()} == contents


def test_a_path_says_where_a_photo_lies() -> None:
    assert member_of("out/shard-1.tar:512:43/ann/1.jpg") == Member("out/shard-1.tar", 512, 43, "ann/1.jpg")
    for path in ("ann/1.jpg", "a.tar/1.jpg", "a.tar:1/1.jpg", "a.tar:x:1/1.jpg", "a.tar:1:1", "a.tar:1:-1/1.jpg"):
        assert member_of(path) is None


def test_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    (path,) = tar_of(tmp_path / "a.tar", {"photo": KINDS["JPEG"].data}).values()
    (tmp_path / "photo").write_bytes(KINDS["JPEG"].data)
    assert np.array_equal(read_image(path), read_image(tmp_path / "photo"))


def refusal(path: str) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value).startswith((path, f"cannot read {path}"))
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_what_is_wrong_is_one_line_with_shard_and_member(tmp_path: Path) -> None:
    shard = tmp_path / "a.tar"
    paths = tar_of(shard, CONTENTS)
    place = paths["ann/1.jpg"]
    assert refusal(paths["ann/2.jpg"]).endswith("is an empty file")
    assert refusal(place).endswith(
        "is not an image of a kind that is read (bmp gif jpeg jpg pgm png ppm tif tiff webp)"
    )
    another = "is not at this place: shard and annotation file do not belong together"
    assert refusal(place.replace(":512:", ":1024:")).endswith(another)
    assert refusal(place.replace(":512:", ":600:")).endswith(another)
    assert refusal(place.replace(":3/", ":4/")).endswith(another)
    assert refusal(place.replace("1.jpg", "7.jpg")).endswith(another)
    assert "lies nowhere" in refusal(place.replace(":512:", ":511:"))
    assert "has 999,999,999,999 bytes, more than" in refusal(place.replace(":3/", ":999999999999/"))
    assert "is cut off: its shard ends" in refusal(place.replace(":512:", ":999999999999:"))
    assert refusal(place.replace("a.tar", "b.tar")).endswith("no such file")
    assert "Not a directory" in refusal(f"{shard}/ann/1.jpg")
    os.mkfifo(tmp_path / "d.tar")
    assert "cannot read" in refusal(place.replace("a.tar", "d.tar"))
    (tmp_path / "c.tar").mkdir()
    assert "Is a directory" in refusal(place.replace("a.tar", "c.tar"))


@pytest.mark.parametrize("end", [0, 300, 512, 514])
def test_a_cut_shard_is_said(tmp_path: Path, end: int) -> None:
    shard = tmp_path / "a.tar"
    place = tar_of(shard, CONTENTS)["ann/1.jpg"]
    shard.write_bytes(shard.read_bytes()[:end])
    assert f"is cut off: its shard ends at byte {end}" in refusal(place)


def test_status_is_the_photos_size_and_the_shards_date(tmp_path: Path) -> None:
    shard = tmp_path / "a.tar"
    place = tar_of(shard, CONTENTS)["ann/1.jpg"]
    os.utime(shard, ns=(5, 7))
    assert photo_status(place) == (3, 7)
    assert photo_status(str(shard)) == (shard.stat().st_size, 7)
    with pytest.raises(FileNotFoundError):
        photo_status(place.replace("a.tar", "b.tar"))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files where Linux lists them")
def test_many_shards_and_many_threads_keep_few_files_open(tmp_path: Path) -> None:
    utils.photo_files._open_shard.cache_clear()  # of other tests
    number, before = SHARDS_OPEN + 40, open_files()
    paths = [tar_of(tmp_path / f"{k}.tar", {f"{k}.jpg": b"%d" % k}).popitem()[1] for k in range(number)]
    order = np.random.default_rng(0).integers(0, number, 5000).tolist()
    most = 0
    with ThreadPoolExecutor(8) as pool:
        for k, found in zip(order, pool.map(lambda k: read_bytes(paths[k]), order), strict=True):
            assert found == b"%d" % k
            most = max(most, open_files()) if k % 10 == 0 else most
    assert open_files() <= before + SHARDS_OPEN
    assert SHARDS_OPEN / 2 < most - before <= SHARDS_OPEN + 8 + 1  # those that a thread still reads; the list itself


def test_reads_that_come_in_parts_and_systems_without_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = tar_of(tmp_path / "a.tar", CONTENTS)
    with monkeypatch.context() as patch:
        patch.setattr(utils.photo_files, "_read_at", lambda file, size, at: os.pread(file, min(size, 100), at))
        assert {name: read_bytes(path) for name, path in paths.items()} == CONTENTS
    monkeypatch.delattr(os, "pread")
    order = [list(CONTENTS)[k] for k in np.random.default_rng(0).integers(0, 3, 500)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda name: read_bytes(paths[name]), order)
        assert list(found) == [CONTENTS[name] for name in order]
