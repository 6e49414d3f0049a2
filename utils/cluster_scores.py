"""How good groups of photos are, against who is on them: pairwise and B-cubed precision, recall and F."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]


class Scores(NamedTuple):
    """Precision, recall and their harmonic mean, each 0..1."""

    precision: float
    recall: float

    @property
    def f(self) -> float:
        """2 P R / (P + R); 0 where both are."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def pairwise(groups: Labels, people: Labels) -> Scores:
    """Returns the scores over pairs of photos: put together and of one person, of those together, of those of one.

    groups (N,) and people (N,) are numbers of any kind; a group of -1 is a photo alone. Where nothing was put
    together, nothing was put together wrongly: the precision is 1; so is the recall where nobody has two photos.
    """
    cells, of_group, of_person = _counts(groups, people)
    right, together, of_one = (float((c * (c - 1.0)).sum()) for c in (cells, of_group, of_person))
    return Scores(right / together if together else 1.0, right / of_one if of_one else 1.0)


def b_cubed(groups: Labels, people: Labels) -> Scores:
    """Returns the means over photos (Bagga and Baldwin 1998): each counts once, however large its group or person.

    Precision: share of the photo's group, itself with it, that shows its person; recall: share of its person's photos
    that are in its group. groups and people as in `pairwise`.
    """
    cells, of_group, of_person = _counts(groups, people, per_cell=True)
    photos = max(1.0, float(cells.sum()))
    return Scores(float((cells**2 / of_group).sum() / photos), float((cells**2 / of_person).sum() / photos))


def _counts(
    groups: Labels, people: Labels, per_cell: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Returns the photos of each (group, person) that occurs, of the groups and of the people (`per_cell`: of its)."""
    groups = np.asarray(groups).astype(np.int64)
    alone = groups < 0
    groups[alone] = groups.max(initial=0) + 1 + np.arange(alone.sum())
    group, person = (np.unique(labels, return_inverse=True)[1] for labels in (groups, people))
    cell, cells = np.unique(np.stack([group, person]), axis=1, return_counts=True)
    of_group, of_person = np.bincount(group).astype(np.float64), np.bincount(person).astype(np.float64)
    if per_cell:
        of_group, of_person = of_group[cell[0]], of_person[cell[1]]
    return cells.astype(np.float64), of_group, of_person
