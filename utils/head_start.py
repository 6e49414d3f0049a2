"""Where a head begins that is to tell people apart whom weights can tell apart already: at their mean embeddings."""

import os

import numpy as np

from utils.alignment import Alignment
from utils.annotations import Annotations
from utils.embedder import Embedder
from utils.identities import sums_by_label, unit
from utils.settings import UserError
from utils.teacher import Teacher
from utils.terminal import progress_bar, say

EACH = 10  # photos of a person, evenly spread: what more of them add to a mean is little


def means_of(path: str | os.PathLike[str], people: Annotations, alignment: str | None) -> np.ndarray:
    """Returns float32 `(people, D)` of unit length: the mean of each person's embeddings; 0 where no photo can be read.

    Args:
        path: of the embedder, which sees of a photo what it saw in its own training.
        people: whose photos are embedded, ten of each.
        alignment: how they were cropped, where that is known.

    Raises UserError as `Embedder.load`, and for crops of which what the embedder sees cannot be cut.
    """
    embedder = Embedder.load(path)
    try:
        if alignment and embedder.alignment:
            embedder.crop_photos("auto", Alignment.parse(alignment))
    except UserError as error:
        raise UserError(f"{error}, so that --head_start takes random") from error
    rows = _spread(people.starts)
    with progress_bar(total=sum(map(len, rows)), desc="people") as bar:
        embeddings, unreadable = Teacher(embedder).embed(
            [people.path(row) for row in np.concatenate(rows).tolist()], bar.update
        )
    for reason in list(unreadable.values())[:5]:
        say(f"not in its person's mean: {reason}")
    labels = np.repeat(np.arange(len(rows)), [len(some) for some in rows])
    return unit(sums_by_label(embeddings, labels, len(rows)))


def _spread(starts: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of at most `EACH` photos of each person, evenly spread over all of theirs."""
    pairs = zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    return [np.linspace(first, end - 1, min(EACH, end - first)).astype(int) for first, end in pairs]
