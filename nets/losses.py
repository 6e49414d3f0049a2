"""Losses: pure functions of labels and outputs. Distances are squared Euclidean between unit vectors (0..4)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

FAR_OFF = 1e9  # added to what must not be chosen


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


def triplet(labels: Any, embeddings: Any, margin: float = 0.2) -> tuple[Any, Any]:
    """Triplet loss on triples as sampled: `max(0, |a - p|^2 - |a - n|^2 + margin)`, averaged over the violating ones.

    Args:
        labels: not looked at; the places say who is who.
        embeddings: `(3n, D)` of unit length; anchors, positives, negatives lie in thirds.

    Returns:
        (loss, share of triples that violate the margin), scalars.

    Source: Schroff et al. 2015, arXiv:1503.03832, equation 2; the mean over violating ones as in
    davidsandberg/facenet.
    """
    anchor, positive, negative = thirds(embeddings)
    return mean_of_violating(squared_distance(anchor, positive) - squared_distance(anchor, negative) + margin)


def contrastive(labels: Any, embeddings: Any, margin: float = 0.2, temperature: float = 0.2) -> tuple[Any, Any]:
    """Supervised contrastive loss: every image of the batch finds its person's others among all other images.

    For image i with positives P(i), the mean over i and over p in P(i) of `-log softmax_p(cos(i, .) / temperature)`,
    the softmax going over all images but i; images without a positive count as negatives only.

    Args:
        labels: int `(B,)`.
        embeddings: `(B, D)` of unit length.
        margin: squared distance, for the share only.

    Returns:
        (loss, share of the images with a positive whose farthest positive and nearest negative violate the margin).

    Source: Khosla et al. 2020, arXiv:2004.11362, equation 2 (L_out).
    """
    embeddings = ops.cast(embeddings, "float32")
    cosines = ops.matmul(embeddings, ops.transpose(embeddings))
    itself = ops.eye(ops.shape(embeddings)[0], dtype="float32")
    same = ops.cast(ops.equal(labels[:, None], labels[None, :]), "float32")
    positive, positives = same - itself, ops.sum(same, axis=1) - 1.0
    logits = cosines / temperature - FAR_OFF * itself
    log_share = logits - ops.logsumexp(logits, axis=1, keepdims=True)
    has = ops.cast(positives > 0.0, "float32")
    each = -ops.sum(positive * log_share, axis=1) / ops.maximum(positives, 1.0)
    nearest_negative = ops.max(cosines - FAR_OFF * same, axis=1)
    farthest_positive = ops.min(cosines + FAR_OFF * (1.0 - positive), axis=1)
    violates = ops.cast(2.0 * (nearest_negative - farthest_positive) + margin > 0.0, "float32")
    count = ops.maximum(ops.sum(has), 1.0)
    return ops.sum(each * has) / count, ops.sum(violates * has) / count


METRIC_LOSSES: dict[str, Callable[..., tuple[Any, Any]]] = {"triplet": triplet, "contrastive": contrastive}


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Returns the mean cross-entropy of `logits (B, C)` at integer `labels (B,)`, from logits, in float32."""
    return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def accuracy(labels: Any, logits: Any) -> Any:
    """Returns the share of rows whose largest logit is their label's."""
    hits = ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int32"))
    return ops.mean(ops.cast(hits, "float32"))


def combined(
    name: str, metric_weight: float, cross_entropy_weight: float, **options: float
) -> tuple[Callable[..., dict[str, Any]], tuple[str, ...]]:
    """Returns an objective `(labels (B,), logits (B, C), embeddings (B, D)) -> {figure: scalar}`, and its figures.

    "loss" is the weighted sum of the metric loss `name` of `METRIC_LOSSES` (figure `name`, and "violating") and of
    "cross_entropy"; "accuracy" is the classifier's, on the people it is trained on (both are left out at weight 0).
    `options` are the metric loss's.
    """
    metric_loss = METRIC_LOSSES[name]

    def objective(labels: Any, logits: Any, embeddings: Any) -> dict[str, Any]:
        distance_loss, violating = metric_loss(labels, embeddings, **options)
        figures = {"loss": metric_weight * distance_loss, name: distance_loss, "violating": violating}
        if cross_entropy_weight:
            entropy = cross_entropy(labels, logits)
            figures["loss"] = figures["loss"] + cross_entropy_weight * entropy
            figures |= {"cross_entropy": entropy, "accuracy": accuracy(labels, logits)}
        return figures

    classified = ("cross_entropy", "accuracy") if cross_entropy_weight else ()
    return objective, ("loss", name, "violating", *classified)
