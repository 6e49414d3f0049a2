"""Files are written whole or not at all, whatever goes wrong meanwhile."""

import errno
import hashlib
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from utils.files import read_json, sha256, write_json, write_text, written_whole
from utils.settings import UserError


def test_replaces_the_old_file_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "weights.keras"
    path.write_text("old")
    with written_whole(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["weights.keras"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_keeps_the_old_file_where_the_writer_fails(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write() -> None:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_keeps_the_old_file_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.json"
    path.write_text("old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UserError, match=r"cannot write .*a\.json: No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_keeps_the_old_file_where_the_system_stops_the_writing(tmp_path: Path) -> None:
    """A real refusal by the system, halfway through the bytes: a limit on the size of files."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = "import sys; from utils.files import write_text; write_text(sys.argv[1], 'x' * 100_000)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=Path(__file__).parents[1],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
    )
    assert f"UserError: cannot write {path}: File too large" in done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_makes_missing_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "logs" / "run" / "a.txt", "人 é")
    assert (tmp_path / "logs" / "run" / "a.txt").read_bytes() == "人 é".encode()


def test_a_folder_or_a_file_in_the_way_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*"):
        write_text(tmp_path / "file" / "a.txt", "")
    with pytest.raises(UserError, match="it is a folder"):
        write_text(tmp_path, "")
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".txt")
    write_text(path, "a")
    assert path.read_text() == "a"


def test_a_pipe_or_a_device_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="it is a device or a pipe"):
        write_text(tmp_path / "pipe", "a")
    assert (tmp_path / "pipe").is_fifo()


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"name": "李 'é'", "size": [160, 160], "rate": 1e-3, "none": None}
    write_json(tmp_path / "card.json", value)
    assert read_json(tmp_path / "card.json") == value
    assert "李" in (tmp_path / "card.json").read_text(encoding="utf-8")


def test_json_that_is_missing_or_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*card\.json: No such file"):
        read_json(tmp_path / "card.json")
    for content in (b"{", b"\xff\xfe", b""):
        (tmp_path / "card.json").write_bytes(content)
        with pytest.raises(UserError, match=r"card\.json is not JSON"):
            read_json(tmp_path / "card.json")


def test_sha256_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "weights").write_bytes(data)
    assert sha256(tmp_path / "weights") == hashlib.sha256(data).hexdigest()
