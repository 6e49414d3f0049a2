"""download.py as a user runs it, with a small set that a local server publishes."""

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import download
import utils.public_sets
from utils.download import RemoteFile
from utils.pairs import read_pairs
from utils.public_sets import PublicSet
from utils.settings import run_script

PAIRS = b"1\t2\nAnn\t1\t2\nBo\t1\t2\nAnn\t1\tBo\t1\nAnn\t2\tBo\t2\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def published(site: Path, hostile: bool) -> PublicSet:
    site.mkdir()
    with tarfile.open(site / "lfw.tgz", "w:gz") as tar:
        for name in ("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bo/Bo_0001.jpg", "Bo/Bo_0002.jpg"):
            info = tarfile.TarInfo("../escaped.jpg" if hostile and name[0] == "B" else f"lfw/{name}")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"jpg"))
    (site / "pairs.txt").write_bytes(PAIRS)
    return PublicSet(*(RemoteFile(n, (n,), hashlib.sha256((site / n).read_bytes()).hexdigest()) for n in NAMES), 4)


NAMES = ("lfw.tgz", "pairs.txt")


@pytest.fixture(params=[False])
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that a local server publishes, and SETS pointing there; `param`: whether the archive is hostile."""
    files = published(tmp_path / "site", request.param)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site")))
    address = f"http://127.0.0.1:{server.server_address[1]}"
    archive, pairs = (file._replace(addresses=(f"{address}/{file.name}",)) for file in files[:2])
    monkeypatch.setattr(utils.public_sets, "SETS", {"lfw": {"original": PublicSet(archive, pairs, 4)}})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield tmp_path / "site"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*argv: str) -> int:
    try:
        run_script(download.main, download.Settings, argv)
    except SystemExit as done:
        return int(str(done.code))
    return 0


def test_lfw_is_ready_to_evaluate_and_a_second_run_does_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lfw") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "4 files, checked and unpacked into datasets/lfw"
    assert said[-1].startswith(
        "python eval_lfw.py --lfw_dir datasets/lfw --lfw_pairs datasets/lfw/pairs.txt --align auto"
    )
    assert max(map(len, said)) <= 90
    assert len(read_pairs("datasets/lfw/pairs.txt", "datasets/lfw").images) == 4
    assert os.listdir("datasets") == ["lfw"]
    (site / "lfw.tgz").unlink()
    before = os.stat("datasets/lfw").st_mtime_ns
    assert run("lfw") == 0
    assert "is there already" in capsys.readouterr().out
    assert os.stat("datasets/lfw").st_mtime_ns == before


def test_an_empty_folder_is_as_good_as_none(site: Path) -> None:
    Path("datasets/lfw").mkdir(parents=True)
    assert run("lfw") == 0
    assert any(Path("datasets/lfw").iterdir())


def test_the_archive_may_be_put_there_by_hand_and_kept(site: Path) -> None:
    Path("data").mkdir()
    (site / "lfw.tgz").rename("data/lfw.tgz")
    assert run("lfw", "--output", "data/people", "--keep-archive") == 0
    assert sorted(os.listdir("data")) == ["lfw.tgz", "people"]


@pytest.mark.parametrize("site", [True], indirect=True)
def test_a_hostile_archive_leaves_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lfw") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: datasets/lfw.tgz is refused: '../escaped.jpg' is no path inside the folder")
    assert sorted(os.listdir("datasets")) == ["lfw-pairs.txt", "lfw.tgz"]  # verified downloads
    assert not list(site.parent.rglob("escaped.jpg"))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ((), "takes one set; choose from lfw (others: docs/public_data.md)"),
        (("casia",), "no address of 'casia'; lfw is fetched, others: docs/public_data.md"),
        (("lfw", "--what", "orignal"), "unknown --what 'orignal' (did you mean 'original'?)"),
        (("lfw", "--output", "site"), "site is there and holds something else; another --output is expected"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_fetched(
    site: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], expected: str
) -> None:
    assert run(*argv) == 2
    assert expected in capsys.readouterr().err
    assert not Path("datasets").exists()


def test_offline_is_one_line(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "lfw.tgz").unlink()
    assert run("lfw") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: cannot fetch lfw.tgz (127.0.0.1:")
    assert error.endswith("put it at datasets/lfw.tgz")


def test_the_published_hash_of_the_pairs_is_that_of_the_pairs_in_this_project() -> None:
    pairs = Path(__file__).parents[1] / "model_data" / "lfw_pairs.txt"
    for files in utils.public_sets.LFW.values():
        assert files.pairs.sha256 == hashlib.sha256(pairs.read_bytes()).hexdigest()
