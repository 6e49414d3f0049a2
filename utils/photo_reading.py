"""Photos of many files, read ahead while the network computes; what cannot be read is said, and does not stop."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from utils.images import ImageError, Pixels, read_image
from utils.photo_tree import list_photos
from utils.settings import UserError


def photos_in(paths: Sequence[str], own: str = "") -> list[str]:
    """Returns the photos that are named, and those in the folders that are, at any depth; raises UserError for none.

    `own`: where a picture will be drawn; one that was drawn there before is no photo of the folder.
    """
    found: list[str] = []
    for path in paths:
        if not os.path.lexists(path):
            raise UserError(f"no such file or folder: '{path}'")
        if os.path.isdir(path):
            inside = [os.path.join(path, photo.path) for photo in list_photos(path, "")[0]]
            found += [photo for photo in inside if not (own and _same(photo, own) and _drawn(photo))]
        else:
            found.append(path)
    if not found:
        raise UserError("photos or folders of photos are expected; received none")
    return found


def _same(path: str, other: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def _drawn(path: str) -> bool:
    """Says whether matplotlib made the file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return str(image.info.get("Software", "")).startswith("Matplotlib")
    except OSError:
        return False


def keep_photos(photos: Sequence[str], settings: Any, *names: str) -> None:
    """Raises UserError where what these settings name for writing is one of the photos, or the gallery."""
    own, gallery = set(map(os.path.realpath, photos)), getattr(settings, "gallery", "")
    for name in names:
        if (path := getattr(settings, name)) and gallery and _same(path, gallery):
            raise UserError(f"--{name} {path} is the gallery, and would be written over; name another file")
        if (path := getattr(settings, name)) and os.path.realpath(path) in own:
            raise UserError(f"--{name} {path} is one of the photos, and would be written over; name another file")


def read_ahead(paths: Sequence[str], at_once: int) -> Iterator[list[tuple[str, Pixels | ImageError]]]:
    """Yields lists of at most `at_once` (path, photo), in order; in place of a photo the reason why there is none."""
    parts = [paths[first : first + at_once] for first in range(0, len(paths), at_once)]
    with ThreadPoolExecutor() as pool:
        ahead = [pool.submit(_photo, path) for path in (parts[0] if parts else [])]
        for number, part in enumerate(parts):
            reading, following = ahead, parts[number + 1] if number + 1 < len(parts) else []
            ahead = [pool.submit(_photo, path) for path in following]
            yield list(zip(part, [job.result() for job in reading], strict=True))


def _photo(path: str) -> Pixels | ImageError:
    try:
        return read_image(path)
    except ImageError as error:
        return error
