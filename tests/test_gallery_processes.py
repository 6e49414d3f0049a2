"""The gallery file among processes: killed while writing, two writers at once, a system that refuses to write."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from utils.gallery import Gallery
from utils.stores import NoPeople

ROOT = Path(__file__).parents[1]
BATCH = 50  # photos of a transaction in the processes below
WRITER = f"""
import sys
from tests.stores import ORIGIN, vectors
from utils.gallery import Gallery

path, name, batches = sys.argv[1:]
gallery = Gallery.create(path, ORIGIN)
print("ready", flush=True)
for batch in range(int(batches)):
    with gallery.batch():
        for half in range(2):
            sources = [f"{{name}}/{{batch}}/{{half}}/{{number}}" for number in range({BATCH // 2})]
            gallery.enroll(f"{{name}}{{batch % 7}}", vectors({BATCH // 2}, batch), sources)
    print(batch, flush=True)
"""


def writer(path: Path, name: str, batches: int) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", WRITER, str(path), name, str(batches)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_kill_in_the_middle_leaves_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    moments = (0.0, 0.05, 0.2)
    written = 0
    for turn, moment in enumerate(moments):
        process = writer(path, f"turn{turn}-", 100_000)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        done = len(process.stdout.read().split())
        process.communicate()
        with Gallery.open(path) as gallery:
            photos = sum(person.photos for person in gallery.people())
            assert gallery._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert photos % BATCH == 0
        assert photos - written in (done * BATCH, (done + 1) * BATCH)  # what was said to be written is there
        written = photos
    assert written > 0


def test_two_write_while_others_read(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    processes = [writer(path, name, 12) for name in ("a", "b")]  # they also make the file together
    seen = []
    while any(process.poll() is None for process in processes):
        if path.exists():
            try:
                with Gallery.open(path) as gallery:
                    seen.append(len(gallery.templates("all").names))
            except NoPeople:
                pass
        time.sleep(0.005)
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 2
    assert all(number % BATCH == 0 for number in seen)
    with Gallery.open(path) as gallery:
        assert sum(person.photos for person in gallery.people()) == 2 * 12 * BATCH


FULL = """
import resource, sys
from tests.stores import ORIGIN, vectors
from utils.gallery import Gallery
from utils.settings import UserError

gallery = Gallery.create(sys.argv[1], ORIGIN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for batch in range(1000):
        gallery.enroll("ann", vectors(100, batch), [f"{batch}/{number}" for number in range(100)])
except UserError as error:
    print(error)
"""


def test_a_write_that_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == f"gallery {path}: the disk is full or broken; what was there before is untouched\n"
    with Gallery.open(path) as gallery:
        assert gallery.people()[0].photos % 100 == 0
        assert gallery._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
