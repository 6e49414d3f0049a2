"""2,000 damaged files of all kinds: each gives an image or one line; none crashes, hangs, prints or takes much memory.

More of them: python -m tests.test_images_fuzz 20000 (how many) 2000 (the first seed)
"""

import faulthandler
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.image_kinds import KINDS
from utils.files import FileInMemory
from utils.images import ImageError, read_image
from utils.memory_estimate import peak_memory

FILES = 2000
SECONDS_A_FILE = 120  # after which it hangs; the slowest takes a second
MEMORY = 1200  # MB more than the decoders' code; the pixels of the largest file that is read take 480 in Pillow
WHOLE = [KINDS[name].data for name in KINDS]
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
Random = np.random.Generator
Change = Callable[[bytes, Random], bytes]


def span(data: bytes, random: Random) -> tuple[int, int]:
    """Returns the start and end of a part, short as a rule."""
    start = int(random.integers(len(data)))
    return start, min(len(data), start + int(2 ** random.uniform(0, 10)))


def flip_bits(data: bytes, random: Random) -> bytes:
    changed = np.frombuffer(data, np.uint8).copy()
    np.bitwise_xor.at(changed, random.integers(len(data), size=random.integers(1, 9)), 1 << random.integers(8))
    return changed.tobytes()


def replace_bytes(data: bytes, random: Random) -> bytes:
    start, end = span(data, random)
    return data[:start] + random.bytes(end - start) + data[end:]


def clear(data: bytes, random: Random) -> bytes:
    start, end = span(data, random)
    return data[:start] + bytes([random.choice((0, 255))]) * (end - start) + data[end:]


def cut(data: bytes, random: Random) -> bytes:
    return data[: int(random.integers(1, len(data) + 1))]


def insert(data: bytes, random: Random) -> bytes:
    start, end = span(data, random)
    return data[:start] + random.bytes(end - start) + data[start:]


def repeat(data: bytes, random: Random) -> bytes:
    start, end = span(data, random)
    return data[:end] + data[start:end] * int(random.integers(1, 50)) + data[end:]


def leave_out(data: bytes, random: Random) -> bytes:
    start, end = span(data, random)
    return data[:start] + data[end:]


def extreme_header(data: bytes, random: Random) -> bytes:
    """A number of the header becomes as small or as large as can be; in words where it is in words."""
    start, number = int(random.integers(2, 64)), int(random.choice(NUMBERS))
    if data[:1] == b"P" and random.random() < 0.9:
        fields = data[:40].split(b" ")
        fields[random.integers(len(fields))] = str(number).encode()
        return b" ".join(fields) + data[40:]
    width = int(random.choice((1, 2, 4)))
    field = (number & ((1 << 8 * width) - 1)).to_bytes(width, str(random.choice(("big", "little"))))  # type: ignore[arg-type]
    return data[:start] + field + data[start + width :]


def splice(data: bytes, random: Random) -> bytes:
    other = WHOLE[random.integers(len(WHOLE))]
    return data[: span(data, random)[0]] + other[span(other, random)[0] :]


CHANGES: tuple[Change, ...] = (
    flip_bits, replace_bytes, clear, cut, insert, repeat, leave_out, extreme_header, extreme_header, splice,
)  # fmt: skip


def with_right_checksums(data: bytes) -> bytes:
    """A damaged PNG whose chunks have the checksums of what they hold: the decoder sees the damage."""
    parts, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 8 + struct.unpack_from(">I", data, position)[0]
        parts += [data[position:end], struct.pack(">I", zlib.crc32(data[position + 4 : end]))]
        position = end + 4
    return b"".join(parts)


def damaged(seed: int) -> bytes:
    """Returns a file that depends on `seed` alone."""
    random = np.random.default_rng(seed)
    data = WHOLE[random.integers(len(WHOLE))]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = CHANGES[random.integers(len(CHANGES))](data, random) or b"\0"
    return with_right_checksums(data) if data[:4] == b"\x89PNG" and random.random() < 0.7 else data


def complaint(seed: int, data: bytes) -> tuple[bool, str]:
    """Returns whether the file gives an image, and what is wrong with the answer; "" where nothing is."""
    name = f"file {seed}"
    try:
        image = read_image(FileInMemory(name, data))
    except ImageError as error:
        message = str(error)
        return False, "" if name in message and message.isprintable() and len(message) < 400 else f"says {message!r}"
    except BaseException as error:
        return False, f"raises {error!r}"
    sound = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous
    return True, "" if sound and image.size else f"gives {image.dtype} {image.shape}"


def fuzz(files: int, first: int) -> None:
    """Reads them and prints what came of it, as JSON; the seed goes ahead into a file, for a crash."""
    wrong, images, slowest, printed = [], 0, (0.0, 0), os.fstat(2).st_size
    for kind in KINDS:  # so that the code of the decoders is there before memory is measured
        read_image(FileInMemory(kind, KINDS[kind].data))
    before = most = peak_memory() / 1e6
    for seed in range(first, first + files):
        os.pwrite(int(os.environ["FUZZ_SEED"]), f"{seed:12}".encode(), 0)
        data = damaged(seed)
        faulthandler.dump_traceback_later(SECONDS_A_FILE, exit=True)
        began = time.perf_counter()
        gives_image, what = complaint(seed, data)
        slowest = max(slowest, (time.perf_counter() - began, seed))
        faulthandler.cancel_dump_traceback_later()
        images += gives_image
        if os.fstat(2).st_size != printed:
            printed, what = os.fstat(2).st_size, what + " prints"
        if peak_memory() / 1e6 > max(most, before + MEMORY):
            most, what = peak_memory() / 1e6, what + f" takes {peak_memory() / 1e6 - before:.0f} MB"
        wrong += [f"seed {seed} {what}"] if what else []
    report = {"images": images, "errors": files - images, "slowest": slowest, "MB": round(peak_memory() / 1e6 - before)}
    print(json.dumps({"wrong": wrong} | report))


def test_damaged_files_give_an_image_or_one_line(tmp_path: Path) -> None:
    with open(tmp_path / "seed", "w+b") as seed, open(tmp_path / "stderr", "w+b") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "tests.test_images_fuzz", str(FILES)],
            cwd=Path(__file__).resolve().parents[1],
            env=os.environ | {"FUZZ_SEED": str(seed.fileno())},
            pass_fds=[seed.fileno()],
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert done.returncode == 0, f"seed {seed.read().decode()}: exit code {done.returncode}"
        report = json.loads(done.stdout)
        assert report["wrong"] == []
        errors.seek(0)
        assert errors.read() == b""
    assert min(report["images"], report["errors"]) > FILES // 10  # it tells files apart, and meets both


if __name__ == "__main__":
    os.environ.setdefault("FUZZ_SEED", str(os.open(os.devnull, os.O_WRONLY)))
    fuzz(*(int(argument) for argument in [*sys.argv[1:], "0"][:2]))
