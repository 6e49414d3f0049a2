"""unpack.py as a user runs it: record files, .bin files, archives; again, and where it was stopped."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import unpack
from tests.test_record_files import casia, some_images
from utils.alignment import Alignment
from utils.annotations import read_annotations, write_annotations
from utils.cropping import recorded_alignment
from utils.pairs import read_pairs
from utils.people_folder import PeopleFolder
from utils.settings import run_script
from utils.unpacking import MARK


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*argv: str) -> int:
    try:
        run_script(unpack.main, unpack.Settings, argv)
    except SystemExit as done:
        return int(str(done.code))
    return 0


def files_in(folder: str) -> dict[str, bytes]:
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.name != MARK]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def expected(images: list[tuple[int, bytes]]) -> dict[str, bytes]:
    return {f"{label:07d}/{number:08d}.jpg": image for number, (label, image) in enumerate(images, start=1)}


def test_a_record_file_becomes_folders_that_can_be_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    images = some_images(50)
    casia(Path("train.rec"), images)
    assert run("train.rec", "datasets/casia") == 0
    assert files_in("datasets/casia") == expected(images)
    assert capsys.readouterr().out.splitlines() == [
        "50 images of 13 people in datasets/casia",
        "next: python txt_annotation.py --datasets_path datasets/casia",
    ]
    write_annotations("cls_train.txt", "datasets/casia", PeopleFolder("datasets/casia"))
    annotations = read_annotations("cls_train.txt")
    assert annotations.labels.tolist() == [label for label, _ in images]  # sorted as numbers, though they are texts


def test_a_second_run_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    casia(Path("train.rec"), some_images(20))
    assert run("train.rec", "out") == 0
    first = next(Path("out").rglob("*.jpg"))
    first.write_bytes(b"mine")
    before = os.stat(first.parent).st_mtime_ns
    for argv in (("train.rec", "out"), ("train.rec", "out", "--limit", "3")):
        assert run(*argv) == 0
        assert "20 images of 5 people in out, there already: nothing to do" in capsys.readouterr().out
    assert (first.read_bytes(), os.stat(first.parent).st_mtime_ns) == (b"mine", before)


def test_it_goes_on_where_it_was_stopped() -> None:
    images = some_images(20)
    casia(Path("train.rec"), images)
    assert run("train.rec", "out", "--limit", "9") == 0
    assert files_in("out") == expected(images[:9])
    written = sorted(Path("out").rglob("*.jpg"))
    written[3].write_bytes(images[3][1][:2])  # what a kill in the middle of a file leaves
    before = {path: path.stat().st_mtime_ns for path in written if path != written[3]}
    assert run("train.rec", "out") == 0
    assert files_in("out") == expected(images)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_cut_file_keeps_what_came_before(capsys: pytest.CaptureFixture[str]) -> None:
    images = some_images(20)
    whole = casia(Path("train.rec"), images).read_bytes()
    Path("train.rec").write_bytes(whole[: len(whole) // 2])
    assert run("train.rec", "out") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    there = files_in("out")
    assert "train.rec is damaged or no record file, at byte" in error
    assert error.endswith(f"; {len(there)} images before that are in out")
    assert there.items() < expected(images).items()
    assert run("train.rec", "out") == 2  # it does not pass for done
    casia(Path("train.rec"), images[:7])
    with Path("train.idx").open("a") as index:
        index.write("99\t123456\n")
    assert run("train.rec", "cut") == 2
    assert "has 10 records, train.idx names 11: one of the two is not whole; 7 images" in capsys.readouterr().err


def test_images_of_no_known_kind_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    casia(Path("train.rec"), [(0, b"\xff\xd8\xffa"), (0, b"other"), (1, b"\xff\xd8\xffb")])
    assert run("train.rec", "out") == 0
    assert "left out: 1 records whose image is of no known kind" in capsys.readouterr().out
    casia(Path("other.rec"), [(0, b"other")])
    assert run("other.rec", "none") == 2
    assert "other.rec holds no image in 3 records" in capsys.readouterr().err


def test_a_bin_becomes_images_and_pairs_that_read_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    pool = [b"\xff\xd8\xff" + bytes([k]) for k in range(30)] + [b"\x89PNG" + bytes([k]) for k in range(30)]
    same = [k % 2 == 0 for k in range(40)]
    images = [pool[k] for _ in same for k in rng.choice(60, 2, replace=False)]
    Path("lfw.bin").write_bytes(pickle.dumps((images, same), 2))
    assert run("lfw.bin", "out") == 0
    assert "next: python eval_lfw.py --lfw_dir out --lfw_pairs out/pairs.txt" in capsys.readouterr().out
    first, second = read_pairs("lfw.bin", ""), read_pairs("out/pairs.txt", "out")
    assert [first.images[k].data for k in first.first] == [Path(second.images[k]).read_bytes() for k in second.first]
    assert [first.images[k].data for k in first.second] == [Path(second.images[k]).read_bytes() for k in second.second]
    assert first.same.tolist() == second.same.tolist() == same
    assert first.fold.tolist() == second.fold.tolist()
    assert all((b"PNG" in path.read_bytes()) == (path.suffix == ".png") for path in Path("out").glob("0*"))
    assert run("lfw.bin", "out") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_pairs_of_an_image_with_itself_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    images = [b"\xff\xd8\xff" + bytes([k]) for k in (1, 1, 2, 3)]
    Path("lfw.bin").write_bytes(pickle.dumps((images, [True, False])))
    assert run("lfw.bin", "out") == 0
    assert "left out: 1 pairs of an image with itself" in capsys.readouterr().out
    assert Path("out/pairs.txt").read_text() == "000001.jpg 000002.jpg 0\n"


def test_a_hostile_bin_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("lfw.bin").write_bytes(b"cos\nsystem\n(S'touch was_run'\ntR.")
    assert run("lfw.bin", "out") == 2
    assert "lfw.bin is refused, nothing in it was run: it asks for 'os.system'" in capsys.readouterr().err
    assert os.listdir() == ["lfw.bin"]


def test_an_archive(capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile("people.zip", "w") as packed:
        for name in ("people/Ann/1.jpg", "people/Bo/1.jpg", "people/Bo/notes.txt", "__MACOSX/people/Bo/._1.jpg"):
            packed.writestr(name, b"\xff\xd8\xff")
    assert run("people.zip", "out") == 0
    assert "2 images of 2 people in out" in capsys.readouterr().out
    assert set(files_in("out")) == {"Ann/1.jpg", "Bo/1.jpg", "Bo/notes.txt"}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ((), "unpack.py takes a file and a folder"),
        (("train.rec",), "unpack.py takes a file and a folder"),
        (("train.rec", "out", "--limit", "-1"), "--limit from 0 on"),
        (("nothing.rec", "out"), "nothing.rec is not a file"),
        (("train.idx", "out"), "train.idx is of no kind that is unpacked: .rec, .bin, .tar,"),
        (("train.rec", "mine"), "mine is there and was not unpacked from train.rec; another folder is expected"),
        (
            ("people.zip", "out", "--limit", "9"),
            r"--limit 9 is of record files (.rec); received people.zip, of which all",
        ),
        (("train.rec", "train.idx"), "train.idx is there and was not unpacked"),
    ],
)
def test_wrong_words_change_nothing(argv: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    casia(Path("train.rec"), some_images(4))
    with zipfile.ZipFile("people.zip", "w") as packed:
        packed.writestr("Ann/1.jpg", b"\xff\xd8\xff")
    Path("mine").mkdir()
    Path("mine/photo.jpg").touch()
    before = sorted(os.listdir())
    assert run(*argv) == 2
    assert expected in capsys.readouterr().err
    assert sorted(os.listdir()) == before
    assert os.listdir("mine") == ["photo.jpg"]


def test_records_how_the_images_were_cropped(capsys: pytest.CaptureFixture[str]) -> None:
    casia(Path("train.rec"), some_images(4))
    assert run("train.rec", "people", "--alignment", "landmarks-112-0") == 0
    assert recorded_alignment("people/0") == Alignment("landmarks", 112, 0)
    assert run("train.rec", "others", "--alignment", "arcface") == 2
    assert "'arcface' is no alignment" in capsys.readouterr().err
    assert not Path("others").exists()


def test_another_file_is_not_taken_for_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    casia(Path("train.rec"), some_images(8))
    assert run("train.rec", "out") == 0
    Path("other.rec").write_bytes(Path("train.rec").read_bytes())
    casia(Path("train.rec"), some_images(9))
    for name in ("train.rec", "other.rec"):
        assert run(name, "out") == 2
        assert f"out is there and was not unpacked from {name}" in capsys.readouterr().err


def test_a_run_that_broke_off_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    images = some_images(8)
    casia(Path("train.rec"), images)
    index = Path("train.idx").read_text()
    Path("train.idx").write_text(index + "99\t123456\n")
    assert run("train.rec", "out") == 2
    first = Path("out/0000000/00000001.jpg")
    first.write_bytes(first.read_bytes() + b"more")  # of another length than it should have
    Path("train.idx").write_text(index)
    assert run("train.rec", "out") == 0
    assert files_in("out") == expected(images)
    for again, words in (("5", "nothing to do"), ("0", "nothing to do")):
        assert run("train.rec", "out", "--limit", again) == 0
        assert words in capsys.readouterr().out


def test_a_limit_that_was_reached_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    casia(Path("train.rec"), some_images(8))
    for words in ("5 images of 2 people in out\n", "nothing to do"):
        assert run("train.rec", "out", "--limit", "5") == 0
        assert words in capsys.readouterr().out


def test_an_archive_without_images_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile("notes.zip", "w") as packed:
        packed.writestr("people/Ann/notes.txt", b"x")
    assert run("notes.zip", "out") == 2
    assert "notes.zip holds no image" in capsys.readouterr().err
    assert os.listdir() == ["notes.zip"]
