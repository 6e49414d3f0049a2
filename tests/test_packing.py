"""pack.py as a user runs it: the same rows, bytes and people come out; killed, damaged, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pack
from utils import packing
from utils.alignment import Alignment
from utils.annotations import Annotations, PeopleFolder, people_path, read_annotations, split_people, write_annotations
from utils.cleaning import write_cleaned
from utils.cropping import recorded_alignment
from utils.images import ImageError, read_bytes, read_image
from utils.inspection import inspect
from utils.labelled import crops_of, read_labelled
from utils.packing import Photos, plan_shards
from utils.photo_files import PACKED, member_of
from utils.samplers import TripleSampler
from utils.settings import UserError, run_script
from utils.unlabelled import with_unlabelled

ROOT = Path(__file__).parents[1]
EMPTY = 8  # row of ann/3.png
LONG = "ä" * 60 + ".png"  # 124 bytes: more than a tar's header holds


@pytest.fixture(autouse=True)
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """people/<5 people>/<6 photos>, cls_train.txt; the working folder. Shards of three photos to come."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pack, "MEGABYTE", 7000)
    names = ("ann", "bob ;b", os.fsdecode(b"c\xffd"), "Zoë", LONG.removesuffix(".png"))
    for person, name in enumerate(names):
        Path("people", name).mkdir(parents=True)
        for photo in range(6):
            pixels = np.random.default_rng((person, photo)).integers(0, 255, (24, 20 + photo, 3), np.uint8)
            Image.fromarray(pixels).save(Path("people", name, f"{photo}.png" if photo else LONG))
    Path("people/ann/3.png").write_bytes(b"")
    Path("people/alignment.json").write_text('{"alignment": "landmarks-80-4", "photos": 30}')
    write_annotations("cls_train.txt", "people", PeopleFolder("people"))


def run(*argv: str) -> int:
    try:
        run_script(pack.main, pack.Settings, [*argv, "--shard_mb", "1"])
    except SystemExit as done:
        return int(str(done.code))
    return 0


def contents(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def every_photo(annotations: Annotations) -> list[bytes]:
    return [read_bytes(annotations.path(row)) for row in range(len(annotations))]


def test_the_same_rows_bytes_and_people_come_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cls_train.txt", "out") == 0
    printed = capsys.readouterr().out.splitlines()
    loose, packed = read_annotations("cls_train.txt"), read_annotations("out/cls_train.txt")
    shards = sorted(Path("out").glob("shard-*.tar"))
    assert len(shards) > 5
    assert max(shard.stat().st_size for shard in shards) <= 7000
    size = sum(shard.stat().st_size for shard in shards) / 1e9
    assert printed == [
        f"30 photos of 5 people: {size:.2f} GB in {len(shards)} shards",
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
    assert not [name for name in os.listdir("out") if name.startswith(".")]


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
    for damaged in ("[]", "{"):
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


def test_audit_calibration_and_cleaning_take_packed_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("cls_train.txt", "out")
    loose, packed = read_annotations("cls_train.txt"), read_annotations("out/cls_train.txt")
    facts = [inspect([a.path(row) for row in range(30)], tmp_path / "facts.npz") for a in (loose, packed)]
    assert (facts[0][0] == facts[1][0]).all()
    assert list(facts[0][1]) == list(facts[1][1]) == [EMPTY]
    monkeypatch.setitem(inspect.__globals__, "read_image", lambda path: pytest.fail(f"{path} is read again"))
    monkeypatch.setitem(inspect.__globals__, "_facts", lambda path: "not remembered")
    again, errors = inspect([packed.path(row) for row in range(30)], tmp_path / "facts.npz")
    assert (again == facts[1][0]).all()
    assert list(errors) == [EMPTY]
    labelled = read_labelled("out/cls_train.txt")
    assert crops_of(labelled, "") == Alignment("landmarks", 80, 4)
    for clean in ("out/clean.txt", "clean.txt"):
        labels = np.where(np.arange(30) == EMPTY, -1, packed.labels)
        write_cleaned(clean, packed, labels)
        assert every_photo(read_annotations(clean)) == [p for row, p in enumerate(every_photo(loose)) if row != EMPTY]


def test_packed_photos_can_be_packed_again() -> None:
    run("cls_train.txt", "out")
    packed = read_annotations("out/cls_train.txt")
    write_cleaned("clean.txt", packed, np.where(packed.labels == 1, -1, packed.labels).astype(np.int64))
    assert run("clean.txt", "out2") == 0
    again = read_annotations("out2/clean.txt")
    assert every_photo(again) == [p for p, label in zip(every_photo(packed), packed.labels, strict=True) if label != 1]
    assert again.path(0).endswith("/Zoë/1.png")
    assert again.path(0).count(".tar:") == 1
    assert json.loads(Path("out2/alignment.json").read_text())["photos"] == 30


def test_unlabelled_photos_cannot_be_told_from_packed_people() -> None:
    run("cls_train.txt", "out")
    packed = read_annotations("out/cls_train.txt")
    with pytest.raises(UserError, match=r"--unlabelled leaves out .*give the annotation file that was packed"):
        with_unlabelled(packed, "people", split_people(packed, 2, 0)[1])


def test_members_are_named_from_the_folder_that_all_have_in_common(tmp_path: Path) -> None:
    lines = ["0;a b/x/1.jpg", "0;a/1.jpg", "1;a/x/2.jpg", f"1;{tmp_path}/a-b/../c/3.jpg"]
    Path("a.txt").write_text("\n".join(lines))
    photos = Photos(read_annotations("a.txt"))
    assert [photos.name(row) for row in photos.rows] == ["a b/x/1.jpg", "a/1.jpg", "a/x/2.jpg", "c/3.jpg"]
    Path("a.txt").write_text("0;people/ann/1.png\n1;people/ann/2.png\n")
    photos = Photos(read_annotations("a.txt"))
    assert [photos.name(row) for row in photos.rows] == ["1.png", "2.png"]


def test_a_plan_fills_shards_and_never_cuts_a_photo() -> None:
    photos = Photos(read_annotations("cls_train.txt"))
    sizes = np.array([100, 512, 0, 9000, 513, *[1000] * 25])
    plan = plan_shards(photos, sizes, 4096)
    long = [512 + 512 + 512 if len(os.fsencode(photos.name(row))) > 100 else 512 for row in photos.rows]
    at, shard = 0, 0
    for row in photos.rows:
        if row == plan.starts[shard + 1]:
            assert at + long[row] + sizes[row] + -sizes[row] % 512 + 1024 > 4096  # it would not have fitted
            at, shard = 0, shard + 1
        assert plan.offsets[row] == at + long[row]
        at += long[row] + sizes[row] + -sizes[row] % 512
        assert at + 1024 <= plan.lengths[shard]
        assert plan.lengths[shard] <= 4096 or len(plan.rows(shard)) == 1
    assert shard == len(plan.lengths) - 1


def test_a_hundred_thousand_lines_take_no_text_each(tmp_path: Path) -> None:
    lines = (
        f"{k // 50};shard-{k // 9000:05d}.tar:{512 + k * 5632}:4301/{k // 50:07d}/{k:08d}.jpg" for k in range(100_000)
    )
    Path("large.txt").write_text("\n".join(lines))
    tracemalloc.start()
    try:
        annotations = read_annotations("large.txt")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(annotations) == 100_000
    size = Path("large.txt").stat().st_size
    assert kept < size + 40 * 100_000  # a text each would take 110 bytes
    assert peak < size + 150 * 100_000
