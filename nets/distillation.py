"""Distillation: a small embedder learns from the embeddings of a large one. Pure functions of both."""

from collections.abc import Callable
from typing import Any

from keras import ops


def imitation(targets: Any, embeddings: Any) -> Any:
    """Returns the mean squared distance between the teacher's embeddings `(B, D)` and the student's `(B, D)`, 0..4.

    Both of unit length, so this is 2 less twice the mean cosine. It needs no label. Sources: Hinton, Vinyals and Dean
    2015, arXiv:1503.02531 (learning from a teacher); Romero et al. 2015, arXiv:1412.6550, equation 3 (its features).

    Raises:
        ValueError: the two are of different widths; `relation` takes those, `utils.targets.narrowing` avoids it.
    """
    _same_width(targets, embeddings)
    distances = ops.sum(ops.square(_float32(targets) - _float32(embeddings)), axis=-1)
    return ops.mean(distances)


def relation(targets: Any, embeddings: Any) -> Any:
    """Returns how far the batch's cosines among themselves are from the teacher's: the mean squared difference, 0..4.

    Over all pairs of two images, the cosine of the student's embeddings `(B, D)` less that of the teacher's `(B, E)`,
    squared; a batch of one has no pair and gives 0. Widths may differ: what is learnt is who is near whom, not where.
    Source: Tung and Mori 2019, arXiv:1907.09682, equation 4 (similarity-preserving distillation), with cosines in place
    of their row-normalised products, as in Park et al. 2019, arXiv:1904.05068 (relational distillation).
    """
    difference = _cosines(targets) - _cosines(embeddings)  # 0 on the diagonal
    number = ops.cast(ops.shape(embeddings)[0], "float32")
    return ops.sum(ops.square(difference)) / ops.maximum(number * (number - 1.0), 1.0)


def contrast(targets: Any, embeddings: Any, temperature: float = 0.1) -> Any:
    """Returns how badly each embedding finds the image's own place among the teacher's embeddings of the batch.

    A softmax over the batch of the cosines between one student's embedding and all teacher's `(B, D)`, divided by the
    temperature, is to be the teacher's own softmax among themselves: their cross-entropy, mean over images. Unlike
    `imitation` it is not content with what all people share, where most of a distance's gradient goes at first.
    Source: Fang et al. 2021, arXiv:2101.04731, equation 4 (SEED), with the batch for their queue; the idea is that of
    Tian et al. 2020, arXiv:1910.10699.

    Raises:
        ValueError: the two are of different widths, or the temperature is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"temperature is above 0; received {temperature}")
    _same_width(targets, embeddings)
    targets, embeddings = _float32(targets), _float32(embeddings)
    teacher = ops.softmax(ops.matmul(targets, ops.transpose(targets)) / temperature, axis=-1)
    student = ops.log_softmax(ops.matmul(embeddings, ops.transpose(targets)) / temperature, axis=-1)
    return -ops.mean(ops.sum(teacher * student, axis=-1))


def _same_width(targets: Any, embeddings: Any) -> None:
    if targets.shape[-1] != embeddings.shape[-1]:
        raise ValueError(f"imitation takes embeddings of one width; received {targets.shape} and {embeddings.shape}")


def _cosines(embeddings: Any) -> Any:
    embeddings = _float32(embeddings)
    return ops.matmul(embeddings, ops.transpose(embeddings))


def _float32(embeddings: Any) -> Any:
    return ops.cast(embeddings, "float32")


# name -> (teacher's embeddings (B, E), student's (B, D)) -> loss
WAYS: dict[str, Callable[..., Any]] = {"distance": imitation, "relation": relation, "contrast": contrast}
