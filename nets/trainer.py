"""The model that `fit` trains: a network of mode "train" with its objective. It exists in training only."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import keras
from keras import ops

from nets.class_sample import ClassSample
from nets.diagnosis import effective_rank, gradient_norm, note_gradient_norm, pair_distances
from nets.facenet import SEEN, training_outputs
from nets.layers import mirrors, rows_of, whole_batch
from nets.objective import Objective
from nets.teaching import Teaching, told

ASIDE = ("Logits", "Norm", "People", SEEN)  # outputs that no part of an objective looks at which needs all images


class Trainer(keras.Model):
    """A network of mode "train" with its objective, under any backend's `fit`.

    The named output "Softmax" is what users see; the loss is computed from the logits before it (cross-entropy on
    probabilities loses its gradient where they round to 0). Targets are int32 labels `(B,)`, or a dict of them
    ("label") and of a teacher's embeddings ("teacher"); label -1 is an image of nobody.

    Figures of an epoch, beside the objective's: "same_distance" and "different_distance", mean squared distances within
    a batch, and "effective_rank" of its embeddings.

    Args:
        network: of `facenet(mode="train")`.
        steps: of the whole run; margins and scales rise with the share of them that is done.
        augment: a layer applied to the images first; it knows whether it is training.
        shard: of a batch that comes in shards of several devices, the sizes of a shard's parts (anchors, positives,
            negatives); empty: it comes as it was drawn. The objective is given all of it, as it was drawn: mining sees
            the whole batch.
        sample: of the people, for the cross-entropy; None: all of them.
        teacher: that sees what `augment` makes of each image; None: targets hold its embeddings, if there is one.

    Raises:
        ValueError: a teacher that is to see varied images, and nothing that varies them.

    Attributes:
        resolution: pixels, square, to which a training step scales its images down; None: as they come. It is part of
            the compiled step: `train_at` changes it.
    """

    def __init__(
        self,
        network: keras.Model,
        objective: Objective,
        steps: int,
        augment: keras.layers.Layer | None = None,
        shard: Sequence[int] = (),
        sample: ClassSample | None = None,
        teacher: Teaching | None = None,
    ):
        if teacher and not augment:
            raise ValueError("a teacher sees images as augment varies them; received no augment")
        super().__init__()
        self.sample, self.teacher = sample, teacher
        self.network, self.objective, self.augment, self.steps = network, objective, augment, steps
        self.resolution: int | None = None
        self.shard = tuple(shard)
        self.photos: Any = None
        # The optimizer counts too, but under JAX its count is a constant inside the loss.
        self.steps_done = self.add_weight(
            (), "zeros", dtype="int32", trainable=False, name="steps_done", aggregation="only_first_replica"
        )
        needs = dict.fromkeys(("Embedding", *objective.needs))
        if sample:
            needs = {SEEN if name == "Logits" else name: None for name in needs}
        network.get_layer("Logits").trainable = "Logits" in needs  # else no gradient reaches the head
        self.forward = training_outputs(network, needs)
        figures = (*objective.figures[1:], "same_distance", "different_distance", "effective_rank")
        self.built = True  # all of it is: Keras would take a batch away from the steps to build it
        self.averages = {name: keras.metrics.Mean(name=name) for name in figures}

    def compile(self, optimizer: keras.optimizers.Optimizer, **options: Any) -> None:
        """As Keras's, without a loss; `nets.diagnosis.gradient_norm(optimizer)` is known from then on."""
        note_gradient_norm(optimizer)
        if self.sample:
            optimizer.build(self.trainable_variables)
            self.sample.follow(optimizer)
        super().compile(optimizer, **options)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Takes no batch away under `tf.distribute` either, as Keras does whatever is built."""

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """Returns the outputs that the objective needs, and "Embedding" (B, D)."""
        images, said = self.shown(images, training)
        if training and self.resolution:
            images = _resized(images, (self.resolution, self.resolution))
        outputs = self.forward(images, training=training) | said
        return outputs if self.sample is None else outputs | self.sample(outputs[SEEN], training=training)

    def shown(self, images: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Returns (images `(B, H, W, 3)` as the network sees them, varied in training; {} or a teacher's targets).

        images: as the loader gives them, or int rows `(B,)` of the photos that the device keeps.
        """
        if self.photos is not None:
            images = rows_of(self.photos, images)
        if self.augment is None:
            return images, {}
        if training and self.teacher:
            return self.teacher.view(self.augment, images)
        return self.augment(images, training=training), {}

    def in_use(self, images: Any, size: tuple[int, int]) -> Any:
        """Returns a batch of the loader's as an embedder of that size would be shown it, `(B, *size, 3)`."""
        images, _ = self.shown(images)
        return images if tuple(images.shape[1:3]) == size else _resized(images, size)

    def train_step(self, *arguments: Any) -> Any:
        """As Keras's, which takes and returns all variables' values under JAX; around it, a sample comes and goes."""
        if self.sample is None:
            return super().train_step(*arguments)
        *state, data = arguments
        _, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
        take = partial(self.sample.take, targets["label"] if isinstance(targets, dict) else targets)
        if state:
            figures, values = super().train_step(self._after(take, state[0]), data)
            return figures, self._after(self.sample.put, values)
        take()
        figures = super().train_step(data)
        self.sample.put()
        return figures

    def _after(self, move: Callable[[], None], values: Any) -> Any:
        """Returns the values of all variables, in Keras's four lists under JAX, after a move from `values`."""
        own = self.trainable_variables, self.non_trainable_variables, self.optimizer.variables, self.metrics_variables
        pairs = [pair for lists in zip(own, values, strict=True) for pair in zip(*lists, strict=True)]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            move()
        return tuple([scope.get_current_value(variable) for variable in variables] for variables in own)

    def keep_photos(self, photos: Any) -> None:
        """Has batches come as int rows `(B,)` of these photos, uint8 `(N, H, W, 3)`, which the device keeps."""
        self.photos = self.add_weight(photos.shape, "zeros", dtype="uint8", trainable=False, name="photos")
        self.photos.assign(photos)

    def train_at(self, resolution: int | None) -> None:
        """Has training steps scale their images down from now on; of a network that takes images of any size."""
        if resolution != self.resolution:
            self.resolution = resolution
            self.make_train_function(force=True)

    def given(self) -> list[Any]:
        """Returns the variables that no training moves: photos and a teacher's weights."""
        return [*([] if self.photos is None else [self.photos]), *(self.teacher.variables if self.teacher else [])]

    def gradient_norm(self) -> float:
        """Returns the length of the last step's gradients, all weights together, before any clipping."""
        return gradient_norm(self.optimizer)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the objective's "loss"; its other figures go to the epoch's averages.

        Of several devices under `tf.distribute` each returns its share: their gradients are added up.
        """
        shard = told(y if isinstance(y, dict) else {"label": y}, y_pred)
        targets, y_pred = (self._as_drawn(tensors) for tensors in shard)
        progress = ops.minimum(ops.cast(self.steps_done, "float32") / self.steps, 1.0)
        figures = self.objective(targets, y_pred, progress=progress, training=training, shard=shard)
        if training:
            self.steps_done.assign_add(1)
        for name in self.objective.figures[1:]:
            self.averages[name].update_state(figures[name])
        self.averages["effective_rank"].update_state(effective_rank(y_pred["Embedding"]))
        for name, (mean, number) in pair_distances(targets["label"], y_pred["Embedding"]).items():
            self.averages[name].update_state(mean, sample_weight=number)
        return figures["loss"] / mirrors()

    def _as_drawn(self, shard: dict[str, Any]) -> dict[str, Any]:
        """Returns the whole batch's tensors in the order in which it was drawn, but for those that go by image."""
        whole = {name: whole_batch(tensor) for name, tensor in shard.items() if name not in ASIDE}
        return {name: joined(tensor, self.shard) for name, tensor in whole.items()} if self.shard else whole


def _resized(images: Any, size: tuple[int, int]) -> Any:
    return ops.image.resize(ops.cast(images, "float32"), size, antialias=True)


def joined(tensor: Any, shard: Sequence[int]) -> Any:
    """Returns a batch `(B, ...)` of shards, whose parts have these sizes, part by part: `(B, ...)`.

    No gather: its gradient would be sparse.
    """
    if len(shard) == 1:  # they follow each other as they were drawn; and TensorFlow splits at no empty list
        return tensor
    rest = tensor.shape[1:]
    parts = ops.split(ops.reshape(tensor, (-1, sum(shard), *rest)), list(accumulate(shard))[:-1], axis=1)
    return ops.concatenate([ops.reshape(part, (-1, *rest)) for part in parts])
