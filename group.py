"""Groups photos by who is on them: python group.py photos --output people

The output gets a folder a person (links, or copies), index.html to look at, groups.csv, and groups.npz, from which a
later run with more photos goes on: it puts them to the people that there are, or into new groups, and moves nobody.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from utils.runs import find_embedder, named
from utils.settings import UserError, positional, run_script, typed_names
from utils.terminal import say

if TYPE_CHECKING:
    from utils.embedder import Embedder
    from utils.grouping import Basis
    from utils.pile import Pile

CHUNK = 2_000  # photos between two writings of what was seen on them


@dataclass(frozen=True)
class Settings:
    """Which photos show one person? Run: python group.py photos --output people"""

    input: tuple[str, ...] = positional()  # a folder of photos, or of folders of photos, at any depth
    output: str = "people"  # the folder for the groups; one of an earlier run goes on
    model_path: str = ""  # embedder (.keras, .onnx, .tflite, .h5); empty: the newest run's, else the released one
    faces: Literal["all", "main"] = "all"  # of each photo: every one, or the largest near the centre
    min_face: int = 40  # pixels of the photo, the longer side: smaller faces are left out
    files: Literal["link", "copy", "none"] = "link"  # what a person's folder holds; none: no folders
    method: Literal["average", "chinese_whispers"] = "average"  # linkage by mean distance; or labels that spread
    far: float = 0.0  # share of strangers within the cut; 0: the method's own (average: 0.001)
    cut: float = 0.0  # squared distance, instead of what the embedder's card says; 0: the card's
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


def main(settings: Settings) -> None:
    """Sees what is on the photos that are new, groups their faces, and writes folders, table and page."""
    source, output = check(settings)
    from utils.photo_tree import list_photos
    from utils.pile import Pile

    photos, skipped = list_photos(source, leave_out=output)
    model_path = find_embedder(settings.model_path, settings.input_size)
    pile = Pile.open(output, origin(settings, source, output, model_path))
    again = pile.forget_unread()
    known = set(pile.photos)
    todo = [photo.path for photo in photos if photo.path not in known]
    new = len(set(todo) - again)
    tried = f", {len(todo) - new:,} that could not be read are tried again" if len(todo) > new else ""
    say(f"{len(photos):,} photos in {source}, {new:,} of them new{tried}" + note(skipped))
    if gone := len(known.difference(photo.path for photo in photos)):
        say(f"{gone:,} photos of earlier runs are not there any more; their faces stay in the groups")
    if idle := idle_flags(pile, new, settings):
        say(f"{idle} would change nothing: no photo is new, and nobody is moved; another --output groups all anew")
    if todo or (pile.labels < -1).any():
        group_new(pile, todo, model_path, settings)
    write(pile, source, output, settings)


def check(settings: Settings) -> tuple[Path, Path]:
    """Refuses what cannot work, before anything is read; returns the folders of the photos and for the groups."""
    from utils.cropping import check_choice

    if len(settings.input) != 1:
        raise UserError(f"one folder of photos is grouped; received {len(settings.input)}: python group.py photos")
    source, output = Path(settings.input[0]), Path(settings.output)
    if source.resolve().is_relative_to(output.resolve()):
        raise UserError(f"the photos in {source} lie in --output {output}: give another folder for the groups")
    if not 0 <= settings.far < 1 or not 0 <= settings.cut <= 4:
        raise UserError(f"--far is 0 to 1, --cut 0 to 4; received {settings.far:g} and {settings.cut:g}")
    if settings.min_face < 12:
        raise UserError(f"--min_face is {settings.min_face} pixels; the detector sees 12 and more")
    check_choice(settings.align)
    return source, output


def origin(settings: Settings, source: Path, output: Path, model_path: Path) -> dict[str, Any]:
    """Returns what must be the same when an earlier run's groups go on."""
    from utils.cards import stored_card
    from utils.exported import fingerprint
    from utils.grouping import flip_of

    place = os.path.relpath(source.resolve(), output.resolve()).replace(os.sep, "/")  # so that both can be moved
    fields = {name: getattr(settings, name) for name in ("faces", "min_face", "align")}
    how = {"flip": flip_of(stored_card(model_path)), "input_size": settings.input_size}
    return {"input": place, "embedder": fingerprint(model_path)[:16]} | fields | how


def idle_flags(pile: "Pile", new: int, settings: Settings) -> str:
    """Returns the flags that were given and change nothing, where no photo is new and all are grouped."""
    if new or (pile.labels < -1).any():
        return ""
    idle = typed_names(settings) & {"far", "cut", "method", *(["files"] if pile.placed.all() else [])}
    return " and ".join(f"--{name}" for name in sorted(idle))


def note(skipped: "dict[str, tuple[int, str]]") -> str:
    """Returns what was not looked at, in words."""
    return "".join(f"; {number:,} {reason} skipped, as {name!r}" for reason, (number, name) in skipped.items())


def group_new(pile: "Pile", todo: Sequence[str], model_path: Path, settings: Settings) -> None:
    """Sees and groups what is new, and saves it."""
    from utils.cropping import recorded_alignment
    from utils.embedder import Embedder
    from utils.grouping import Basis, continued

    embedder = Embedder.load(model_path, settings.input_size or None)
    say(f"embedder {named(model_path, settings.model_path)}")
    say(embedder.crop_photos(settings.align, recorded_alignment(settings.input[0])).describe())
    basis = Basis.of(embedder)
    choose_cut(basis, len(pile.photos) + len(todo), settings)  # a card that says nothing is refused here
    look(pile, todo, embedder, basis, settings)
    cut, words = choose_cut(basis, len(pile.labels), settings)
    pile.relabel(continued(pile.embeddings, pile.labels, cut, settings.method, "comparing"))
    pile.origin["how"] = f"{settings.method.replace('_', ' ')}, cut at the squared distance {cut:.3f}: {words}"
    pile.save(Path(settings.output))
    say(pile.origin["how"])


def choose_cut(basis: "Basis", faces: int, settings: Settings) -> tuple[float, str]:
    """Returns the cut for so many faces, and what it rests on, in words."""
    from utils.grouping import usual_rate

    if settings.cut:
        return settings.cut, "as given with --cut"
    return basis.cut(settings.far or usual_rate(settings.method, faces))


def look(pile: "Pile", todo: Sequence[str], embedder: "Embedder", basis: "Basis", settings: Settings) -> None:
    """Puts what is seen on the photos into the pile, and saves it as the work goes on."""
    from utils.photo_faces import FaceReader
    from utils.terminal import progress_bar

    reader = FaceReader(embedder, settings.faces == "all", settings.min_face, basis.flip)
    with progress_bar(total=len(todo), desc="looking", unit=" photos") as bar:
        for first in range(0, len(todo), CHUNK):
            part, seen = todo[first : first + CHUNK], []
            for some in reader.read([os.path.join(settings.input[0], photo) for photo in part]):
                seen += some
                bar.update(len(some))
            pile.add(part, seen)
            if len(pile.labels):
                pile.save(Path(settings.output))
    if not len(pile.labels):
        reason = pile.problems[0]
        raise UserError(
            f"no face in any of the {len(pile.photos):,} photos of {settings.input[0]}; the first: {reason}"
        )


def write(pile: "Pile", source: Path, output: Path, settings: Settings) -> None:
    """Writes folders, table and page, and prints what is there."""
    import numpy as np

    from utils.clustering import distances_to_groups
    from utils.group_folders import TABLE, folder_names, place, write_table
    from utils.groups_page import write_page

    names = folder_names(output, np.unique(pile.labels[pile.labels >= 0]).tolist())
    if settings.files != "none":
        placed = place(pile, source, output, names, settings.files)
        pile.save(output)
        say(f"{placed:,} photos put into the folders of {output} ({settings.files})")
    write_table(pile, output / TABLE, names, distances_to_groups(pile.embeddings, pile.labels))
    lines = summary(pile)
    write_page(output / "index.html", pile, source, names, [*lines, pile.origin["how"]])
    for line in lines:
        say(line)
    print(f"page   {output / 'index.html'}\ntable  {output / TABLE}")


def summary(pile: "Pile") -> list[str]:
    """Returns what was found, in lines."""
    import numpy as np

    from utils.alignment_log import NO_FACE

    sizes = np.bincount(pile.labels[pile.labels >= 0])
    bare = [problem for problem in pile.problems if problem]
    unread = [problem for problem in bare if problem != NO_FACE]
    photos = f"photos: {len(pile.photos) - len(bare):,} with faces, {len(bare) - len(unread):,} without"
    return [
        f"{len(sizes):,} groups with {sizes.sum():,} of {len(pile.labels):,} faces, the largest of"
        f" {sizes.max(initial=0):,}; in none: {(pile.labels < 0).sum():,}",
        photos + (f", {len(unread):,} unusable, the first: {unread[0]}" if unread else ""),
    ]


if __name__ == "__main__":
    run_script(main, Settings)
