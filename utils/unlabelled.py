"""Photos of nobody in particular (label -1) behind the people's: they teach by their teacher alone."""

import os
from collections.abc import Iterable, Iterator

import numpy as np

from utils.annotations import Annotations
from utils.people_folder import IMAGE_SUFFIXES
from utils.photo_files import member_of
from utils.settings import UserError
from utils.text_rows import WORD, TextRows


def with_unlabelled(people: Annotations, folder: str | os.PathLike[str], held_out: Annotations) -> Annotations:
    """Returns the people's rows and, behind them, those of all photos below `folder`, with label -1.

    What is among the `people` already stays theirs. Who is `held_out` for validation stays out of it, or they would be
    trained on after all: by path, so that a copy under another name is not noticed. Folders are searched to any depth
    and need not be people; what is hidden is left out. The people's `starts` are as before: rows from `starts[-1]` on
    are nobody's. Raises UserError where no photo is left, and where the people's lie in shards:
    they could not be told from a stranger's then.
    """
    known = np.concatenate([_hashes(_paths(annotations)) for annotations in (people, held_out)])
    found = list(_photos(os.path.abspath(folder)))
    more = [path for path, own in zip(found, ~np.isin(_hashes(found), known), strict=True) if own]
    if not more:
        among = f"; all {len(found):,} there are among the people already" if found else ""
        raise UserError(f"no photo without a person below '{os.fspath(folder)}'{among}")
    labels = np.append(people.labels, np.full(len(more), -1, np.int32))
    return Annotations(labels, people.starts, people.people, _joined(people.paths, more), people.folder)


def _photos(folder: str) -> Iterator[str]:
    """Yields the absolute paths of the images below `folder`, in the order of their names."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot list '{folder}': {error.strerror}; a folder of photos is expected") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _photos(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
            yield entry.path


def _paths(annotations: Annotations) -> Iterator[str]:
    for row in range(len(annotations)):
        path = annotations.path(row)
        if member_of(path):
            line = "--unlabelled leaves out the people's own photos, by their paths, and they lie in shards"
            raise UserError(f"{line} ({path}); give the annotation file that was packed")
        yield os.path.abspath(path)


def _hashes(paths: Iterable[str]) -> np.ndarray:
    """Returns int64 (N,): millions of paths as a set of texts would take a gigabyte."""
    return np.fromiter(map(hash, paths), np.int64)


def _joined(rows: TextRows, more: list[str]) -> TextRows:
    """Returns `rows` and behind them `more`, in one blob."""
    texts = [os.fsencode(path) for path in more]
    at = len(rows.text) + np.cumsum([0, *map(len, texts)])
    text = np.frombuffer(b"".join(texts) + bytes(WORD), np.uint8)
    begin, end = np.append(rows.begin, at[:-1]), np.append(rows.end, at[1:])
    return TextRows(np.concatenate([rows.text, text]), begin, end)
