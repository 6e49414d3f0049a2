"""Losses: pure functions of labels and outputs. Distances are squared Euclidean between unit vectors (0..4)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def thirds(embeddings: Any) -> tuple[Any, Any, Any]:
    """Splits a batch of triples `(3n, D)` into anchors, positives, negatives, `(n, D)` each."""
    return tuple(ops.split(embeddings, 3, axis=0))


def squared_distance(a: Any, b: Any) -> Any:
    """Returns `|a - b|^2` along the last axis. No square root: its gradient is infinite at 0."""
    return ops.sum(ops.square(a - b), axis=-1)


def mean_of_violating(violations: Any) -> tuple[Any, Any]:
    """Returns (mean of the positive entries, their share); both are 0, with zero gradient, where there is none."""
    violations = ops.maximum(violations, 0.0)
    active = ops.cast(violations > 0.0, violations.dtype)
    return ops.sum(violations) / ops.maximum(ops.sum(active), 1.0), ops.mean(active)


def triplet(embeddings: Any, margin: float = 0.2) -> tuple[Any, Any]:
    """Triplet loss on triples as sampled: `max(0, |a - p|^2 - |a - n|^2 + margin)`, averaged over the violating ones.

    Args:
        embeddings: `(3n, D)` of unit length; anchors, positives, negatives lie in thirds.

    Returns:
        (loss, share of triples that violate the margin), scalars.

    Source: Schroff et al. 2015, arXiv:1503.03832, equation 2; the mean over violating ones as in
    davidsandberg/facenet.
    """
    anchor, positive, negative = thirds(embeddings)
    return mean_of_violating(squared_distance(anchor, positive) - squared_distance(anchor, negative) + margin)


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Returns the mean cross-entropy of `logits (B, C)` at integer `labels (B,)`, from logits, in float32."""
    return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def accuracy(labels: Any, logits: Any) -> Any:
    """Returns the share of rows whose largest logit is their label's."""
    hits = ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int32"))
    return ops.mean(ops.cast(hits, "float32"))


FIGURES = ("loss", "triplet", "cross_entropy", "accuracy", "violating")


def combined(triplet_weight: float, cross_entropy_weight: float, margin: float) -> Callable[..., dict[str, Any]]:
    """Returns `(labels (B,), logits (B, C), embeddings (B, D)) -> {name: scalar}` with the names of `FIGURES`.

    "loss" is the weighted sum of triplet loss and cross-entropy; "violating" the share of triples that violate
    the margin; "accuracy" that of the classifier, on the people it is trained on.
    """

    def objective(labels: Any, logits: Any, embeddings: Any) -> dict[str, Any]:
        distance_loss, violating = triplet(embeddings, margin)
        entropy = cross_entropy(labels, logits)
        return {
            "loss": triplet_weight * distance_loss + cross_entropy_weight * entropy,
            "triplet": distance_loss,
            "cross_entropy": entropy,
            "accuracy": accuracy(labels, logits),
            "violating": violating,
        }

    return objective
