"""Readers of pairs: folds, separators, suffixes, bad lines, missing images; random pairs without repeats."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from utils import list_pairs
from utils.pairs import folder_pairs, random_pairs, read_pairs
from utils.settings import UserError

LFW_PAIRS = Path(__file__).parent.parent / "model_data" / "lfw_pairs.txt"
SUFFIXES = (".jpg", ".png", ".webp", ".JPEG")


@pytest.fixture
def lfw(tmp_path):
    """A folder `lfw` with six people of four (empty) images, and pairs.txt: 2 folds of 2 same + 2 different."""
    folder = tmp_path / "lfw"
    people = ["Ann_Lee", "Bo", "Cy_St._John", "Di", "Ed", "Fe"]
    for number, person in enumerate(people):
        (folder / person).mkdir(parents=True)
        for image in range(1, 5):
            (folder / person / f"{person}_{image:04d}{SUFFIXES[number % 4]}").touch()
    lines = ["2\t2"]
    for a, b, c in (people[:3], people[3:]):
        lines += [f"{a}\t1\t2", f"{b}\t3\t4", f"{a}\t1\t{b}\t2", f"{b}\t1\t{c}\t4"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def named(pairs):
    """Returns the pairs as (file name, file name, same, fold)."""
    names = [os.path.basename(path) for path in pairs.images]
    columns = pairs.first, pairs.second, pairs.same, pairs.fold
    return [(names[a], names[b], s, f) for a, b, s, f in zip(*columns, strict=True)]


def test_lfws_own_file_is_found_from_another_folder(lfw, monkeypatch):
    monkeypatch.chdir(lfw)
    with pytest.raises(UserError, match="7,701 of 7,701 images are not in lfw"):
        read_pairs("model_data/lfw_pairs.txt", "lfw")
    (lfw / "model_data").mkdir()
    (lfw / "pairs.txt").rename(lfw / "model_data" / "lfw_pairs.txt")
    assert len(read_pairs("model_data/lfw_pairs.txt", "lfw").same) == 8


def test_lfws_own_file_is_ten_folds_of_300_and_300(tmp_path):
    lines = [line.split("\t") for line in LFW_PAIRS.read_text().splitlines()[1:]]
    for name, image in {(f[0], f[i]) for f in lines if len(f) == 3 for i in (1, 2)} | {
        (f[i], f[i + 1]) for f in lines if len(f) == 4 for i in (0, 2)
    }:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{name}_{int(image):04d}.jpg").touch()
    pairs = read_pairs(LFW_PAIRS, tmp_path)
    assert pairs.remark == ""
    assert pairs.left_out == 0
    assert (len(pairs.same), len(pairs.images), len(np.unique(pairs.people))) == (6000, 7701, 4281)
    for fold in range(10):
        inside = pairs.same[pairs.fold == fold]
        assert inside.sum() == 300
        assert len(inside) == 600


def test_reads_what_the_file_says(lfw):
    pairs = read_pairs(lfw / "pairs.txt", lfw / "lfw")
    assert named(pairs)[:4] == [
        ("Ann_Lee_0001.jpg", "Ann_Lee_0002.jpg", True, 0),
        ("Bo_0003.png", "Bo_0004.png", True, 0),
        ("Ann_Lee_0001.jpg", "Bo_0002.png", False, 0),
        ("Bo_0001.png", "Cy_St._John_0004.webp", False, 0),
    ]
    assert pairs.fold.tolist() == [0] * 4 + [1] * 4
    assert "2 folds of 4 to 4" in pairs.remark
    assert len(pairs.images) == len(set(pairs.images)) == 14  # images that two pairs name stand there once
    people = pairs.people_of_pairs()
    assert ((people[:, 0] == people[:, 1]) == pairs.same).all()


def test_spaces_line_ends_and_a_byte_order_mark_read_the_same(lfw):
    text = (lfw / "pairs.txt").read_text()
    (lfw / "other.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\t", "  ").replace("\n", "\r\n").encode() + b"\r\n")
    assert named(read_pairs(lfw / "other.txt", lfw / "lfw")) == named(read_pairs(lfw / "pairs.txt", lfw / "lfw"))


def test_header_with_the_number_of_folds_alone(lfw):
    lines = (lfw / "pairs.txt").read_text().splitlines()
    (lfw / "pairs.txt").write_text("\n".join(["2", *lines[1:]]))
    assert read_pairs(lfw / "pairs.txt", lfw / "lfw").fold.tolist() == [0] * 4 + [1] * 4
    (lfw / "pairs.txt").write_text("\n".join(["4", *lines[1:]]))  # 4 same + 4 different, as in pairsDevTrain.txt
    assert "without folds" in read_pairs(lfw / "pairs.txt", lfw / "lfw").remark


@pytest.mark.parametrize(("folds", "pairs", "found"), [(10, 25, 10), (10, 12, 10), (3, 8, 3), (0, 8, 0)])
def test_a_number_of_folds_is_that_number(folds, pairs, found):
    fold = list_pairs._declared_folds([folds], pairs)
    assert (0 if fold is None else len(np.unique(fold))) == found
    assert fold is None or np.ptp(np.bincount(fold)) <= 1


def test_names_with_spaces_between_tabs(tmp_path):
    for image in (1, 2):
        (tmp_path / "José da Silva").mkdir(exist_ok=True)
        (tmp_path / "José da Silva" / f"José da Silva_{image:04d}.png").touch()
    (tmp_path / "Bo").mkdir()
    (tmp_path / "Bo" / "Bo_0001.bmp").touch()
    (tmp_path / "pairs.txt").write_text("1\t1\nJosé da Silva\t1\t2\nJosé da Silva\t2\tBo\t1\n", encoding="utf-8")
    assert [row[:3] for row in named(read_pairs(tmp_path / "pairs.txt", tmp_path))] == [
        ("José da Silva_0001.png", "José da Silva_0002.png", True),
        ("José da Silva_0002.png", "Bo_0001.bmp", False),
    ]


def test_list_of_paths_gets_ten_folds_cut_apart_by_kind(tmp_path):
    lines = []
    for i in range(40):
        (tmp_path / f"p{i}").mkdir()
        for name in ("a b.jpg", "c.png"):
            (tmp_path / f"p{i}" / name).touch()
        lines.append(f"p{i}/a b.jpg\tp{i}/c.jpg\t1")  # c is a .png: the same name with another suffix
        lines += [f"p{i}/c.png\t./p{(i + 1) % 40}/a b.jpg\t0"] * (i < 20)
    (tmp_path / "list.txt").write_text("\n".join(lines))
    pairs = read_pairs(tmp_path / "list.txt", tmp_path)
    assert len(pairs.images) == 80
    assert "60 pairs (40 same + 20 different) without folds" in pairs.remark
    assert pairs.fold[pairs.same].tolist() == np.repeat(np.arange(10), 4).tolist()
    assert pairs.fold[~pairs.same].tolist() == np.repeat(np.arange(10), 2).tolist()
    assert len(np.unique(pairs.people)) == 40


def test_people_of_a_flat_folder_are_what_same_pairs_join(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.jpg").touch()
    (tmp_path / "list.txt").write_text("a.jpg b.jpg 1\nc.jpg d.jpg 1\na.jpg c.jpg 0\nb.jpg e.jpg 0\n")
    pairs = read_pairs(tmp_path / "list.txt", tmp_path)
    assert pairs.people.tolist() == [0, 0, 1, 1, 2]
    assert "share a folder" in pairs.remark


def test_one_person_in_several_folders_is_one_person(tmp_path):
    lines = []
    for person in "abc":
        for folder in ("x", "y"):
            (tmp_path / person / folder).mkdir(parents=True)
            (tmp_path / person / folder / "1.jpg").touch()
        lines.append(f"{person}/x/1.jpg {person}/y/1.jpg 1")
    (tmp_path / "list.txt").write_text("\n".join([*lines, "a/x/1.jpg b/x/1.jpg 0", "b/y/1.jpg c/x/1.jpg 0"]))
    pairs = read_pairs(tmp_path / "list.txt", tmp_path)
    assert len(np.unique(pairs.people)) == 3
    assert "one person's photos are in several folders" in pairs.remark


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Bo\t1", "line 4: received 'Bo 1', expected 'name 1 2'"),
        ("Bo\tone\t2", "line 4: received 'Bo one 2'"),
        ("Bo\t1\tEd\t2\t0", "line 4: received 'Bo 1 Ed 2 0'"),
        ("Bo\t2\t2", "line 4: received 'Bo 2 2', expected two images"),
        ("Bo\t1\tBo\t2", "line 4: .* expected two names"),
    ],
)
def test_bad_line_of_pairs_txt(lfw, line, expected):
    lines = (lfw / "pairs.txt").read_text().splitlines()
    (lfw / "pairs.txt").write_text("\n".join([*lines[:2], "", line, *lines[2:]]))  # empty lines count, and are skipped
    with pytest.raises(UserError, match=expected):
        read_pairs(lfw / "pairs.txt", lfw / "lfw")


@pytest.mark.parametrize("line", ["a.jpg b.jpg 2", "a.jpg b.jpg", "my photo.jpg b.jpg 1", "a.jpg a.jpg 1"])
def test_bad_line_of_a_list(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"a.jpg b.jpg 1\n{line}\n")
    with pytest.raises(UserError, match=f"line 2: received '{line}', expected"):
        read_pairs(tmp_path / "list.txt", tmp_path)


def test_missing_images_are_counted_and_named(lfw):
    (lfw / "lfw" / "Bo" / "Bo_0003.png").unlink()
    (lfw / "lfw" / "Ed" / "Ed_0003.jpg").rename(lfw / "lfw" / "Ed" / "Ed_0003.txt")
    with pytest.raises(
        UserError, match=r"^2 of 14 images are not in .*: Bo/Bo_0003, Ed/Ed_0003 \(eval_lfw.py --skip_missing"
    ):
        read_pairs(lfw / "pairs.txt", lfw / "lfw")
    pairs = read_pairs(lfw / "pairs.txt", lfw / "lfw", skip_missing=True)
    assert pairs.left_out == 2
    assert len(pairs.same) == 6
    assert pairs.fold.tolist() == [0, 0, 0, 1, 1, 1]  # the folds stay as the file has them
    assert "6 pairs (2 same + 4 different) in 2 folds of 3 to 3" in pairs.remark


def test_a_list_of_a_first_line_alone_is_said_as_such(lfw):
    pairs = lfw / "none.txt"
    pairs.write_text("10\t300\n")
    with pytest.raises(UserError, match=r"none\.txt has a first line and no pairs behind it"):
        read_pairs(pairs, lfw / "lfw")


def test_missing_files_and_folders(lfw):
    with pytest.raises(UserError, match=r"cannot read the pairs in .*nothing\.txt"):
        read_pairs(lfw / "nothing.txt", lfw / "lfw")
    with pytest.raises(UserError, match="nowhere is not a folder"):
        read_pairs(lfw / "pairs.txt", lfw / "nowhere")
    with pytest.raises(UserError, match=r"no pair of .* is left: 14 of 14 images are not in"):
        read_pairs(lfw / "pairs.txt", lfw, skip_missing=True)
    (lfw / "empty.txt").write_text("\n\n")
    with pytest.raises(UserError, match=r"empty\.txt is empty"):
        read_pairs(lfw / "empty.txt", lfw / "lfw")


@pytest.mark.parametrize(("number", "ratio"), [(300, 0.333), (30, 0.5), (2, 0.01), (99, 0.9)])
def test_random_pairs_are_pairs_as_asked_for_without_repeats(number, ratio):
    labels = np.random.default_rng(0).integers(0, 25, 120)
    first, second, same = random_pairs(labels, number, ratio, seed=3)
    assert len(first) == len(second) == len(same) == number
    assert same.sum() == max(1, round(number * ratio))
    assert (first != second).all()
    assert len({frozenset(pair) for pair in zip(first, second, strict=True)}) == number
    assert ((labels[first] == labels[second]) == same).all()
    again, other = random_pairs(labels, number, ratio, seed=3), random_pairs(labels, number, ratio, seed=4)
    assert (again[0] == first).all()
    assert not (other[0] == first).all()


def test_random_pairs_can_be_all_pairs_there_are():
    labels = np.array([2, 0, 0, 2, 2, 7])
    every = set(combinations(range(6), 2))
    same_pairs = {pair for pair in every if labels[pair[0]] == labels[pair[1]]}
    first, second, _ = random_pairs(labels, len(every), len(same_pairs) / len(every), 0)
    assert {tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)} == every
    with pytest.raises(UserError, match="5 same pairs were asked for; 6 images of 3 people give 4"):
        random_pairs(labels, 15, 5 / 15, 0)
    with pytest.raises(UserError, match="12 different pairs were asked for; 6 images of 3 people give 11"):
        random_pairs(labels, 13, 1 / 13, 0)
    with pytest.raises(UserError, match=r"received 1, 0\.5"):
        random_pairs(labels, 1, 0.5, 0)


def test_random_same_pairs_are_spread_over_people():
    labels = np.repeat(np.arange(51), [500] + [3] * 50)
    first, _, same = random_pairs(labels, 202, 0.5, 0)
    per_person = np.bincount(labels[first[same]], minlength=51)
    assert np.bincount(per_person).tolist() == [0, 1, 50]  # 101 pairs of 51 people: two each, one of one
    first, _, same = random_pairs(labels, 600, 0.5, 0)
    assert np.bincount(labels[first[same]], minlength=51).tolist() == [150] + [3] * 50


def test_random_different_pairs_are_even_over_all_pairs():
    labels = np.array([0, 0, 0, 1, 2])
    found = [random_pairs(labels, 2, 0.5, seed) for seed in range(2000)]
    times: dict[frozenset[int], int] = {}
    for first, second, same in found:
        pair = frozenset((int(first[~same][0]), int(second[~same][0])))
        times[pair] = times.get(pair, 0) + 1
    assert len(times) == 7
    assert max(times.values()) < 1.4 * min(times.values())


def test_pairs_of_a_folder_of_people(lfw):
    (lfw / "lfw" / "Bo" / "notes.txt").touch()
    (lfw / "lfw" / ".hidden").mkdir()
    (lfw / "lfw" / "stray.jpg").touch()
    pairs = folder_pairs(lfw / "lfw", 60, 0.333, 0)
    assert len(pairs.same) == 60
    assert pairs.same.sum() == 20
    assert "without folds" in pairs.remark
    assert all(Path(path).is_file() and path[-4:] != ".txt" for path in pairs.images)
    assert ((pairs.people[pairs.first] == pairs.people[pairs.second]) == pairs.same).all()
    with pytest.raises(UserError, match="24 images of 6 people give 36"):
        folder_pairs(lfw / "lfw", 100, 0.5, 0)
    with pytest.raises(UserError, match="a folder of people is expected"):
        folder_pairs(lfw / "nowhere", 100, 0.5, 0)
