"""Figures that show how a training fares: of one batch's embeddings, and of its gradients. They change nothing."""

from typing import Any

import keras
from keras import ops

from nets.losses import squared_distances
from nets.mining import relations

GRADIENT_NORM = "gradient_norm"


def pair_distances(labels: Any, embeddings: Any) -> dict[str, tuple[Any, Any]]:
    """Returns {"same_distance", "different_distance"}: (mean squared distance, number of pairs), 0 where there is none.

    labels int `(B,)`, embeddings `(B, D)` of unit length. Strangers' distances near 2 are as wide as they come; near
    0, with those of the same, all is one point.
    """
    distances, (same, different) = squared_distances(ops.stop_gradient(embeddings)), relations(labels)
    return {"same_distance": _mean(distances, same), "different_distance": _mean(distances, different)}


def effective_rank(embeddings: Any) -> Any:
    """Returns over how many directions the embeddings `(B, D)` spread evenly, 0..min(B - 1, D); 0 in one point.

    The participation ratio of the covariance's eigenvalues, `(sum l)^2 / sum l^2`, without computing them. B draws of
    an even spread over D directions show about `1 / (1 / D + 1 / B)`: 55 for 96 images and 128 directions.

    Source: Bell and Dean 1970, Discuss. Faraday Soc. 50, 55 (the ratio, of atoms' vibrations).
    """
    embeddings = ops.cast(ops.stop_gradient(embeddings), "float32")
    away = embeddings - ops.mean(embeddings, axis=0, keepdims=True)
    products = ops.matmul(away, ops.transpose(away))
    return ops.square(ops.trace(products)) / ops.maximum(ops.sum(ops.square(products)), 1e-12)


def note_gradient_norm(optimizer: keras.optimizers.Optimizer) -> None:
    """Has an optimizer that is not built yet keep the length of each step's gradients, for `gradient_norm`.

    It is one of the optimizer's variables: under JAX, what a step leaves elsewhere is lost.
    """
    norm = optimizer.add_variable((), dtype="float32", aggregation="mean", name=GRADIENT_NORM)
    apply = optimizer.apply

    def noted(gradients: Any, trainable_variables: Any = None) -> Any:
        squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients if g is not None]
        norm.assign(ops.sqrt(sum(squares)))
        return apply(gradients, trainable_variables)

    optimizer.apply = noted


def gradient_norm(optimizer: keras.optimizers.Optimizer) -> float:
    """Returns the length of the last step's gradients, all weights together, before any clipping; 0 before a step.

    Under JAX it is up to date at the end of an epoch.
    """
    (norm,) = [v for v in optimizer.variables if v.name == GRADIENT_NORM]
    return float(ops.convert_to_numpy(norm))


def _mean(distances: Any, mask: Any) -> tuple[Any, Any]:
    number = ops.sum(ops.cast(mask, "float32"))
    return ops.sum(ops.where(mask, distances, 0.0)) / ops.maximum(number, 1.0), number
