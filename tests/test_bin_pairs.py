"""InsightFace's .bin files read as they are passed around; whatever else is in such a file is refused, and not run."""

import os
import pickle
import random
import resource
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.bin_pairs import is_bin, read_bin
from utils.pair_set import joined
from utils.pairs import read_pairs
from utils.plain_pickle import load
from utils.settings import UserError

IMAGES = [b"\xff\xd8\xff" + bytes([k]) * (300 * (k % 2) + 5) for k in range(40)]  # some short, some of 300 bytes
SAME = [k % 4 < 2 for k in range(20)]


def written(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def python_2(images: list[bytes], same: list[bool]) -> bytes:
    """What cPickle of Python 2 writes with protocol 2: str as U and T, by the description in PEP 307."""
    data = b"\x80\x02]q\x01("
    for k, image in enumerate(images):
        short = len(image) < 256
        data += (b"U" + bytes([len(image)]) if short else b"T" + struct.pack("<I", len(image))) + image
        data += b"r" + struct.pack("<I", k + 2)
    return data + b"e]q\x00(" + b"".join(b"\x88" if s else b"\x89" for s in same) + b"e\x86q\x00."


def python_2_array(content: bytes) -> bytes:
    """Python 2's pickle of a NumPy array of bytes, which is a function, its arguments and a state."""
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nq\x03U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return (
        array + b"(K\x01K" + bytes([len(content)]) + b"\x85" + kind + b"\x89U" + bytes([len(content)]) + content + b"tb"
    )


def as_read(path: Path) -> tuple[list[bytes], list[bool]]:
    pairs = read_bin(str(path))
    places = np.stack([pairs.first, pairs.second], axis=1).ravel()
    return [pairs.images[k].data for k in places], pairs.same.tolist()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["bytes", "arrays", "columns", "truths", "array of truths", "tuple"])
def test_every_form_and_protocol_reads_the_same(tmp_path: Path, protocol: int, form: str) -> None:
    images: Any = [np.frombuffer(image, np.uint8).copy() for image in IMAGES] if form == "arrays" else list(IMAGES)
    if form == "columns":
        images = [np.frombuffer(image, np.uint8).reshape(-1, 1).copy() for image in IMAGES]
    same: Any = {"truths": [np.bool_(s) for s in SAME], "array of truths": np.array(SAME)}.get(form, SAME)
    value = (tuple(images), same) if form == "tuple" else [images, same]
    assert as_read(written(tmp_path / "lfw.bin", value, protocol)) == (IMAGES, SAME)


def test_python_2_files_read(tmp_path: Path) -> None:
    path = tmp_path / "lfw.bin"
    path.write_bytes(python_2(IMAGES, SAME))
    assert pickle.loads(path.read_bytes(), encoding="bytes") == (IMAGES, SAME)  # the form above is a true one
    assert as_read(path) == (IMAGES, SAME)
    arrays = b"".join(python_2_array(image) for image in IMAGES[:40:2])
    path.write_bytes(b"\x80\x02](" + arrays + b"e](" + b"\x88\x89" * 5 + b"e\x86.")
    assert [a.tobytes() for a in pickle.loads(path.read_bytes(), encoding="bytes")[0]] == IMAGES[::2]
    assert as_read(path) == (IMAGES[::2], [True, False] * 5)


def test_pairs_have_folds_people_and_each_image_once(tmp_path: Path) -> None:
    images = [IMAGES[k] for k in (0, 1, 1, 2, 3, 4, 0, 3)] + IMAGES[8:40]
    pairs = read_pairs(written(tmp_path / "lfw.bin", (images, [True, True, True, False, *SAME[4:]])), "no folder")
    assert len(pairs.images) == 5 + 32
    assert [pairs.images[k].data for k in pairs.first[:4]] == [IMAGES[0], IMAGES[1], IMAGES[3], IMAGES[0]]
    assert pairs.images[3].name == "lfw.bin image 4"
    assert pairs.fold.tolist() == np.repeat(np.arange(10), 2).tolist()
    assert pairs.people[[0, 1, 2]].tolist() == [pairs.people[0]] * 3  # 0 with 1, and 1 with 2
    assert pairs.people[3] == pairs.people[4] != pairs.people[0]
    assert "20 pairs" in pairs.remark
    assert "images joined by same pairs are one person" in pairs.remark


def test_joined_against_a_naive_closure() -> None:
    numbers = np.random.default_rng(0).integers(0, 60, (2, 35))
    groups = [{k} for k in range(60)]
    for a, b in numbers.T.tolist():
        union = groups[a] | groups[b]
        for k in union:
            groups[k] = union
    found = joined(*numbers, 60)
    assert [[found[a] == found[b] for a in range(60)] for b in range(60)] == [
        [a in groups[b] for a in range(60)] for b in range(60)
    ]


def test_recognised_by_suffix_or_by_first_bytes(tmp_path: Path) -> None:
    assert as_read(written(tmp_path / "agedb_30", (IMAGES, SAME), 2)) == (IMAGES, SAME)
    assert is_bin(str(written(tmp_path / "agedb_30", (IMAGES, SAME), 2)))
    (tmp_path / "pairs.txt").write_text("10\t300\n")
    assert not is_bin(str(tmp_path / "pairs.txt"))
    (tmp_path / "text.bin").write_text("10\t300\n")
    with pytest.raises(UserError, match=r"text\.bin is refused, nothing in it was run"):
        read_pairs(tmp_path / "text.bin", tmp_path)
    with pytest.raises(UserError, match="cannot read the pairs in"):
        read_pairs(tmp_path / "nothing.bin", tmp_path)


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def malicious(flag: str) -> dict[str, Any]:
    array = np.zeros(3, object)
    array[:] = [Calls(os.system, f"touch {flag}"), 1, 2]
    return {
        "system": Calls(os.system, f"touch {flag}"),
        "eval": Calls(eval, f"open({flag!r}, 'w')"),
        "nested": ([b"\xff\xd8", Calls(map, os.system, [Calls(str.upper, flag)])], [True]),
        "import": Calls(__import__, "antigravity"),
        "array of objects": array,
        "decoding": Calls(bytes, b"x"),
        "dict": {"a": 1},
        "class": Path(flag),
        "floats": np.zeros(3),
        "text": "text",
        "pairs of texts": (["a", "b"], [True]),
        "too few": (IMAGES[:3], [True]),
        "no pairs": ([], []),
        "other truths": (IMAGES[:2], [2]),
        "pixels": ([np.zeros((2, 2, 3), np.uint8)] * 2, [True]),
        "empty": ([b"", b"x"], [True]),
    }


@pytest.mark.parametrize("kind", malicious(""))
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_nothing_else_is_read_and_nothing_is_run(tmp_path: Path, kind: str, protocol: int) -> None:
    flag = tmp_path / "was run"
    value = malicious(str(flag))[kind]
    with pytest.raises(UserError) as caught:
        read_bin(str(written(tmp_path / "lfw.bin", value, protocol)))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not flag.exists()


BOMBS = {
    "memo index": b"\x80\x02Nr\xff\xff\xff\x7f.",  # pickle.load fills 32 GB for these 9 bytes
    "BYTES8 length": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
    "LONG4 length": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    "BINUNICODE length": b"\x80\x02X\xff\xff\xff\xffx.",
    "BINSTRING length": b"\x80\x02T\xff\xff\xff\x7fx.",
    "FRAME length": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "array shape": b"\x80\x02"
    + python_2_array(b"abc").replace(b"(K\x01K\x03\x85", b"(K\x01J\xff\xff\xff\x7f\x85")
    + b".",
    "doubling": b"\x80\x02Nq\x00" + b"h\x00h\x00\x86q\x00" * 100_000 + b".",
    "deep": b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
    "marks": b"\x80\x02" + b"(" * 300_000 + b".",
    "digits": b"\x80\x02I" + b"9" * 1_000_000 + b"\n.",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_in_little_memory(tmp_path: Path, kind: str) -> None:
    (tmp_path / "lfw.bin").write_bytes(BOMBS[kind])
    code = "import sys; from utils.settings import *; from utils.bin_pairs import *\n"
    code += "try: read_bin(sys.argv[1])\nexcept UserError as error: print('refused:', error)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lfw.bin")],
        cwd=Path(__file__).parents[1],
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": os.environ["PATH"]},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("refused:")
    assert done.stdout.count("\n") == 1


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    for data in (pickle.dumps((IMAGES[:4], SAME[:2]), 4), python_2(IMAGES[:4], SAME[:2])):
        for end in range(len(data)):
            (tmp_path / "lfw.bin").write_bytes(data[:end])
            with pytest.raises(UserError, match="is refused"):
                read_bin(str(tmp_path / "lfw.bin"))


def test_mutations_give_a_value_or_one_line() -> None:
    """2,000 damaged files of each form: a value of the plain kinds, or ValueError, and nothing else."""
    rng = random.Random(0)
    arrays = [np.frombuffer(image, np.uint8) for image in IMAGES]
    for data in (pickle.dumps((IMAGES, SAME), 2), pickle.dumps((arrays, SAME), 5), python_2(IMAGES, SAME)):
        refused = []
        for _ in range(2000):
            mutant = bytearray(data)
            for _ in range(rng.randint(1, 6)):
                mutant[rng.randrange(len(mutant))] = rng.randrange(256)
            try:
                load(bytes(mutant))
            except ValueError as error:
                refused.append(str(error))
        assert len(refused) > 200
        assert max(map(len, refused)) <= 200
