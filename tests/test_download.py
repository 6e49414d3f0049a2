"""Downloads against a local server that breaks off, ignores ranges, sends something else, refuses, or redirects."""

import hashlib
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import utils.download
from utils.download import RemoteFile, fetch
from utils.settings import UserError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers with `content`; its fields say how it misbehaves, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag = '"one"'
        self.breaks_at: list[int] = []  # bytes of the body after which each next answer breaks off
        self.codes: list[int] = []  # codes of the next answers
        self.ranges, self.lengths, self.shifted = True, True, False
        self.asked: list[str] = []  # Range of each request

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that has what it wants closes the connection

    def address(self, path: str = "file") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        if self.path == "/moved":
            self.answer(302, b"", {"Location": server.address("file")})
            return
        if self.path == "/loop":
            self.answer(302, b"", {"Location": server.address("loop")})
            return
        server.asked.append(self.headers.get("Range", ""))
        if server.codes and (code := server.codes.pop(0)) != 200:
            self.answer(code, b"no" if code != 202 else b"")
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if server.ranges else 0
        if self.headers.get("If-Range", server.etag) != server.etag:
            start = 0
        headers = {"ETag": server.etag}
        if start >= len(server.content):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(server.content)}"})
            return
        if start:
            at = start + 7 if server.shifted else start
            headers["Content-Range"] = f"bytes {at}-{len(server.content) - 1}/{len(server.content)}"
        self.answer(206 if start else 200, server.content[start:], headers)

    def answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if code in (200, 206) and self.server.breaks_at:
            body = body[: self.server.breaks_at.pop(0)]
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(utils.download, "PAUSE", 0.0)
    monkeypatch.setattr(utils.download, "TIMEOUT", 5.0)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def remote(*addresses: str) -> RemoteFile:
    return RemoteFile("file.tgz", addresses, SHA256)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("path", ["file", "moved"])
def test_a_file_comes_whole_and_is_not_fetched_twice(server: Server, tmp_path: Path, path: str) -> None:
    for _ in range(2):
        fetch(remote(server.address(path)), tmp_path / "new" / "file.tgz")
        assert (tmp_path / "new" / "file.tgz").read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["file.tgz"]
    assert server.asked == [""]


def test_a_download_that_breaks_off_goes_on(server: Server, tmp_path: Path) -> None:
    server.breaks_at = [100_000] * 6  # more often than it would try without progress
    fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT
    assert server.asked == [""] + [f"bytes={n}00000-" for n in range(1, 7)]
    assert names(tmp_path) == ["file.tgz"]


def test_a_later_run_goes_on_from_what_is_there(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.tgz.part").write_bytes(CONTENT[:1_000_000])
    fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT
    assert server.asked == ["bytes=1000000-"]


@pytest.mark.parametrize("there", [CONTENT, CONTENT + b"more", b"x" * 500_000, b"x" * len(CONTENT)])
def test_what_is_there_is_never_trusted(server: Server, tmp_path: Path, there: bytes) -> None:
    """Whole already, too long, or the beginning of another file: the SHA-256 decides, and it is fetched anew."""
    (tmp_path / "file.tgz.part").write_bytes(there)
    fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT
    assert len(server.asked) == (1 if there == CONTENT else 2)


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.breaks_at = False, [400_000, 700_000]
    fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=400000-", "bytes=700000-"]


def test_a_server_that_sends_another_piece_than_asked_for(server: Server, tmp_path: Path) -> None:
    server.shifted, server.breaks_at = True, [400_000]
    fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=400000-", ""]


def test_two_versions_of_a_file_are_never_joined(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's file changes while it is fetched: If-Range makes it send the new one from its start."""
    server.content, server.etag, server.breaks_at = b"old" * 500_000, '"old"', [400_000]

    def change(seconds: float) -> None:
        server.content, server.etag = CONTENT, '"new"'

    monkeypatch.setattr(utils.download.time, "sleep", change)
    fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=400000-"]


def test_no_length_is_known(server: Server, tmp_path: Path) -> None:
    server.lengths = False
    fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT
    (tmp_path / "file.tgz").unlink()
    server.breaks_at = [1000]  # cannot be told from the end: the SHA-256 tells
    with pytest.raises(UserError, match="sent a file of another SHA-256"):
        fetch(remote(server.address()), tmp_path / "file.tgz")


@pytest.mark.parametrize("codes", [[503], [500, 502, 429], [200, 503]])
def test_a_passing_refusal_is_waited_out(server: Server, tmp_path: Path, codes: list[int]) -> None:
    server.codes, server.breaks_at = codes, [500_000]
    fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("code", "reason"),
    [(404, "HTTP 404 Not Found"), (403, "HTTP 403 Forbidden"), (500, "HTTP 500 Internal"), (202, "HTTP 202 instead")],
)
def test_a_lasting_refusal_names_the_address_and_the_place(
    server: Server, tmp_path: Path, code: int, reason: str
) -> None:
    server.codes = [code] * 9
    with pytest.raises(UserError) as caught:
        fetch(remote(server.address()), tmp_path / "file.tgz")
    assert reason in str(caught.value)
    assert f"with a browser from {server.address()} and put it at {tmp_path / 'file.tgz'}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == (utils.download.TRIES if code == 500 else 1)
    assert names(tmp_path) == []


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    server.codes = [202]
    fetch(remote(server.address("one"), server.address("two")), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == CONTENT


def test_a_wrong_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"\0"
    with pytest.raises(UserError, match=r"sent a file of another SHA-256 .* it was thrown away"):
        fetch(remote(server.address()), tmp_path / "file.tgz")
    assert names(tmp_path) == []


def test_an_endless_file_and_a_loop_of_redirects_end(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="redirect"):
        fetch(remote(server.address("loop")), tmp_path / "file.tgz")
    monkeypatch.setattr(utils.download, "BYTE_LIMIT", 300_000)
    with pytest.raises(UserError, match="it sends more than 300,000 bytes"):
        fetch(remote(server.address()), tmp_path / "file.tgz")


def test_no_progress_ends_too(server: Server, tmp_path: Path) -> None:
    server.breaks_at = [0] * 20
    with pytest.raises(UserError, match="the connection broke off"):
        fetch(remote(server.address()), tmp_path / "file.tgz")
    assert len(server.asked) == utils.download.TRIES


def test_offline_and_a_dead_proxy_are_one_line(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("http://127.0.0.1:9/file", "https://nowhere.invalid/file"):
        with pytest.raises(UserError, match=rf"cannot fetch file\.tgz \({address.split('/')[2]}: .*https_proxy names"):
            fetch(remote(address), tmp_path / "made" / "file.tgz")
        assert not list(tmp_path.iterdir())  # no empty folder stays
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(UserError, match="refused"):
        fetch(remote(server.address()), tmp_path / "file.tgz")
    assert server.asked == []


def test_another_file_in_the_place_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.tgz").write_bytes(b"by browser")
    with pytest.raises(UserError, match=r"file\.tgz is not file\.tgz as published"):
        fetch(remote(server.address()), tmp_path / "file.tgz")
    assert (tmp_path / "file.tgz").read_bytes() == b"by browser"
    assert server.asked == []
