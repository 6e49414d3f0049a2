"""The contact sheet of groups: one HTML file that opens from disk, faces inside, each a link to its photo."""

import base64
import html
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.audit_report import STYLE
from utils.clustering import distances_to_groups
from utils.files import write_text
from utils.images import ImageError, read_image
from utils.pile import Pile
from utils.thumbnails import thumbnail

THUMBNAIL = 96  # pixels, square
QUALITY = 80  # of the thumbnails' JPEG
A_GROUP = 12  # faces shown of each group
PICTURES = 3_000  # on the page: some 12 MB


class Section(NamedTuple):
    """A group, or what is in none."""

    name: str  # of its folder
    photos: int
    faces: list[int]  # rows of the pile: those shown
    left_out: int  # faces that are not shown


def write_page(path: Path, pile: Pile, source: Path, names: dict[int, str], about: Sequence[str]) -> int:
    """Writes the page, and returns how many groups are shown on it, the largest first.

    Args:
        source: the folder of the photos.
        names: group -> name of its folder.
        about: lines on what was done.
    """
    chosen = sections(pile, names)
    faces = [face for section in chosen for face in section.faces]
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda face: _picture(pile, source, face, path.parent), faces)
        pictures = dict(zip(faces, made, strict=True))
    groups = len(chosen) - bool((pile.labels < 0).any())
    shown = "" if groups == len(names) else f" The {groups:,} largest of {len(names):,} groups are shown."
    lines = "<br>".join(html.escape(line) for line in about)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Groups</title><style>{STYLE}</style></head><body>\n<h1>Which photos belong together</h1>",
        f'<p class="soft">{lines}</p>',
        '<p class="soft">Most typical faces first; the last of a group are the ones to check. A face leads to its'
        f" photo.{shown}</p>",
        *(_section(section, pictures) for section in chosen),
        "</body></html>\n",
    ]
    # a file's name need not be UTF-8
    write_text(path, "\n".join(parts).encode("utf-8", "backslashreplace").decode())
    return groups


def sections(pile: Pile, names: dict[int, str]) -> list[Section]:
    """Returns the groups, the largest first, while PICTURES last; then the faces that are alone."""
    distances = distances_to_groups(pile.embeddings, pile.labels)
    order = np.lexsort((distances, pile.labels))
    starts = np.searchsorted(pile.labels[order], np.arange(pile.labels.max(initial=-1) + 2))
    groups = [order[first:last] for first, last in pairwise(starts.tolist())]
    room, found = PICTURES - 2 * A_GROUP, list[Section]()
    for group in sorted(range(len(groups)), key=lambda group: -len(groups[group])):
        faces = _some(groups[group])
        if room < len(faces):
            break
        room -= len(faces)
        found.append(_of(pile, names[group], groups[group], faces))
    alone = np.flatnonzero(pile.labels < 0)
    if len(alone):
        found.append(_of(pile, "in no group", alone, alone[: 2 * A_GROUP].tolist()))
    return found


def _some(faces: NDArray[np.int64]) -> list[int]:
    """Returns A_GROUP of the faces: the nearest to the group, and the third of them that are farthest."""
    if len(faces) <= A_GROUP:
        return faces.tolist()
    return np.append(faces[: A_GROUP - A_GROUP // 3], faces[-(A_GROUP // 3) :]).tolist()


def _of(pile: Pile, name: str, faces: NDArray[np.int64], shown: list[int]) -> Section:
    return Section(name, len(np.unique(pile.photo[faces])), shown, len(faces) - len(shown))


def _section(section: Section, pictures: dict[int, str]) -> str:
    more = f'<span class="none">{section.left_out:,} more</span>' if section.left_out else ""
    faces = "".join(pictures[face] for face in section.faces)
    plural = "photo" if section.photos == 1 else "photos"
    return (
        f"<section><h2>{html.escape(section.name)}<b>{section.photos:,} {plural}</b></h2>\n"
        f"<figure><div>{faces}{more}</div></figure></section>"
    )


def _picture(pile: Pile, source: Path, face: int, beside: Path) -> str:
    """Returns an HTML image of a face that holds its own bytes, and leads to the photo."""
    name = pile.photos[pile.photo[face]]
    title = html.escape(name)
    link = quote(os.fsencode(os.path.relpath(source / name, beside).replace(os.sep, "/")))
    try:
        image = thumbnail(read_image(source / name), pile.boxes[face], THUMBNAIL)
        data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        inside = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
    except ImageError:
        inside = '<span class="none">no image</span>'
    return f'<a href="{link}" title="{title}">{inside}</a>'
