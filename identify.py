"""Who is this: python identify.py enroll people, then identify.py who photo.jpg"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from utils.settings import UserError, positional, run_verbs
from utils.terminal import say

if TYPE_CHECKING:
    from utils.embedder import Embedder
    from utils.stores import Store

PICTURED = 12  # photos in the picture


@dataclass(frozen=True)
class Place:
    """Where the enrolled people are."""

    gallery: str = "gallery.db"  # the file that holds them
    store: str = ""  # a Milvus collection in its place: milvus://host:19530/people, or milvus://./people.db (Lite)


@dataclass(frozen=True)
class Enroll(Place):
    """Remembers people: a folder with a folder a person, or photos of one (--person). Goes on where it stopped."""

    paths: tuple[str, ...] = positional()  # folders of people; with --person, photos or folders of that person's
    person: str = ""  # whose photos they are; empty: the folders' names say it
    model_path: str = ""  # embedder; empty: the gallery's, the newest run's, else the released one
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


@dataclass(frozen=True)
class Who(Place):
    """Says who is on a photo, or on each photo of a folder: one of the enrolled people, or unknown."""

    paths: tuple[str, ...] = positional()  # photos, or folders of them at any depth
    far: float = 0.01  # share of strangers who may be given somebody's name
    templates: Literal["mean", "quality", "all"] = "mean"  # of a person's photos: mean, mean by quality, or each one
    faces: Literal["all", "main"] = "all"  # of a photo with several
    search: Literal["exact", "faiss"] = "exact"  # faiss: for many millions; finds nearly always the same
    output: str = ""  # CSV with a line a face; empty: none
    save_path: str = "who.png"  # picture of the first photos, faces named; empty: none
    show: bool = True  # open the picture in a window, where there is a display
    model_path: str = ""  # embedder; empty: the one that the people were enrolled with
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


@dataclass(frozen=True)
class List(Place):
    """Lists the people and how many photos each has; of people that are named, the photos."""

    people: tuple[str, ...] = positional()  # names; none: everybody


@dataclass(frozen=True)
class Rename(Place):
    """Gives a person another name."""

    names: tuple[str, ...] = positional()  # the old name, the new name


@dataclass(frozen=True)
class Merge(Place):
    """Joins people who are one: the first keeps the name and gets the photos of the others."""

    names: tuple[str, ...] = positional()  # the name that stays, the names that go


@dataclass(frozen=True)
class Remove(Place):
    """Erases people: nothing of them stays in the file."""

    names: tuple[str, ...] = positional()  # who goes


@dataclass(frozen=True)
class Export(Place):
    """Writes people and embeddings to a .json or .npz file: for other programs, or for those who ask what is kept."""

    names: tuple[str, ...] = positional()  # the file, and then people; no people: everybody


def enroll(settings: Enroll) -> None:
    """Enrolls the photos that are not enrolled yet, and says what became of the others."""
    from utils.enrolment import enroll_photos, origin_for, photos_to_enroll
    from utils.stores import clean_name, known_origin, open_store

    if not settings.paths:
        raise UserError("enroll takes folders of people, or --person NAME and photos; received none")
    work, skipped = photos_to_enroll(settings.paths, clean_name(settings.person) if settings.person else "")
    known = known_origin(where(settings))
    embedder = load(settings, known.model_path if known else "")
    store = open_store(where(settings), origin=origin_for(embedder))
    try:
        done = enroll_photos(embedder, store, work)
        people = store.people()
    except KeyboardInterrupt:
        print("stopped: what was enrolled stays; the same command goes on with the others")
        raise
    finally:
        store.close()
    for line in done.lines(skipped):
        say(line)
    print(f"{where(settings)}: {sum(person.photos for person in people):,} photos of {len(people):,} people")


def who(settings: Who) -> None:
    """Compares each face with everybody enrolled; prints a line a face."""
    from utils.comparison import PICTURE_SUFFIXES, open_picture
    from utils.enrolment import origin_for
    from utils.identification import Identifier, check_far
    from utils.photo_reading import keep_photos, photos_in
    from utils.stores import open_store

    check_far(settings.far)
    if settings.save_path and Path(settings.save_path).suffix.lower() not in PICTURE_SUFFIXES:
        raise UserError(f"--save_path '{settings.save_path}' must end in one of {' '.join(PICTURE_SUFFIXES)}")
    if settings.output and os.path.realpath(settings.output) == os.path.realpath(settings.save_path):
        raise UserError(f"--output and --save_path are both {settings.output}: a table and a picture are two files")
    paths = photos_in(settings.paths, settings.save_path)
    keep_photos(paths, settings, "save_path", "output")
    store = open_store(where(settings))
    enrolled = store.people()
    if not enrolled:
        raise UserError(f"nobody is enrolled in {where(settings)}; python identify.py enroll FOLDER")
    embedder = load(settings, store.origin.model_path)
    store.origin.check(where(settings), embedder.card["sha256"])
    store.origin.check_cut(where(settings), origin_for(embedder))
    from utils.calibration import Calibration
    from utils.faces_named import Seen, faces_figure, name_faces, write_table

    calibration = Calibration.of_card(embedder.card)
    identifier = Identifier(store, calibration, settings.far, settings.templates, settings.search == "faiss")
    templates = sum(person.photos for person in enrolled) if settings.templates == "all" else len(enrolled)
    say(identifier.basis(templates))
    seen: list[Seen] = []
    for each in name_faces(embedder, identifier, paths, settings.faces == "all"):
        for line in each.lines() if each.faces or len(paths) > 1 else ():  # one photo's problem is the error's line
            say(line)
        seen.append(each if len(seen) < PICTURED else each.without_pixels())  # not all in memory
    if settings.output:
        write_table(settings.output, seen)
        print(f"table {settings.output}")
    if not any(each.faces for each in seen):
        raise UserError(seen[0].problem if len(seen) == 1 else f"no face on any of {len(seen):,} photos")
    if settings.save_path:
        faces_figure(settings.save_path, seen[:PICTURED], identifier.basis(templates))
        picture = Path(settings.save_path).absolute()
        print(f"picture {picture}")
        if settings.show:
            open_picture(picture)


def list_people(settings: List) -> None:
    """Prints names and numbers, or the photos of those named."""
    from utils.images import printable

    with opened(settings) as store:
        for photo in store.photos(settings.people) if settings.people else ():
            print(f"{photo.person}: {printable(photo.source)}")
        if not settings.people:
            people = store.people()
            for person in people:
                print(f"{person.photos:>7,}  {person.name}")
            print(f"{sum(person.photos for person in people):>7,}  photos of {len(people):,} people")


def rename(settings: Rename) -> None:
    with opened(settings) as store:
        if len(settings.names) != 2:
            raise UserError(f"rename takes the old name and the new one; received {len(settings.names)} of them")
        store.rename(*settings.names)
    print("{} is now {}".format(*settings.names))


def merge(settings: Merge) -> None:
    with opened(settings) as store:
        if len(settings.names) < 2:
            raise UserError(f"merge takes the name that stays and those that go; received {len(settings.names)}")
        store.merge(settings.names[0], settings.names[1:])
    print(f"{settings.names[0]} has now the photos of {', '.join(settings.names[1:])} too")


def remove(settings: Remove) -> None:
    with opened(settings) as store:
        if not (names := list(dict.fromkeys(settings.names))):
            raise UserError("remove takes the names of those who go; received none")
        photos = store.remove(names)
    print(f"removed {', '.join(names)}: {photos:,} photos; nothing of them is left in {where(settings)}")


def export(settings: Export) -> None:
    """Writes people to a file."""
    from utils.gallery_export import write_people

    if not settings.names:
        raise UserError("export takes a file (.json or .npz), and then people, or nobody for everybody")
    with opened(settings) as store:
        photos = write_people(settings.names[0], store.origin, store.photos(settings.names[1:]))
    print(f"written {settings.names[0]}: {photos:,} photos")


@contextlib.contextmanager
def opened(settings: Place) -> "Iterator[Store]":
    """Opens the place of the people, without an embedder."""
    from utils.stores import open_store

    with contextlib.closing(open_store(where(settings))) as store:
        yield store


def where(settings: Place) -> str:
    return settings.store or settings.gallery


def load(settings: Enroll | Who, known: str) -> "Embedder":
    """Loads the embedder that is named, or else that which the people were enrolled with, and says how it cuts."""
    from utils.cropping import check_choice, common_alignment
    from utils.runs import find_embedder

    check_choice(settings.align)
    model_path = find_embedder(settings.model_path or (known if Path(known).is_file() else ""), settings.input_size)
    from utils.embedder import Embedder

    embedder = Embedder.load(model_path, settings.input_size or None)
    crops = common_alignment(path if path.is_dir() else path.parent for path in map(Path, settings.paths))
    say(f"embedder {model_path}: {embedder.crop_photos(settings.align, crops).describe()}")
    return embedder


VERBS: dict[str, tuple[Callable[[Any], None], type]] = {
    "enroll": (enroll, Enroll),
    "who": (who, Who),
    "list": (list_people, List),
    "rename": (rename, Rename),
    "merge": (merge, Merge),
    "remove": (remove, Remove),
    "export": (export, Export),
}

if __name__ == "__main__":
    run_verbs(VERBS, str(__doc__))
