"""What a second run of pack.py believes of the first, and how it reads: in blocks, ahead, and what is no photo."""

import json
import os
import shutil
from pathlib import Path

import pytest

import pack
from tests.packed_people import SHARD, every_photo, run, write_people
from utils import packing
from utils.annotations import read_annotations
from utils.packed_from import FROM
from utils.photo_files import PACKED


@pytest.fixture(autouse=True)
def _people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pack, "MEGABYTE", SHARD)
    write_people()


def shards() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path("out").glob("shard-*.tar"))}


def test_blocks_of_sizes_and_photos_read_ahead_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run("cls_train.txt", "out")
    expected = shards()
    shutil.rmtree("out")
    monkeypatch.setattr(packing, "ROWS", 7)
    monkeypatch.setattr(packing, "AHEAD", 2)  # fewer than a shard has
    run("cls_train.txt", "out")
    assert shards() == expected


def test_a_run_that_was_broken_off_is_not_done_though_its_shards_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    run("cls_train.txt", "out")
    mark = json.loads(Path("out", PACKED).read_text())
    Path("out", PACKED).write_text(json.dumps(mark | {"finished": False}))
    shutil.rmtree("people")
    assert run("cls_train.txt", "out") == 2
    assert "30 of 30 photos cannot be read" in capsys.readouterr().err


def test_an_annotation_file_that_is_gone_comes_back() -> None:
    run("cls_train.txt", "out")
    before, when = Path("out/cls_train.txt").read_bytes(), Path("out/shard-00000.tar").stat().st_mtime_ns
    Path("out/cls_train.txt").unlink()
    assert run("cls_train.txt", "out") == 0
    assert Path("out/cls_train.txt").read_bytes() == before
    assert Path("out/shard-00000.tar").stat().st_mtime_ns == when


def test_without_a_note_a_photo_of_another_size_is_found_by_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    """It is older than its shard, and its shard is as long as before."""
    run("cls_train.txt", "out")
    number = len(shards())
    Path("out", FROM).unlink()
    changed = Path("people/ann/1.png")
    changed.write_bytes(changed.read_bytes()[:-1])
    os.utime(changed, (5, 5))
    capsys.readouterr()
    assert run("cls_train.txt", "out") == 0
    assert f"({number - 1} there already)" in capsys.readouterr().out
    assert every_photo(read_annotations("out/cls_train.txt")) == every_photo(read_annotations("cls_train.txt"))


@pytest.mark.parametrize("path", ["people/ann", "people/a\0b.png"])
def test_what_is_no_file_is_one_line(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd.txt").write_text(f"0;{path}\n1;people/ann/1.png\n")
    assert run("odd.txt", "out") == 2
    assert "error: 1 of 2 photos cannot be read: " in capsys.readouterr().err
    assert not Path("out").exists()


def test_how_many_shards_are_whole_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("cls_train.txt", "out")
    expected = shards()
    for name in list(expected)[2:]:
        Path("out", name).unlink()
    read = packing.read_bytes
    monkeypatch.setattr(packing, "read_bytes", lambda path: read(path) + b"x" * ("bob" in path and "5.png" in path))
    assert run("cls_train.txt", "out") == 2
    there = len(shards())
    assert 2 < there < len(expected)
    assert f"; {there} of {len(expected)} shards are whole, the next run goes on" in capsys.readouterr().err


def test_a_shard_that_has_grown_is_written_anew() -> None:
    run("cls_train.txt", "out")
    expected = shards()
    Path("out/shard-00001.tar").write_bytes(expected["shard-00001.tar"] + bytes(512))
    assert run("cls_train.txt", "out") == 0
    assert shards() == expected


def test_a_disk_with_just_enough_room_is_enough(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("cls_train.txt", "out")
    size = sum(map(len, shards().values()))
    shutil.rmtree("out")
    for free, code in ((size - 1, 2), (size, 0)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(10**9, 0, free))
        assert run("cls_train.txt", "out") == code
    assert "the shards take 0.0 GB, and" in capsys.readouterr().err
