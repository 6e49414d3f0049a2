"""Packs the photos of an annotation file into a few large files, which network disks read well.

python pack.py cls_train.txt packed; python train.py --annotation_path packed/cls_train.txt
"""

from dataclasses import dataclass
from pathlib import Path

from utils.settings import UserError, at_least, positional, run_script

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Settings:
    """Packs photos into shards (plain .tar), unchanged. Run: python pack.py cls_train.txt packed"""

    paths: tuple[str, ...] = positional()  # the annotation file, and the folder to write
    shard_mb: int = 1000  # size of a shard at most, in millions of bytes


def main(settings: Settings) -> None:
    """Packs, goes on where an earlier run was stopped, and says what there is now."""
    if len(settings.paths) != 2:
        raise UserError("pack.py takes an annotation file and a folder: pack.py cls_train.txt packed")
    at_least(1, settings, "shard_mb")
    from utils.annotations import read_annotations
    from utils.packing import pack

    source, folder = map(Path, settings.paths)
    done = pack(read_annotations(source), source, folder, settings.shard_mb * MEGABYTE)
    shards = f"{len(done.lengths):,} shard{'s' * (len(done.lengths) != 1)}"
    before = len(done.lengths) - done.written
    there = f" ({before:,} there already)" if before else ""
    print(f"{done.photos:,} photos of {done.people:,} people: {sum(done.lengths) / 1e6:,.1f} MB in {shards}{there}")
    print(f"next: python train.py --annotation_path {folder / source.name}")


if __name__ == "__main__":
    run_script(main, Settings)
