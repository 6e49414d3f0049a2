"""pack.py as a user runs it: the same rows, bytes and people come out; killed, damaged, refused."""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import pack
from tests.packed_people import SHARD, every_photo, run, write_people
from utils import packing
from utils.alignment import Alignment
from utils.annotations import people_path, read_annotations, split_people, write_annotations
from utils.cropping import recorded_alignment
from utils.images import ImageError, read_bytes, read_image
from utils.packed_from import FROM
from utils.people_folder import PeopleFolder
from utils.photo_files import PACKED, member_of
from utils.samplers import TripleSampler
from utils.settings import UserError, run_script

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pack, "MEGABYTE", SHARD)
    write_people()


def contents(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name != FROM}


def test_the_same_rows_bytes_and_people_come_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cls_train.txt", "out") == 0
    printed = capsys.readouterr().out.splitlines()
    loose, packed = read_annotations("cls_train.txt"), read_annotations("out/cls_train.txt")
    shards = sorted(Path("out").glob("shard-*.tar"))
    assert len(shards) > 5
    assert max(shard.stat().st_size for shard in shards) <= 7000
    size = sum(shard.stat().st_size for shard in shards) / 1e6
    assert printed == [
        f"30 photos of 5 people: {size:.1f} MB in {len(shards)} shards",
        "next: python train.py --annotation_path out/cls_train.txt",
    ]
    assert (packed.labels == loose.labels).all()
    assert packed.people == loose.people
    assert every_photo(packed) == every_photo(loose)
    members = [member_of(packed.path(row)) for row in range(30)]
    assert [member.name for member in members if member] == [
        os.path.relpath(loose.path(row), "people") for row in range(30)
    ]
    assert recorded_alignment(os.path.dirname(packed.path(0))) == Alignment("landmarks", 80, 4)
    assert [name for name in os.listdir("out") if name.startswith(".")] == [FROM]


def test_the_same_batches_come_out_for_a_seed_and_a_step() -> None:
    run("cls_train.txt", "out")
    samplers = [
        TripleSampler(split_people(read_annotations(path), 2, 3)[0], 6, 1)
        for path in ("cls_train.txt", "out/cls_train.txt")
    ]
    for step in range(5):
        batches = [[read_bytes(s.annotations.path(row)) for row in s.rows(step).tolist()] for s in samplers]
        assert batches[0] == batches[1]


def test_any_program_unpacks_the_shards() -> None:
    run("cls_train.txt", "out")
    for shard in sorted(Path("out").glob("shard-*.tar")):
        with tarfile.open(shard, encoding="utf-8", errors="surrogateescape") as tar:
            tar.extractall("again", filter="data")
    write_annotations("again.txt", "again", PeopleFolder("again"))
    assert every_photo(read_annotations("again.txt")) == every_photo(read_annotations("cls_train.txt"))


def test_tar_itself_reads_them() -> None:
    if not shutil.which("tar"):
        pytest.skip("no tar here")
    run("cls_train.txt", "out")
    listed = subprocess.run(["tar", "tf", "out/shard-00000.tar"], check=True, capture_output=True)
    assert listed.stdout.decode().splitlines() == ["Zoë/1.png", "Zoë/2.png"]
    assert listed.stderr == b""


def test_a_second_run_does_nothing_and_a_second_folder_is_equal(capsys: pytest.CaptureFixture[str]) -> None:
    run("cls_train.txt", "out")
    first, when = contents("out"), Path("out/cls_train.txt").stat().st_mtime_ns
    capsys.readouterr()
    assert run("cls_train.txt", "out") == 0
    number = len(list(Path("out").glob("shard-*.tar")))
    assert f"in {number} shards ({number} there already)" in capsys.readouterr().out
    assert Path("out/cls_train.txt").stat().st_mtime_ns == when
    for path in Path("people").rglob("*.png"):
        os.utime(path, (5, 5))
    assert run("cls_train.txt", "out2") == 0
    assert contents("out2") == first


def test_photos_that_were_cut_anew_are_packed_anew_and_those_that_are_gone_stay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """align.py --again writes other pixels under the same names: the annotation file is the same to the byte."""
    run("cls_train.txt", "out")
    first = contents("out")
    photo = next(iter(sorted(Path("people").rglob("*.png"))))
    photo.write_bytes(photo.read_bytes()[::-1])  # as many bytes
    late = Path("out", PACKED).stat().st_mtime_ns + 10**9
    os.utime(photo, ns=(late, late))
    capsys.readouterr()
    run("cls_train.txt", "out")
    number = len(list(Path("out").glob("shard-*.tar")))
    assert f"({number - 1} there already)" in capsys.readouterr().out
    assert contents("out") != first
    shutil.rmtree("people")
    run("cls_train.txt", "out")
    assert f"({number} there already)" in capsys.readouterr().out


def test_a_photo_from_a_backup_is_packed_and_a_date_to_come_packs_nothing_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo = next(iter(sorted(Path("people").rglob("*.png"))))
    os.utime(photo, (4_000_000_000, 4_000_000_000))
    for _ in range(2):
        capsys.readouterr()
        run("cls_train.txt", "out")
    number = len(list(Path("out").glob("shard-*.tar")))
    assert f"({number} there already)" in capsys.readouterr().out
    photo.write_bytes(photo.read_bytes()[::-1])
    os.utime(photo, (5, 5))
    run("cls_train.txt", "out")
    assert f"({number - 1} there already)" in capsys.readouterr().out
    assert every_photo(read_annotations("out/cls_train.txt")) == every_photo(read_annotations("cls_train.txt"))


def test_shards_of_a_longer_plan_go_and_what_lies_beside_them_comes_back() -> None:
    run("cls_train.txt", "out")
    before = {path.name for path in Path("out").glob("shard-*.tar")}
    for photo in Path("people").rglob("*.png"):
        photo.write_bytes(photo.read_bytes()[:100])
    Path("out/cls_train.people.txt").unlink()
    run("cls_train.txt", "out")
    after = {path.name for path in Path("out").glob("shard-*.tar")}
    assert after < before
    assert every_photo(read_annotations("out/cls_train.txt")) == every_photo(read_annotations("cls_train.txt"))
    Path("out/cls_train.people.txt").unlink()
    run("cls_train.txt", "out")
    assert Path("out/cls_train.people.txt").read_bytes() == Path("cls_train.people.txt").read_bytes()


KILLED = """
import os, signal, sys
from utils import packing
from utils.annotations import read_annotations
from pathlib import Path

read, count = packing.read_bytes, 0

def dies_at_the_twentieth(path):
    global count
    count += 1
    if count == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(path)

packing.read_bytes, packing.THREADS, packing.AHEAD = dies_at_the_twentieth, 1, 1
source = Path("cls_train.txt")
packing.pack(read_annotations(source), source, Path("out"), 7000)
"""


def test_a_killed_run_leaves_whole_shards_and_the_next_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    run("cls_train.txt", "reference")
    expected = contents("reference")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    left = contents("out")
    whole = {name for name in left if name.startswith("shard-")}
    assert 3 <= len(whole) < len([name for name in expected if name.startswith("shard-")])
    assert all(left[name] == expected[name] for name in whole)
    assert "cls_train.txt" not in left
    assert any(name.startswith(".shard-") for name in left)
    inodes = {name: Path("out", name).stat().st_ino for name in whole}
    capsys.readouterr()
    assert run("cls_train.txt", "out") == 0
    assert f"({len(whole)} there already)" in capsys.readouterr().out
    assert contents("out") == expected
    assert inodes == {name: Path("out", name).stat().st_ino for name in whole}


def test_a_photo_that_changed_since_a_stopped_run_is_packed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(packing, "_write_lists", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run("cls_train.txt", "out") == 130
    changed = Path("people/ann/1.png")
    changed.write_bytes(changed.read_bytes()[:-1])  # as many blocks as before
    assert run("cls_train.txt", "out") == 0
    assert every_photo(read_annotations("out/cls_train.txt")) == every_photo(read_annotations("cls_train.txt"))


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert run(*argv) == 2
    message = capsys.readouterr().err.splitlines()[-1]  # behind the bar
    assert message.startswith("error: ")
    return message


def test_what_cannot_work_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "takes an annotation file and a folder" in refused(capsys, "cls_train.txt")
    assert "cannot read none.txt" in refused(capsys, "none.txt", "out")
    assert "cls_train.txt is a file; a folder" in refused(capsys, "cls_train.txt", "cls_train.txt")
    assert "people holds something else than shards" in refused(capsys, "cls_train.txt", "people")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 5, 4))
        assert "the shards take 0.0 GB, and" in refused(capsys, "cls_train.txt", "out")
    Path("people/ann/1.png").unlink()
    Path("people/ann/2.png").unlink()
    message = refused(capsys, "cls_train.txt", "out")
    assert "2 of 30 photos cannot be read: " in message
    assert "people/ann/1.png: no such file; nothing was packed" in message
    assert not Path("out").exists()
    with pytest.raises(SystemExit):
        run_script(pack.main, pack.Settings, ["cls_train.txt", "out", "--shard_mb", "0"])
    assert "--shard_mb is 1 or more; received 0" in capsys.readouterr().err


def test_a_folder_of_other_lines_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run("cls_train.txt", "out")
    before = contents("out")
    Path("cls_train.txt").write_text("0;people/ann/1.png\n1;people/Zoë/1.png\n")
    Path(people_path("cls_train.txt")).unlink()
    assert "out holds shards of other lines, or of another --shard_mb" in refused(capsys, "cls_train.txt", "out")
    assert contents("out") == before


def test_a_photo_that_goes_or_grows_while_packing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = packing.plan_shards

    def and_then(action: str) -> None:
        def planned(*arguments: object) -> object:
            path = Path("people/Zoë/5.png")
            path.unlink() if action == "goes" else path.write_bytes(path.read_bytes() + b"more")
            return plan(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(packing, "plan_shards", planned)

    and_then("grows")
    message = refused(capsys, "cls_train.txt", "out")
    assert "Zoë/5.png had " in message
    assert "shards are whole, the next run goes on" in message
    and_then("goes")
    assert "Zoë/5.png: no such file; " in refused(capsys, "cls_train.txt", "out")
    assert "cls_train.txt" not in contents("out")


def test_a_damaged_folder_is_said_and_packed_again(capsys: pytest.CaptureFixture[str]) -> None:
    run("cls_train.txt", "out")
    expected, shard = contents("out"), Path("out/shard-00002.tar")
    shard.write_bytes(shard.read_bytes()[:-700])
    with pytest.raises(UserError, match=r"shard-00002\.tar: [0-9,]+ bytes, [0-9,]+ bytes were packed; copy it again"):
        read_annotations("out/cls_train.txt")
    shard.unlink()
    with pytest.raises(UserError, match=r"shard-00002\.tar: no file, "):
        read_annotations("out/cls_train.txt")
    assert run("cls_train.txt", "out") == 0
    assert contents("out") == expected
    for damaged in ("[]", "{", '{"shards": ["7000"]}'):
        Path("out", PACKED).write_text(damaged)
        with pytest.raises(UserError, match=PACKED):
            read_annotations("out/cls_train.txt")


def test_a_shard_of_another_packing_is_never_read_for_this_one() -> None:
    run("cls_train.txt", "out")
    packed = read_annotations("out/cls_train.txt")
    one, other = Path("out/shard-00001.tar"), Path("out/shard-00002.tar")
    other.write_bytes(one.read_bytes().ljust(other.stat().st_size, b"\0"))  # of the length that is expected
    inside = [packed.path(row) for row in range(30) if "shard-00002" in packed.path(row)]
    for path in inside:
        with pytest.raises(ImageError, match=r"is not at this place|is cut off"):
            read_image(path)
