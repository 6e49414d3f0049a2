"""What a training minimises: a weighted sum of parts, each with its own figures and its own state."""

from typing import Any

import keras
from keras import ops

from nets.class_sample import places
from nets.distillation import WAYS
from nets.heads import SOFTMAX, MarginLogits
from nets.losses import METRIC_LOSSES, accuracy, at_label, cross_entropy, mean_of_labelled, squared_distance

DRAWING = ("any_violating",)  # metric losses that take a seed
NORM_RANGE = (0.001, 100.0)  # AdaFace clips lengths to it
Figures = dict[str, Any]  # name -> float32 scalar


class Part(keras.layers.Layer):
    """A part of an objective: a layer, so that its state is among the trainer's variables and in its checkpoint.

    `call(targets, outputs, progress, training)` returns its figures; the first of them is its loss.

    Attributes:
        weight: of its loss in the sum.
        figures: the keys of what it returns.
        needs: names of the network's layers whose outputs it looks at.
        by_image: whether each image counts by itself, so that a device can do with its own shard of the batch.
    """

    needs: tuple[str, ...] = ("Embedding",)
    by_image = False
    weight: float
    figures: tuple[str, ...]

    def __init__(self, weight: float, *figures: str):
        super().__init__(dtype="float32", name=figures[0])  # a global policy of bfloat16 would cast what comes in
        self.weight, self.figures, self.built = weight, figures, True


class ClassLoss(Part):
    """Cross-entropy over the training's people, of plain logits or of cosines with a margin.

    Args:
        head: a name in `nets.heads.HEADS`; the network's.
        people: how many the network tells apart.
        smoothing: of the labels, as in `nets.losses.cross_entropy`.
        margins: settings of `nets.heads.MarginLogits`, for margin heads.
    """

    by_image = True  # the logits of a whole batch would be the largest thing to send

    def __init__(
        self, head: str = SOFTMAX, people: int = 2, weight: float = 1.0, smoothing: float = 0.0, **margins: Any
    ):
        with_margins = None if head == SOFTMAX else MarginLogits(head, people, **margins)
        super().__init__(weight, "cross_entropy", "accuracy", *(("own_cosine",) if with_margins else ()))
        self.smoothing, self.with_margins = smoothing, with_margins
        self.quality = NormQuality() if with_margins and with_margins.head.by_norm else None
        self.needs = ("Logits", "Norm") if self.quality else ("Logits",)

    def call(self, targets: Figures, outputs: Figures, progress: Any, training: bool = True) -> Figures:
        """Returns "cross_entropy", "accuracy" (without margins) and, of a margin head, "own_cosine".

        Where the outputs hold "People", the logits are of these alone, and so is all that is returned.
        """
        labels, logits = targets["label"], outputs["Logits"]
        if "People" in outputs:
            labels = places(labels, outputs["People"])
        figures = {"accuracy": accuracy(labels, logits)}
        if self.with_margins:
            figures["own_cosine"] = mean_of_labelled(labels, at_label(labels, logits))
            quality = self.quality(outputs["Norm"], labels, training=training) if self.quality else 0.0
            logits = self.with_margins(labels, logits, progress, quality)
        return {"cross_entropy": cross_entropy(labels, logits, self.smoothing)} | figures


class NormQuality(keras.layers.Layer):
    """AdaFace's image quality: `clip(h (norm - mean) / deviation, -1, 1)`, mean and deviation running over batches.

    Both move by `rate` towards the batch's before it is judged, in training only. At the start they are 20 and 100, as
    in the authors' code: every image is of middling quality until the deviation has come down, some 500 steps.
    Source: Kim et al. 2022, arXiv:2204.00964, equation 16, and mk-minchul/AdaFace, head.py.
    """

    def __init__(self, concentration: float = 0.333, rate: float = 0.01):
        super().__init__(dtype="float32")
        self.concentration, self.rate, self.built = concentration, rate, True
        self.mean = _state(self, "mean", (), 20.0)
        self.deviation = _state(self, "deviation", (), 100.0)

    def call(self, norms: Any, labels: Any, training: bool = True) -> Any:
        """Returns `(B,)` for norms `(B,)`; no gradient goes to them. Images of label -1 do not move the statistics."""
        norms = ops.stop_gradient(ops.clip(norms, *NORM_RANGE))
        if training:
            number = ops.sum(ops.cast(labels >= 0, "float32"))
            rate = ops.where(number > 1.0, self.rate, 0.0)
            mean = mean_of_labelled(labels, norms)
            variance = mean_of_labelled(labels, ops.square(norms - mean)) * number / ops.maximum(number - 1.0, 1.0)
            self.mean.assign(self.mean + rate * (mean - self.mean))
            self.deviation.assign(self.deviation + rate * (ops.sqrt(variance) - self.deviation))
        return ops.clip(self.concentration * (norms - self.mean) / (self.deviation + 0.001), -1.0, 1.0)


class MetricLoss(Part):
    """A loss on distances within the batch.

    Args:
        name: in `nets.losses.METRIC_LOSSES`.
        seed: of the draws of a loss that draws; its state is part of the checkpoint.
        options: the loss's own: margin, temperature.
    """

    def __init__(self, name: str, weight: float = 1.0, seed: int = 0, **options: float):
        if name not in METRIC_LOSSES:
            raise ValueError(f"unknown metric loss '{name}'; choose from {', '.join(METRIC_LOSSES)}")
        super().__init__(weight, name, "violating")
        self.loss, self.options = METRIC_LOSSES[name], dict[str, Any](options)
        if name in DRAWING:
            self.draws = keras.random.SeedGenerator(seed)
            self.options["seed"] = self.draws

    def call(self, targets: Figures, outputs: Figures, progress: Any, training: bool = True) -> Figures:
        """Returns the loss under its name, and the share that is "violating"."""
        return dict(zip(self.figures, self.loss(targets["label"], outputs["Embedding"], **self.options), strict=True))


class CentreLoss(Part):
    """Half the squared distance of each embedding to its person's centre; the centres follow the embeddings.

    `centre += rate * sum(embedding - centre) / (1 + n)` over the person's n images of the batch, after the loss was
    taken. The centres begin at 0, as in davidsandberg/facenet: there, they pull at an embedding's length only, which
    is 1 anyway. Source: Wen et al. 2016 (ECCV), A Discriminative Feature Learning Approach for Deep Face Recognition,
    equations 2 to 4; here on unit vectors.

    Args:
        people: how many.
        size: numbers an embedding.
        rate: the paper's alpha.
    """

    def __init__(self, people: int, size: int, weight: float = 1.0, rate: float = 0.5):
        super().__init__(weight, "centre")
        self.people, self.rate = people, rate
        self.centres = _state(self, "centres", (people, size), 0.0)

    def call(self, targets: Figures, outputs: Figures, progress: Any, training: bool = True) -> Figures:
        """Returns "centre"; moves the centres in training."""
        labels, embeddings = targets["label"], outputs["Embedding"]
        row = ops.maximum(labels, 0)
        centre = ops.stop_gradient(ops.take(self.centres, row, axis=0))
        loss = mean_of_labelled(labels, 0.5 * squared_distance(embeddings, centre))
        if training:
            labelled = ops.cast(labels >= 0, "float32")
            away = ops.stop_gradient(embeddings - centre) * ops.expand_dims(labelled, 1)
            total = ops.segment_sum(away, row, num_segments=self.people)
            number = ops.segment_sum(labelled, row, num_segments=self.people)
            self.centres.assign_add(self.rate * total / ops.expand_dims(1.0 + number, 1))
        return {"centre": loss}


class Imitation(Part):
    """What a teacher's embeddings of the same images teach, labelled or not.

    Args:
        way: a name in `nets.distillation.WAYS`: "distance" to its embeddings, in every number; "relation": the cosines
            between the images of a batch are to be its cosines, whatever its width; "contrast": each image is to find
            its own among its embeddings.
        options: of that way: the temperature of the contrast.
    """

    def __init__(self, weight: float = 1.0, way: str = "distance", **options: float):
        if way not in WAYS:
            raise ValueError(f"unknown way to learn from a teacher '{way}'; choose from {', '.join(WAYS)}")
        super().__init__(weight, "teacher_contrast" if way == "contrast" else "imitation")
        self.loss, self.options = WAYS[way], options

    def call(self, targets: Figures, outputs: Figures, progress: Any, training: bool = True) -> Figures:
        """Returns its loss; the targets hold "teacher", `(B, E)` of unit length."""
        return {self.figures[0]: self.loss(targets["teacher"], outputs["Embedding"], **self.options)}


class Objective(keras.layers.Layer):
    """The weighted sum "loss" of parts, and their figures. Parts that are None or of weight 0 are left out.

    Attributes:
        figures: keys of what a call returns.
        needs: names of the network's layers whose outputs a call takes.
    """

    def __init__(
        self,
        classes: ClassLoss | None = None,
        metric: MetricLoss | None = None,
        centre: CentreLoss | None = None,
        *imitations: Imitation | None,
    ):
        super().__init__(dtype="float32", name="objective")
        self.parts = [part for part in (metric, classes, centre, *imitations) if part is not None and part.weight]
        if not self.parts:
            raise ValueError("an objective needs a part with a weight other than 0")
        self.figures = ("loss", *(name for part in self.parts for name in part.figures))
        self.needs = tuple({name: None for part in self.parts for name in part.needs})
        self.built = True

    def call(
        self,
        targets: Figures,
        outputs: Figures,
        progress: Any = 1.0,
        training: bool = True,
        shard: tuple[Figures, Figures] | None = None,
    ) -> Figures:
        """Returns float32 scalars under `figures`.

        Args:
            targets: "label", int32 `(B,)`, -1 for nobody; "teacher", `(B, E)` of unit length, for an imitation.
            outputs: of the layers that `needs` names.
            progress: share of the run that is done, 0..1.
            training: whether the parts' own state moves.
            shard: (targets, outputs) of this device's images, for the parts that go by image; None: those of all.
        """
        found: Figures = {"loss": 0.0}
        for part in self.parts:
            seen = shard if shard and part.by_image else (targets, outputs)
            figures = part(*seen, progress=progress, training=training)
            found["loss"] += part.weight * figures[part.figures[0]]
            found |= figures
        return found


def _state(layer: keras.layers.Layer, name: str, shape: tuple[int, ...], start: float) -> Any:
    """Returns a variable that the layer moves itself; no optimizer sees it."""
    constant = keras.initializers.Constant(start)
    return layer.add_weight(shape, constant, trainable=False, name=name, aggregation="mean")
