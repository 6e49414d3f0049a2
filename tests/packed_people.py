"""Five people with odd names, and pack.py run on them: what the tests of packing share."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

import pack
from utils.annotations import Annotations, write_annotations
from utils.images import read_bytes
from utils.people_folder import PeopleFolder
from utils.settings import run_script

EMPTY = 8  # row of ann/3.png
LONG = "ä" * 60 + ".png"  # 124 bytes: more than a tar's header holds
SHARD = 7000  # bytes: three photos or so


def write_people() -> None:
    """Writes people/<5 people>/<6 photos> and cls_train.txt into the working folder."""
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
    """Runs pack.py with pack.MEGABYTE for a shard; returns its exit code."""
    try:
        run_script(pack.main, pack.Settings, [*argv, "--shard_mb", "1"])
    except SystemExit as done:
        return int(str(done.code))
    return 0


def every_photo(annotations: Annotations) -> list[bytes]:
    """Returns the bytes of the photos, by row."""
    return [read_bytes(annotations.path(row)) for row in range(len(annotations))]
