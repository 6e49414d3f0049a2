"""Archives by strangers: plain files come out, whole folders or nothing; everything else is refused, and named."""

import contextlib
import gzip
import io
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from utils.archives import Limits, folder_written_whole, unpack_archive
from utils.settings import UserError

FILES = {"lfw/Ann/Ann_0001.jpg": b"\xff\xd8one", "lfw/Ann/Ann_0002.jpg": b"", "lfw/Bö/Bö_0001.jpg": b"x" * 3_000_000}


def tar_of(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz", form: int = 2) -> Path:
    with tarfile.open(path, mode, format=form) as tar:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def unpacked(archive: Path, folder: Path, limits: Limits | None = None) -> dict[str, bytes]:
    with folder_written_whole(folder) as temporary:
        number = unpack_archive(archive, temporary, limits)
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    assert number == len(found)
    return found


WRITERS: dict[str, Callable[[Path], Path]] = {
    mode: lambda path, mode=mode: tar_of(path, [(member(n), c) for n, c in FILES.items()], mode)  # type: ignore[misc]
    for mode in ("w:", "w:gz", "w:bz2", "w:xz")
} | {"zip": lambda path: zip_of(path, FILES)}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_unpacks_without_the_folder_that_holds_all(tmp_path: Path, kind: str) -> None:
    archive = WRITERS[kind](tmp_path / "archive")  # by its bytes, not by its name
    assert unpacked(archive, tmp_path / "out") == {name[4:]: content for name, content in FILES.items()}
    assert sorted(os.listdir(tmp_path)) == ["archive", "out"]


def test_what_macos_adds_to_an_archive_stays_in_it(tmp_path: Path) -> None:
    added = {"__MACOSX/lfw/._a.jpg": b"x", "lfw/.DS_Store": b"x", "lfw/Ann/._1.jpg": b"x", "__MACOSX/._lfw": b"x"}
    archive = zip_of(tmp_path / "a", {"lfw/Ann/1.jpg": b"1"} | added)
    assert unpacked(archive, tmp_path / "out") == {"Ann/1.jpg": b"1"}


def test_two_folders_stay_two_and_an_inner_one_may_have_its_name(tmp_path: Path) -> None:
    assert set(unpacked(zip_of(tmp_path / "a", {"a/1": b"1", "b/2": b"2"}), tmp_path / "one")) == {"a/1", "b/2"}
    assert set(unpacked(zip_of(tmp_path / "b", {"a/a/1": b"1", "a/2": b"2"}), tmp_path / "two")) == {"a/1", "2"}


def test_folders_and_modes_of_the_archive(tmp_path: Path) -> None:
    """Members' permissions and owners are not taken over: a file without any is readable, none is executable."""
    locked = member("lfw/a.jpg")
    locked.mode, locked.uid = 0o4777, 0
    folder = member("lfw/empty", tarfile.DIRTYPE)
    folder.mode = 0
    unpacked(tar_of(tmp_path / "a", [(folder, b""), (locked, b"a")]), tmp_path / "out")
    assert (tmp_path / "out" / "empty").is_dir()
    assert (tmp_path / "out" / "a.jpg").stat().st_mode & 0o7111 == 0


HOSTILE = {
    "up": [member("lfw/../../escaped")],
    "up only": [member("..", tarfile.DIRTYPE)],
    "absolute": [member("/tmp/escaped")],
    "drive": [member("C:/escaped")],
    "backslash": [member("lfw\\..\\..\\escaped")],
    "newline": [member("lfw/a\n.jpg")],
    "deep": [member("a/" * 30 + "b")],
    "symlink": [member("lfw/link", tarfile.SYMTYPE, "/etc/passwd")],
    "symlink inside": [member("lfw/a.jpg"), member("lfw/link", tarfile.SYMTYPE, "a.jpg")],
    "through a symlink": [member("lfw/out", tarfile.SYMTYPE, ".."), member("lfw/out/escaped")],
    "hardlink": [member("lfw/link", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [member("lfw/null", tarfile.CHRTYPE)],
    "pipe": [member("lfw/pipe", tarfile.FIFOTYPE)],
    "sparse": [member("lfw/sparse", tarfile.GNUTYPE_SPARSE)],
    "twice": [member("lfw/a.jpg"), member("lfw/./a.jpg")],
    "file and folder": [member("lfw/a"), member("lfw/a/b.jpg")],
    "folder and file": [member("lfw/a/b.jpg"), member("lfw/a")],
    "too many": [member(f"lfw/{k}") for k in range(50)],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members_are_refused_and_nothing_stays(tmp_path: Path, kind: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = tar_of(inner / "a.tgz", [(info, b"a" if info.isreg() else b"") for info in HOSTILE[kind]])
    with pytest.raises(UserError) as caught:
        unpacked(archive, inner / "out", Limits(members=40))
    assert str(caught.value).startswith(f"{archive} is refused: ")
    assert "\n" not in str(caught.value)
    assert (os.listdir(inner), os.listdir(tmp_path)) == (["a.tgz"], ["inner"])
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped", "C:\\escaped", "a\\..\\b"])
def test_hostile_names_in_a_zip(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"is refused: .* is no path inside the folder"):
        unpacked(zip_of(tmp_path / "a.zip", {"ok": b"", name: b"a"}), tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.zip"]


def test_links_and_encryption_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="'link' is a link"):
        unpacked(tmp_path / "a.zip", tmp_path / "out")
    data = bytearray(zip_of(tmp_path / "b.zip", {"a": b"a"}).read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1  # the flag of encryption, in the directory at the end
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(UserError, match="is encrypted"):
        unpacked(tmp_path / "b.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", ["w:gz", "zip"])
def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, kind: str) -> None:
    files = {f"{k}": bytes(4_000_000) for k in range(3)}  # 12 MB out of some kilobytes
    if kind == "zip":
        archive = zip_of(tmp_path / "a", files)
    else:
        archive = tar_of(tmp_path / "a", [(member(n), c) for n, c in files.items()], kind)
    assert archive.stat().st_size < 20_000
    with pytest.raises(UserError, match="unpacks to more than is allowed"):
        unpacked(archive, tmp_path / "out", Limits(size=9_000_000))
    assert os.listdir(tmp_path) == ["a"]


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    """A tar's extended header has any length, and would be read whole."""
    info = member("a", tarfile.XHDTYPE)
    info.size = 1 << 33
    with gzip.open(tmp_path / "a", "wb", compresslevel=1) as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(40):
            packed.write(bytes(1 << 20))
    with pytest.raises(UserError, match="a header of 8,589,934,592 bytes"):
        unpacked(tmp_path / "a", tmp_path / "out", Limits(members=100, size=1 << 20))


def test_a_tar_that_is_cut_between_its_members_is_said(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "a", [(member("lfw/a.jpg"), b"a"), (member("lfw/b.jpg"), b"b")], "w").read_bytes()
    for name, data in (("cut", whole[:1024]), ("cut.gz", gzip.compress(whole[:1024]))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match="is cut: the end of a tar is missing"):
            unpacked(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="a drive, or a stream of a file")
def test_a_time_in_a_name_is_a_name(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a", [(member("ann/12:30.jpg"), b"a"), (member("bob/1.jpg"), b"b")])
    assert set(unpacked(archive, tmp_path / "out")) == {"ann/12:30.jpg", "bob/1.jpg"}


def test_what_is_there_is_left_alone_and_what_a_killed_run_left_goes(tmp_path: Path) -> None:
    (tmp_path / ".out.part" / "old").mkdir(parents=True)
    archive = zip_of(tmp_path / "a", {"x/1": b"1"})
    assert set(unpacked(archive, tmp_path / "out")) == {"1"}
    with pytest.raises(UserError, match="out is there already; a new folder is expected"):
        unpacked(archive, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["a", "out"]


def test_truncated_and_mutated_archives_give_files_or_one_line(tmp_path: Path) -> None:
    rng = random.Random(0)
    small = {f"lfw/p{k}/{k}.jpg": bytes([k]) * 40 * k for k in range(12)}
    members = [(member(name), content) for name, content in small.items()]
    sources = [tar_of(tmp_path / "t", members, mode, form).read_bytes() for mode, form in (("w:", 2), ("w:gz", 1))]
    sources += [tar_of(tmp_path / "t", members, "w:", tarfile.PAX_FORMAT).read_bytes()]
    sources += [zip_of(tmp_path / "t", small).read_bytes()]
    refused = 0
    for turn in range(600):
        data = bytearray(sources[turn % len(sources)])
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(min(len(data), 4096))] = rng.randrange(256)
        if turn % 3 == 0:
            del data[rng.randrange(len(data)) :]
        (tmp_path / "t").write_bytes(data)
        try:
            unpacked(tmp_path / "t", tmp_path / f"out{turn}", Limits(size=1 << 20))
        except UserError as error:
            refused += "\n" not in str(error)
            assert not (tmp_path / f"out{turn}").exists()
    assert refused > 300


@pytest.mark.parametrize(
    "record", [b"9999999999 path=x\n", b"0 path=x\n", b"-1 path=x\n", b"15 size=-99999\n\n", b"=" * 99]
)
def test_a_damaged_pax_header(tmp_path: Path, record: bytes) -> None:
    info = member("header", tarfile.XHDTYPE)
    info.size = len(record)
    body = info.tobuf(tarfile.GNU_FORMAT) + record.ljust(512, b"\0") + member("a").tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a").write_bytes(body + bytes(1024))
    with contextlib.suppress(UserError):
        assert set(unpacked(tmp_path / "a", tmp_path / "out")) <= {"a", "x"}
    assert set(os.listdir(tmp_path)) <= {"a", "out"}


def test_a_zip_may_have_folders_as_members(tmp_path: Path) -> None:
    folder = zipfile.ZipInfo("lfw/Ann/")
    folder.create_system, folder.external_attr = 3, 0o40755 << 16  # as zip -r writes them on Unix
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(folder, b"")
        packed.writestr("lfw/Ann/1.jpg", b"1")
    (tmp_path / "out").mkdir()  # there, but empty
    assert unpacked(tmp_path / "a.zip", tmp_path / "out") == {"Ann/1.jpg": b"1"}


def test_zeros_behind_a_tar_are_not_read_without_end(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "a", [(member("lfw/a.jpg"), b"a"), (member("lfw/b.jpg"), b"b")], "w").read_bytes()
    (tmp_path / "a").write_bytes(gzip.compress(whole + bytes(1 << 20)))
    with pytest.raises(UserError, match="unpacks to more than is allowed"):
        unpacked(tmp_path / "a", tmp_path / "out", Limits(members=9, size=1 << 16))
    assert set(unpacked(tmp_path / "a", tmp_path / "out", Limits(members=9, size=1 << 21))) == {"a.jpg", "b.jpg"}
