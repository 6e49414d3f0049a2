"""A teacher that is shown what the student is shown, in each step, in place of each photo once."""

from typing import Any

import keras
from keras import ops

from nets.augment import Augment, Box

SEEN_BY_TEACHER, NOBODY = "Teacher", "Nobody"  # among a trainer's outputs in training


class Teaching(keras.layers.Layer):
    """Embeddings of a frozen network: pixels 0..255, RGB `(B, h, w, 3)`, become float32 `(B, D)` of unit length.

    No gradient goes through it. Source: Beyer et al. 2022, arXiv:2106.05237 (teacher and student see the same view).

    Args:
        network: the teacher, `(B, h, w, 3)` to `(B, E)` of any length.
        box: the part of a photo that it is shown: left, top, right, bottom as fractions.
        offset: `(E,)`, taken off its unit vectors.
        directions: `(E, D)`, on which they are then laid; None: D is E.
    """

    def __init__(self, network: keras.Model, box: Box, offset: Any, directions: Any = None):
        super().__init__(dtype="float32", name="teacher", trainable=False)
        network.trainable = False
        self.network, self.box, self.offset, self.directions = network, box, offset, directions
        self.built = True

    def call(self, pixels: Any) -> Any:
        """Returns what a student is to imitate."""
        vectors = ops.normalize(ops.cast(self.network(pixels, training=False), "float32")) - self.offset
        vectors = vectors if self.directions is None else ops.matmul(vectors, self.directions)
        return ops.stop_gradient(ops.normalize(vectors))

    def view(self, augment: Augment, photos: Any) -> tuple[Any, dict[str, Any]]:
        """Returns (varied images for the student, what the teacher says: `SEEN_BY_TEACHER` and `NOBODY`)."""
        images, shown, nobody = augment.with_teacher(photos, self.box, tuple(self.network.input_shape[1:3]))
        return images, {SEEN_BY_TEACHER: self(shown), NOBODY: nobody}


def told(targets: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns both, what the teacher said being among the targets: "teacher", and label -1 for who became nobody."""
    if SEEN_BY_TEACHER not in outputs:
        return targets, outputs
    label = ops.where(outputs[NOBODY], -1, targets["label"])
    rest = {name: tensor for name, tensor in outputs.items() if name not in (SEEN_BY_TEACHER, NOBODY)}
    return targets | {"label": label, "teacher": outputs[SEEN_BY_TEACHER]}, rest
