"""Which images of a batch are held against which: masks and choices, without a gradient.

Matrices are `(B, B)`: a row for each anchor, a column for each other image. Label -1 is an image of nobody: it is
neither a positive nor a negative. Of other labels only their equality counts.
"""

from typing import Any

import keras
from keras import ops

FAR_OFF = 1e9  # stands for the distance of what must not be chosen


def relations(labels: Any) -> tuple[Any, Any]:
    """Returns bool (same, different), `(B, B)` each: other images of the anchor's person; images of other people."""
    rows, columns = ops.expand_dims(labels, 1), ops.expand_dims(labels, 0)
    labelled = ops.logical_and(rows >= 0, columns >= 0)
    equal = ops.equal(rows, columns)
    itself = ops.eye(ops.shape(labels)[0], dtype="bool")
    same = ops.logical_and(labelled, ops.logical_and(equal, ops.logical_not(itself)))
    return same, ops.logical_and(labelled, ops.logical_not(equal))


def semi_hard_negatives(distances: Any, different: Any) -> Any:
    """Returns int `(B, B)`: for the pair [anchor, positive], the nearest negative that is farther than the positive.

    Where every negative is nearer than the positive, the farthest negative, as in TensorFlow's
    `triplet_semihard_loss`. Source: Schroff et al. 2015, arXiv:1503.03832, section 3.2.
    """
    distances = ops.stop_gradient(distances)
    farther = ops.logical_and(_over_negatives(different), _over_negatives(distances) > _over_positives(distances))
    nearest = ops.argmin(ops.where(farther, _over_negatives(distances), FAR_OFF), axis=2)
    farthest = ops.argmax(ops.where(different, distances, -FAR_OFF), axis=1, keepdims=True)
    return ops.where(ops.any(farther, axis=2), nearest, farthest)


def drawn_negatives(distances: Any, different: Any, margin: float, seed: Any) -> tuple[Any, Any]:
    """Returns (int `(B, B)`, bool `(B, B)`): a negative for each pair [anchor, positive]; whether there is one.

    It is one of those that violate the margin, `|a - n|^2 < |a - p|^2 + margin`, each as likely as the others.

    Args:
        seed: `keras.random.SeedGenerator`, whose state moves on.

    Source: davidsandberg/facenet, `select_triplets` ("VGG Face selection").
    """
    violates = violations(ops.stop_gradient(distances), different, margin)
    count = ops.shape(distances)[0]
    draws = keras.random.uniform((2, count, count), seed=seed)
    # The largest of independent draws; turned by one more for each pair, or an anchor's pairs would share a negative.
    draws = (_over_negatives(draws[0]) + _over_positives(draws[1])) % 1.0
    return ops.argmax(ops.where(violates, draws, -1.0), axis=2), ops.any(violates, axis=2)


def violations(distances: Any, different: Any, margin: float) -> Any:
    """Returns bool `(B, B, B)`, [anchor, positive, negative]: whether this negative violates the margin.

    The positive may be anything; under XLA the cube is never written down, it is reduced as it is made.
    """
    near = _over_negatives(distances) < _over_positives(distances) + margin
    return ops.logical_and(_over_negatives(different), near)


def _over_positives(matrix: Any) -> Any:
    return ops.expand_dims(matrix, 2)


def _over_negatives(matrix: Any) -> Any:
    return ops.expand_dims(matrix, 1)
