"""Finds the images that a list of pairs names, whatever their suffixes have become since."""

import os
from collections.abc import Iterable

from utils.people_folder import IMAGE_SUFFIXES


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image that is read, and not hidden."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def find_images(names: Iterable[str], folder: str) -> dict[str, str | None]:
    """Returns name -> path in `folder` (None: not there); each folder that they name is listed once.

    That is the very file, else the same name with another image suffix (a photo that became a .webp crop).
    """
    listings: dict[str, dict[str, str]] = {}
    found = {}
    for name in names:
        parent, file = os.path.split(os.path.join(folder, name))
        if parent not in listings:
            listings[parent] = _listing(parent)
        stem, suffix = os.path.splitext(file)
        listing = listings[parent]
        match = listing.get(file) or (listing.get(stem) if suffix.lower() in IMAGE_SUFFIXES else None)
        found[name] = os.path.join(parent, match) if match else None
    return found


def missing_images(missing: list[str], number: int, folder: str) -> str:
    """Returns the line that counts and names the `missing` ones of `number` images."""
    names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return f"{len(missing):,} of {number:,} images are not in {folder}: {names}"


def _listing(folder: str) -> dict[str, str]:
    """Returns file name -> file name and stem -> file name of the images in a folder; empty where there is none."""
    try:
        files = sorted(filter(is_image, os.listdir(folder)), reverse=True)
    except OSError:  # no such folder, or one that may not be read: its images are missing
        return {}
    return {os.path.splitext(file)[0]: file for file in files} | {file: file for file in files}
