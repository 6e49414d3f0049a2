"""Where photos come to lie in shards, before any is written; and millions of lines of it."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from utils.annotations import read_annotations
from utils.packing import Photos, plan_shards


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_members_are_named_from_the_folder_that_all_have_in_common(tmp_path: Path) -> None:
    lines = ["0;a b/x/1.jpg", "0;a/1.jpg", "1;a/x/2.jpg", f"1;{tmp_path}/a-b/../c/3.jpg"]
    Path("a.txt").write_text("\n".join(lines))
    photos = Photos(read_annotations("a.txt"))
    assert [photos.name(row) for row in photos.rows] == ["a b/x/1.jpg", "a/1.jpg", "a/x/2.jpg", "c/3.jpg"]
    Path("a.txt").write_text("0;people/ann/1.png\n1;people/ann/2.png\n")
    photos = Photos(read_annotations("a.txt"))
    assert [photos.name(row) for row in photos.rows] == ["1.png", "2.png"]


def test_a_plan_fills_shards_and_never_cuts_a_photo() -> None:
    Path("a.txt").write_text("".join(f"{k // 6};people/{'x' * (k * 7 % 130)}/{k}.png\n" for k in range(30)))
    photos = Photos(read_annotations("a.txt"))
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
