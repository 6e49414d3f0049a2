"""Folders of people -> annotation file -> arrays, and back to the same paths, whatever people are called."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import txt_annotation
from utils.annotations import people_path, read_annotations, split_people, write_annotations
from utils.people_folder import PeopleFolder
from utils.settings import UserError
from utils.text_rows import TextRows, read_lines

STRANGE = [
    "a b",
    "semi;colon",
    "'quote\" 1",
    "张 伟",
    "日本",
    "tab\tname",
    "comma, Jr.",
    "return\r",
    os.fsdecode(b"\xff\xfe"),
]


def fill(folder: Path, people: dict[str, list[str]]) -> Path:
    for person, photos in people.items():
        (folder / person).mkdir(parents=True)
        for photo in photos:
            (folder / person / photo).touch()
    return folder


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def paths(file: Path) -> list[list[str]]:
    found = read_annotations(file)
    return [
        [found.path(row) for row in range(found.starts[p], found.starts[p + 1])] for p in range(found.number_of_people)
    ]


def test_strange_names_survive_the_round_trip(tmp_path: Path) -> None:
    folder = fill(tmp_path / "my ; people", {name: [f"{name}.jpg", "2;3.JPG"] for name in STRANGE})
    counts = write_annotations(tmp_path / "a.txt", folder, PeopleFolder(folder))
    found = read_annotations(tmp_path / "a.txt")
    assert found.people == sorted(STRANGE)
    assert counts.tolist() == [2] * len(STRANGE)
    for person, files in zip(sorted(STRANGE), paths(tmp_path / "a.txt"), strict=True):
        assert files == sorted(str(folder / person / photo) for photo in (f"{person}.jpg", "2;3.JPG"))
        assert all(Path(file).exists() for file in files)


def test_scan_leaves_out_what_is_no_photo_and_says_so(tmp_path: Path) -> None:
    photos = {
        "b": ["2.PNG", "1.jpg", "notes.txt", ".hidden.jpg", "jpg"],
        "a": ["x.webp"],
        "empty": [],
        ".git": ["1.jpg"],
    }
    folder = fill(tmp_path / "people", photos | {"only text": ["1.txt"], "new\nline": ["1.jpg"]})
    (folder / "README.md").touch()
    (folder / "stray.jpg").touch()
    (folder / "b" / "deeper.jpg").mkdir()
    (folder / "a" / "broken.jpg").symlink_to("nowhere")
    (folder / "a" / "loop.jpg").symlink_to("loop.jpg")
    (folder / "a" / "two\nlines.jpg").touch()
    scan = PeopleFolder(folder)
    assert list(scan) == [("a", ["x.webp"]), ("b", ["1.jpg", "2.PNG"])]
    counts = {reason: count for reason, (count, _) in scan.skipped.items()}
    loop = next(reason for reason in counts if "symbolic" in reason)  # the operating system's words
    assert counts == {
        "hidden files and folders": 2,
        "names with a newline": 2,
        "files outside a person's folder": 2,
        "folders inside a person's folder": 1,
        "files that are no images (by suffix)": 3,
        "broken links and special files": 1,
        "folders without a photo": 2,
        loop: 1,
    }
    assert scan.skipped["broken links and special files"][1] == os.path.join("a", "broken.jpg")


def test_groups_have_folders_that_are_nobodys(tmp_path: Path) -> None:
    fill(tmp_path, {"person_0001": ["1.jpg"], "alone": ["2.jpg"], "no_face": ["3.jpg"]})
    assert [name for name, _ in PeopleFolder(tmp_path)] == ["alone", "no_face", "person_0001"]  # somebody's own names
    (tmp_path / "groups.npz").touch()
    scan = PeopleFolder(tmp_path)
    assert [name for name, _ in scan] == ["person_0001"]
    assert scan.skipped["folders of faces that group.py put to nobody"][0] == 2


def test_paths_are_relative_inside_and_absolute_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = {"ann": ["1.jpg"], "bob": ["1.jpg"]}
    fill(tmp_path / "project" / "datasets", people)
    fill(tmp_path / "elsewhere", people)
    monkeypatch.chdir(tmp_path / "project")
    for folder, expected in (
        ("datasets", "datasets/ann/1.jpg"),
        ("../elsewhere", str(tmp_path / "elsewhere/ann/1.jpg")),
    ):
        write_annotations("cls_train.txt", folder, PeopleFolder(folder))
        assert Path("cls_train.txt").read_text().splitlines()[0] == f"0;{expected}"
    write_annotations("datasets/inside.txt", "datasets", PeopleFolder("datasets"))
    assert Path("datasets/inside.txt").read_text() == "0;ann/1.jpg\n1;bob/1.jpg\n"
    monkeypatch.chdir(tmp_path)
    assert paths(Path("project/datasets/inside.txt"))[1] == [str(tmp_path / "project/datasets/bob/1.jpg")]


@pytest.mark.parametrize("people", [{}, {"ann": ["1.jpg", "2.jpg"]}])
def test_fewer_than_two_people_write_nothing(tmp_path: Path, people: dict[str, list[str]]) -> None:
    folder = fill(tmp_path / "people", people | {"bob": []})
    before = write(tmp_path / "a.txt", "as it was")
    with pytest.raises(UserError, match="two people or more"):
        write_annotations(tmp_path / "a.txt", folder, PeopleFolder(folder))
    assert before.read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "people"]


def test_labels_in_any_order_with_crlf_and_repeats(tmp_path: Path) -> None:
    lines = ["2;c/1.jpg", "0;a;b/1.jpg", "1;b/1.jpg", "0;a;b/2.jpg", "2;c/1.jpg", "02;c/ 0.jpg", "0;/abs/3.jpg"]
    for end, mark in (("\n", ""), ("\r\n", "\ufeff")):
        file = write(tmp_path / "a.txt", mark + end.join(lines) + 3 * end)
        found = read_annotations(file)
        assert found.labels.dtype == np.int32
        assert found.labels.tolist() == [0, 0, 0, 1, 2, 2]
        assert found.starts.tolist() == [0, 3, 4, 6]
        assert [found.paths[row] for row in range(6)] == [
            "a;b/1.jpg", "a;b/2.jpg", "/abs/3.jpg", "b/1.jpg", "c/1.jpg", "c/ 0.jpg",
        ]  # fmt: skip
        assert found.path(2) == "/abs/3.jpg"
        assert found.path(3) == str(tmp_path / "b/1.jpg")
        assert found.repeated == 1
        assert found.people == ["a;b", "b", "c"]  # without a people file: the folders


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nobody"),
        ("\n\n", "nobody"),
        ("0;a/1.jpg\n0;a/2.jpg\n", "one person"),
        ("0;a\n1;b\nfoo\n", "line 3: 'foo' is not 'label;path'"),
        ("0;a\n\n1;b\n", "line 2: ''"),
        ("0;a\n1;\n", "line 2: '1;'"),
        ("0;a\n1;\r\n", "line 2: '1;'"),
        ("0;a\n;b\n", "line 2: ';b'"),
        ("0;a\n-1;b\n", "line 2: '-1;b'"),
        ("0;a\n1 ;b\n", "line 2: '1 ;b'"),
        ("0;a\n12345678901;b\n", "line 2: '12345678901;b'"),
        ("0;a\n1", "line 2: '1'"),
        ("0;a\n1;b\n3;d\n5;f\n", "no photo has label 2; labels 0 to 5"),
        ("1;a\n2;b\n", "no photo has label 0"),
        ("0;a\n999999999;b\n", "no photo has label 1; labels 0 to 999999999"),
        ("0;a\n1;b\n1;x\n0;x\n0;b\n", "'x' has label 1 on line 3 and label 0 on line 4"),
        ("0;a\n1;b\n1;x\n0;b\n0;x\n", "'b' has label 1 on line 2 and label 0 on line 4"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_annotations(write(tmp_path / "a.txt", text))
    assert message in str(error.value)
    assert str(tmp_path / "a.txt") in str(error.value)
    assert "\n" not in str(error.value)


def test_utf_16_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("0;a\n1;b\n".encode("utf-16"))
    with pytest.raises(UserError, match=r"a\.txt is UTF-16; UTF-8 is expected"):
        read_annotations(tmp_path / "a.txt")


def test_missing_file_and_people_of_another_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*none\.txt"):
        read_annotations(tmp_path / "none.txt")
    with pytest.raises(UserError, match="Is a directory"):
        read_annotations(tmp_path)
    file = write(tmp_path / "a.txt", "0;a\n1;b\n")
    write(Path(people_path(file)), "Ann\nBob\nCid\n")
    with pytest.raises(UserError, match=r"3 names.*2 people"):
        read_annotations(file)
    write(Path(people_path(file)), "Ann\r\nBob\r\n")
    assert read_annotations(file).people == ["Ann", "Bob"]


def test_old_names_never_stand_beside_new_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, replace = tmp_path / "a.txt", os.replace
    write_annotations(file, tmp_path, [("Ann", ["1.jpg"]), ("Bob", ["1.jpg"])])

    def broken_off(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        if os.fspath(target) == people_path(file):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("os.replace", broken_off)
    with pytest.raises(KeyboardInterrupt):
        write_annotations(file, tmp_path, [("Bob", ["1.jpg"]), ("Cid", ["1.jpg"])])
    assert read_annotations(file).people == ["Bob", "Cid"]  # by their folders


def test_select_and_split_keep_people_whole(tmp_path: Path) -> None:
    sizes = [1, 3, 2, 5, 1, 4, 2, 2]
    lines = [f"{label};p{label}/{k}.jpg" for label, size in enumerate(sizes) for k in range(size)]
    annotations = read_annotations(write(tmp_path / "a.txt", "\n".join(lines)))
    chosen = annotations.select(np.array([5, 0, 3]))
    assert chosen.people == ["p5", "p0", "p3"]
    assert chosen.labels.tolist() == [0] * 4 + [1] + [2] * 5
    assert chosen.starts.tolist() == [0, 4, 5, 10]
    assert [chosen.paths[row] for row in (3, 4, 9)] == ["p5/3.jpg", "p0/0.jpg", "p3/4.jpg"]
    with pytest.raises(ValueError, match="twice"):
        annotations.select(np.array([1, 1]))
    for held_out, number in ((0.5, 3), (0.01, 2), (4, 4), (0, 0)):
        rest, held = split_people(annotations, held_out, seed=3)
        assert held.number_of_people == number
        assert sorted(rest.people + held.people) == annotations.people
        assert len(rest) + len(held) == len(annotations)
        assert (np.diff(held.starts) > 1).all()
        assert split_people(annotations, held_out, seed=3)[1].people == held.people
    assert len({tuple(split_people(annotations, 3, seed)[1].people) for seed in range(9)}) > 1
    for held_out in (7, 1, -2, float("nan"), float("inf")):
        with pytest.raises(UserError, match="cannot hold out"):
            split_people(annotations, held_out, seed=0)
    with pytest.raises(UserError, match=r"cannot hold out 0\.5 of 8 people"):  # none of them has two photos any more
        split_people(annotations, 0.5, 0, among={"p0", "p4"})
    assert split_people(annotations, 0, 0, among={"p1", "p3"})[1].number_of_people == 0
    with pytest.raises(UserError, match="of 3 people, 3 with two photos or more: two must be held out, two left"):
        split_people(annotations.select(np.array([1, 2, 3])), 2, seed=0)


def test_repeats_equal_a_set_of_texts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [bytes(rng.integers(97, 99, rng.integers(0, 25)).astype(np.uint8)) for _ in range(3000)]
    texts.append(b"ab")  # no newline follows
    rows = read_lines(write(tmp_path / "a.txt", b"\n".join(texts).decode()))
    before: dict[bytes, int] = {}
    expected = []
    for row, text in enumerate(texts):
        if text in before:
            expected.append((before[text], row))
        before[text] = row
    first, second = rows.repeats()
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == sorted(expected)


def test_equal_hashes_are_not_taken_for_equal_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = read_lines(write(tmp_path / "a.txt", "same length 1\nsame length 2\nshort\nsame length 2\n"))
    monkeypatch.setattr(TextRows, "_hashes", lambda self: np.array((7, 7, 8, 7), np.uint64))
    first, second = rows.repeats()
    assert (first.tolist(), second.tolist()) == ([1], [3])


def test_script_prints_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(
        tmp_path / "people", {"a": ["1.jpg", "2.jpg", "3.jpg"], "b": ["1.jpg"], "c": [], "d": ["1.png", "2.png"]}
    )
    txt_annotation.main(txt_annotation.Settings(str(folder), str(tmp_path / "cls_train.txt")))
    printed = capsys.readouterr().out
    assert "people: 3\n" in printed
    assert "photos: 6\n" in printed
    assert "smallest 1, median 2, largest 3" in printed
    assert "people with one photo: 1 " in printed
    assert "skipped: 1 folders without a photo, for example 'c'" in printed
    assert (tmp_path / "cls_train.people.txt").read_text() == "a\nb\nd\n"


def test_script_writes_over_no_photo(tmp_path: Path) -> None:
    photo = tmp_path / "1.JPG"
    photo.write_bytes(b"a photo")
    with pytest.raises(UserError, match=r"--annotation_path .*1\.JPG is a photo's name"):
        txt_annotation.main(txt_annotation.Settings(str(tmp_path), str(photo)))
    assert photo.read_bytes() == b"a photo"


@pytest.mark.parametrize("damage", [lambda folder: folder.rename(folder.with_name("gone")), lambda folder: None])
def test_script_needs_a_folder_of_people(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    folder = fill(tmp_path / "people", {"a": ["1.jpg"]})
    damage(folder)
    with pytest.raises(UserError) as error:
        txt_annotation.main(txt_annotation.Settings(str(folder), str(tmp_path / "cls_train.txt")))
    assert str(folder) in str(error.value)
    assert not list(tmp_path.glob("*cls_train*"))


def test_a_link_to_a_folder_beside_leads_not_upwards(tmp_path: Path) -> None:
    fill(tmp_path, {"ann": ["1.jpg"], "annals": []})
    for name, target in (("ann", tmp_path / "ann"), ("up", tmp_path)):
        (tmp_path / "annals" / name).symlink_to(target)
    scan = PeopleFolder(tmp_path / "annals")
    assert list(scan) == [("ann", ["1.jpg"])]
    assert scan.skipped == {"links that lead upwards": (1, "up")}
