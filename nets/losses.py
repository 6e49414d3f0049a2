"""Losses: pure functions of labels and outputs. Distances are squared Euclidean between unit vectors (0..4).

Images of label -1 are left out. Where nothing is left, a loss is 0 and so is its gradient.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from nets.mining import FAR_OFF, drawn_negatives, relations, semi_hard_negatives, violations


def thirds(embeddings: Any) -> tuple[Any, Any, Any]:
    """Splits a batch of triples `(3n, ...)` into anchors, positives, negatives, `(n, ...)` each."""
    return tuple(ops.split(embeddings, 3, axis=0))


def squared_distance(a: Any, b: Any) -> Any:
    """Returns `|a - b|^2` along the last axis, in float32. No square root: its gradient is infinite at 0."""
    return ops.sum(ops.square(ops.cast(a, "float32") - ops.cast(b, "float32")), axis=-1)


def squared_distances(embeddings: Any) -> Any:
    """Returns `(B, B)`: squared distances between all embeddings `(B, D)` of unit length, in float32."""
    embeddings = ops.cast(embeddings, "float32")
    return 2.0 - 2.0 * ops.matmul(embeddings, ops.transpose(embeddings))


def mean_of_violating(differences: Any, counted: Any) -> tuple[Any, Any]:
    """Returns (mean of the positive ones among the `counted`, their share of these); 0 where there is none.

    Args:
        differences: `|a - p|^2 - |a - n|^2 + margin`, of any shape.
        counted: bool of that shape.
    """
    active = ops.logical_and(counted, ops.logical_not(differences <= 0.0))  # what is no number stays in sight
    number = _number(active)
    return ops.sum(ops.where(active, differences, 0.0)) / ops.maximum(number, 1.0), number / _at_least_1(counted)


def triplet(labels: Any, embeddings: Any, margin: float = 0.2) -> tuple[Any, Any]:
    """Triplet loss on triples as sampled: `max(0, |a - p|^2 - |a - n|^2 + margin)`, averaged over the violating ones.

    Args:
        labels: int `(3n,)`; only whether they are -1 is looked at, the places say who is who.
        embeddings: `(3n, D)` of unit length; anchors, positives, negatives lie in thirds.

    Returns:
        (loss, share of triples that violate the margin), scalars.

    Source: Schroff et al. 2015, arXiv:1503.03832, equation 2; the mean over violating ones as in
    davidsandberg/facenet.
    """
    anchor, positive, negative = thirds(embeddings)
    labelled = ops.all(ops.reshape(labels, (3, -1)) >= 0, axis=0)
    differences = squared_distance(anchor, positive) - squared_distance(anchor, negative) + margin
    return mean_of_violating(differences, labelled)


def semi_hard(labels: Any, embeddings: Any, margin: float = 0.2) -> tuple[Any, Any]:
    """Triplet loss of every pair of the batch against its semi-hard negative, averaged over the violating ones.

    The negative is the nearest that is farther than the positive; where that one is beyond the margin the pair is
    content. Where all negatives are nearer than the positive, it is the farthest of them.

    labels int `(B,)`, -1 nobody's; embeddings `(B, D)` of unit length; margin of squared distances.

    Returns:
        (loss, share of pairs that violate the margin against their negative), scalars.

    Source: Schroff et al. 2015, arXiv:1503.03832, section 3.2.
    """
    distances, (same, different) = squared_distances(embeddings), relations(labels)
    negatives = ops.take_along_axis(distances, semi_hard_negatives(distances, different), axis=1)
    return mean_of_violating(distances - negatives + margin, _with(same, ops.any(different, axis=1)))


def any_violating(labels: Any, embeddings: Any, margin: float = 0.2, *, seed: Any) -> tuple[Any, Any]:
    """Triplet loss of every pair of the batch against one of the negatives that violate the margin, drawn at random.

    Nearer than the positive or not: a looser rule than `semi_hard`. Averaged over the pairs that have such a negative.

    labels int `(B,)`, -1 nobody's; embeddings `(B, D)` of unit length; margin of squared distances.

    Args:
        seed: `keras.random.SeedGenerator`.

    Returns:
        (loss, share of pairs that have such a negative), scalars.

    Source: davidsandberg/facenet, `select_triplets`.
    """
    distances, (same, different) = squared_distances(embeddings), relations(labels)
    chosen, found = drawn_negatives(distances, different, margin, seed)
    differences = distances - ops.take_along_axis(distances, chosen, axis=1) + margin
    counted = _with(same, ops.any(different, axis=1))
    content = 0.0 * distances  # no number where the distance is none
    return mean_of_violating(ops.where(found, differences, content), counted)


def batch_hard(labels: Any, embeddings: Any, margin: float = 0.2) -> tuple[Any, Any]:
    """Triplet loss of every anchor's farthest positive against its nearest negative, averaged over the anchors.

    From random weights it can draw all embeddings into one point (loss = margin): begin with another loss.

    labels int `(B,)`, -1 nobody's; embeddings `(B, D)` of unit length; margin of squared distances.

    Returns:
        (loss, share of anchors that violate the margin), over anchors with a positive and a negative.

    Source: Hermans et al. 2017, arXiv:1703.07737, equation 5, with squared distances.
    """
    distances, (same, different) = squared_distances(embeddings), relations(labels)
    farthest_positive = ops.max(ops.where(same, distances, -FAR_OFF), axis=1)
    nearest_negative = ops.min(ops.where(different, distances, FAR_OFF), axis=1)
    counted = ops.logical_and(ops.any(same, axis=1), ops.any(different, axis=1))
    mean, share = mean_of_violating(farthest_positive - nearest_negative + margin, counted)
    return mean * share, share


def batch_all(labels: Any, embeddings: Any, margin: float = 0.2) -> tuple[Any, Any]:
    """Triplet loss over all triples of the batch, averaged over the violating ones.

    Each term is a difference of two of the B^2 distances, so the sum over the triples is a sum over pairs, each as
    often as it occurs: no B^3 gradient.

    labels int `(B,)`, -1 nobody's; embeddings `(B, D)` of unit length; margin of squared distances.

    Returns:
        (loss, share of triples that violate the margin), scalars.

    Source: Hermans et al. 2017, arXiv:1703.07737, equation 6, its mean over the terms that are not 0.
    """
    distances, (same, different) = squared_distances(embeddings), relations(labels)
    triples = ops.logical_and(violations(ops.stop_gradient(distances), different, margin), ops.expand_dims(same, 2))
    as_positive, as_negative = _number(triples, axis=2), _number(triples, axis=1)
    number = ops.sum(as_positive)
    total = ops.sum(distances * (as_positive - as_negative)) + margin * number
    possible = ops.sum(_number(same, axis=1) * _number(different, axis=1))
    return total / ops.maximum(number, 1.0), number / ops.maximum(possible, 1.0)


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
    distances, (same, different) = squared_distances(embeddings), relations(labels)
    cosines = 1.0 - 0.5 * distances
    logits = ops.where(ops.logical_or(same, different), cosines / temperature, -FAR_OFF)
    log_share = logits - ops.logsumexp(logits, axis=1, keepdims=True)
    each = -ops.sum(ops.where(same, log_share, 0.0), axis=1) / ops.maximum(_number(same, axis=1), 1.0)
    has = ops.any(same, axis=1)
    farthest_positive = ops.max(ops.where(same, distances, -FAR_OFF), axis=1)
    nearest_negative = ops.min(ops.where(different, distances, FAR_OFF), axis=1)
    violates = ops.logical_and(has, farthest_positive - nearest_negative + margin > 0.0)
    return ops.sum(ops.where(has, each, 0.0)) / _at_least_1(has), _number(violates) / _at_least_1(has)


METRIC_LOSSES: dict[str, Callable[..., tuple[Any, Any]]] = {
    "triplet": triplet,
    "semi_hard": semi_hard,
    "any_violating": any_violating,
    "batch_hard": batch_hard,
    "batch_all": batch_all,
    "contrastive": contrastive,
}


def cross_entropy(labels: Any, logits: Any, smoothing: float = 0.0) -> Any:
    """Returns the mean cross-entropy of `logits (B, C)` at integer `labels (B,)`, from logits, in float32.

    Args:
        smoothing: share of each target that is spread evenly over all C (Szegedy et al. 2016, arXiv:1512.00567, 7).
    """
    logits = ops.cast(logits, "float32")
    target = at_label(labels, logits)
    if smoothing:
        target = (1.0 - smoothing) * target + smoothing * ops.mean(logits, axis=1)
    return mean_of_labelled(labels, ops.logsumexp(logits, axis=1) - target)


def accuracy(labels: Any, logits: Any) -> Any:
    """Returns the share of labelled rows whose largest logit `(B, people)` is their label's `(B,)`."""
    hits = ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int32"))
    return mean_of_labelled(labels, ops.cast(hits, "float32"))


def own_columns(labels: Any, matrix: Any) -> Any:
    """Returns bool `(B, C)`: where each row of a matrix `(B, C)` has the column of its label; nowhere for -1."""
    return ops.equal(ops.expand_dims(ops.cast(labels, "int32"), 1), ops.arange(ops.shape(matrix)[1], dtype="int32"))


def at_label(labels: Any, matrix: Any) -> Any:
    """Returns `(B,)`: each row's entry at its label, 0 for -1. (No gather: this has a gradient on every backend.)"""
    return ops.sum(ops.where(own_columns(labels, matrix), matrix, 0.0), axis=1)


def mean_of_labelled(labels: Any, values: Any) -> Any:
    """Returns the mean of values `(B,)` whose label is not -1; 0 where there is none."""
    labelled = labels >= 0
    return ops.sum(ops.where(labelled, values, 0.0)) / _at_least_1(labelled)


def _with(pairs: Any, anchors: Any) -> Any:
    """Returns the pairs `(B, B)` whose anchor is among `anchors (B,)`."""
    return ops.logical_and(pairs, ops.expand_dims(anchors, 1))


def _number(mask: Any, axis: int | None = None) -> Any:
    return ops.sum(ops.cast(mask, "float32"), axis=axis)


def _at_least_1(mask: Any) -> Any:
    return ops.maximum(_number(mask), 1.0)
