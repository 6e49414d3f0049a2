"""Fetches published files: goes on where a download broke off, and takes only bytes of the SHA-256 that was published.

urllib of the standard library. `pooch`, the known library for this, has checksums and proxies too, but no resuming: a
link that breaks every 100 MB never gets a file of 200 MB through it.
"""

import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

from tqdm import tqdm

from utils.files import sha256
from utils.settings import UserError
from utils.terminal import progress_bar

TIMEOUT = 30.0  # seconds without a byte
TRIES = 4  # in a row that bring nothing new
PAUSE = 1.0  # seconds before the second try, twice as long before each further one
CHUNK = 1 << 18  # bytes
BYTE_LIMIT = 4 << 30  # a server that never ends must not fill the disk
PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))  # answers after which the same question may be put again


class RemoteFile(NamedTuple):
    """A file as it was published."""

    name: str
    addresses: tuple[str, ...]  # tried in this order
    sha256: str


class _Refused(Exception):
    """An address that gives no file; its text says why."""


def fetch(remote: RemoteFile, path: str | os.PathLike[str]) -> None:
    """Brings `remote` to `path`, whole and verified; does nothing where it already is.

    What has come so far lies in `<path>.part`, also after a kill, and the next call goes on from there. Raises
    UserError, with the address and the place for a file fetched by other means, where no address gives it.
    """
    path = Path(path)
    if path.is_file():
        found = sha256(path)
        if found != remote.sha256:
            raise UserError(f"{path} is not {remote.name} as published (SHA-256 {found}, not {remote.sha256})")
        return
    made = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    part = path.with_name(path.name + ".part")
    refusals = []
    for address in remote.addresses:
        try:
            _fetch_from(address, remote, part)
            part.replace(path)
            return
        except _Refused as error:
            refusals.append(f"{urlsplit(address).netloc}: {error}")
        except OSError as error:
            raise UserError(f"cannot write {part}: {error.strerror or error}") from error
    if part.exists() and not part.stat().st_size:
        part.unlink()
    if made and not any(path.parent.iterdir()):
        path.parent.rmdir()
    reasons = "; ".join(dict.fromkeys(refusals))
    advice = "https_proxy names a proxy, if there is one; or fetch it with a browser"
    raise UserError(f"cannot fetch {remote.name} ({reasons}): {advice} from {remote.addresses[0]} and put it at {path}")


def _fetch_from(address: str, remote: RemoteFile, part: Path) -> None:
    """Completes `part` and checks it; one whose older beginning does not fit is fetched anew."""
    resumed = part.is_file() and part.stat().st_size > 0
    _download(address, remote.name, part)
    found = sha256(part)
    if found == remote.sha256:
        return
    part.unlink()
    if resumed:
        _fetch_from(address, remote, part)
        return
    raise _Refused(f"sent a file of another SHA-256 ({found}, not {remote.sha256}); it was thrown away")


def _download(address: str, name: str, part: Path) -> None:
    """Appends to `part` until the server says that it is whole; raises _Refused where that does not come about."""
    with open(part, "ab") as file, _bar(name, file.tell()) as bar:
        furthest, idle, validator = file.tell(), 0, _Validator()
        while True:
            reached = False
            try:
                with urllib.request.urlopen(_request(address, file.tell(), validator), timeout=TIMEOUT) as response:
                    reached = True
                    whole = _receive(response, file, validator, bar)
                if whole:
                    os.fsync(file.fileno())
                    return
                reason = "the connection broke off"
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 416 and file.tell():  # nothing lies behind what is there: its SHA-256 tells
                    return
                reason, reached = f"HTTP {error.code} {error.reason}", error.code in PASSING
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                cause = getattr(error, "reason", error)
                reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            idle = 0 if file.tell() > furthest else idle + 1
            furthest = max(furthest, file.tell())
            if idle == TRIES or not (reached or validator.known):
                raise _Refused(reason)
            time.sleep(PAUSE * 2**idle)


def _bar(name: str, there: int) -> tqdm:
    return progress_bar(unit="B", unit_scale=True, desc=name, initial=there, delay=0.5)  # none where nothing comes


class _Validator:
    """What the server calls this version of the file (ETag or date): parts of two versions are never joined."""

    text = ""
    known = False  # whether any answer came

    def take(self, headers: http.client.HTTPMessage) -> None:
        etag = headers.get("ETag", "")
        self.text = headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag
        self.known = True


def _request(address: str, start: int, validator: _Validator) -> urllib.request.Request:
    headers = {"User-Agent": "face-recognition-kit (urllib)"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator.text:
            headers["If-Range"] = validator.text
    return urllib.request.Request(address, headers=headers)


def _receive(response: http.client.HTTPResponse, file: BinaryIO, validator: _Validator, bar: tqdm) -> bool:
    """Writes what comes; returns whether that is all of it (True where the server does not say how much it is)."""
    validator.take(response.headers)
    if response.status == 206:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {file.tell()}-"):
            _empty(file)  # another piece than was asked for
            return False
    elif response.status == 200:
        _empty(file)  # the server knows no ranges, or has another version by now
    else:
        raise _Refused(f"HTTP {response.status} instead of the file (a page for browsers only?)")
    length = response.headers.get("Content-Length", "")
    whole = file.tell() + int(length) if length.isdecimal() else None
    bar.total = whole
    while chunk := _read(response):
        file.write(chunk)
        bar.update(file.tell() - bar.n)
        if file.tell() > BYTE_LIMIT:
            raise _Refused(f"it sends more than {BYTE_LIMIT:,} bytes")
    file.flush()
    return whole is None or file.tell() == whole


def _read(response: http.client.HTTPResponse) -> bytes:
    """Returns what comes next; raises ConnectionError for whatever the network says, which is not the disk's."""
    try:
        return response.read(CHUNK)
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise ConnectionError(error.errno, error.strerror or str(error)) from error


def _empty(file: BinaryIO) -> None:
    file.seek(0)  # first: else tell() stays where it was
    file.truncate()
