"""From a trunk to the networks that are trained and used (Schroff et al. 2015, FaceNet, arXiv:1503.03832)."""

from collections.abc import Callable
from typing import Any, Literal

import keras
from keras import layers

from nets.inception_resnet_v1 import inception_resnet_v1
from nets.layers import BatchNorm
from nets.mobilenet import mobilenet

TRUNKS: dict[str, Callable[..., Any]] = {"mobilenet": mobilenet, "inception_resnet_v1": inception_resnet_v1}
SMALLEST_INPUT = 80  # pixels: below it the last maps of the trunks vanish


def facenet(
    input_shape: tuple[int, int, int],
    num_classes: int | None = None,
    backbone: str = "mobilenet",
    embedding_size: int = 128,
    mode: Literal["train", "predict"] = "train",
    dropout: float = 0.6,
    pixel_range: tuple[float, float] = (-1.0, 1.0),
    **trunk_options: Any,
) -> keras.Model:
    """Builds the network; pixels 0..255 go in, RGB, `uint8` or `float32` `(B, H, W, 3)`.

    Mode "predict" gives the embeddings `(B, embedding_size)`, of unit length. Mode "train" gives a dict:
    "Softmax", probabilities `(B, num_classes)`, and "Embedding", as above, from the same layers.

    Args:
        input_shape: (height, width, 3), each side at least 80 pixels.
        num_classes: people to tell apart; needed in mode "train".
        backbone: a name in `TRUNKS`.
        dropout: the share of the trunk's features that a training step drops (FaceNet's keep rate 0.4 is 0.6).
        pixel_range: what 0 and 255 become, inside the network ((0, 1) for weights of facenet-tf2).
        trunk_options: `alpha`, `depth_multiplier` of MobileNet.

    Raises:
        ValueError: an unknown backbone or mode, a side under 80 pixels, or no `num_classes` to train for.
    """
    _check(input_shape, num_classes, backbone, mode)
    low, high = pixel_range
    images = keras.Input(input_shape, name="images")
    x = layers.Rescaling((high - low) / 255.0, offset=low, name="scaling")(images)
    x = TRUNKS[backbone](x, **trunk_options)
    x = layers.Dropout(dropout, name="Dropout")(x)
    x = layers.Dense(embedding_size, use_bias=False, name="Bottleneck")(x)
    x = BatchNorm(momentum=0.995, epsilon=0.001, scale=False, name="BatchNorm_Bottleneck")(x)
    embedding = layers.UnitNormalization(name="Embedding", dtype="float32")(x)
    if mode == "predict":
        return keras.Model(images, embedding, name=backbone)
    logits = layers.Dense(num_classes, name="Logits", dtype="float32")(x)
    softmax = layers.Softmax(name="Softmax", dtype="float32")(logits)
    return keras.Model(images, {"Softmax": softmax, "Embedding": embedding}, name=backbone)


def _check(input_shape: tuple[int, int, int], num_classes: int | None, backbone: str, mode: str) -> None:
    if backbone not in TRUNKS:
        raise ValueError(f"unknown backbone '{backbone}'; choose from {', '.join(TRUNKS)}")
    if mode not in ("train", "predict"):
        raise ValueError(f"mode is 'train' or 'predict'; received '{mode}'")
    if len(input_shape) != 3 or input_shape[2] != 3 or min(input_shape[:2]) < SMALLEST_INPUT:
        raise ValueError(
            f"input_shape is (height, width, 3), sides of {SMALLEST_INPUT} or more; received {input_shape}"
        )
    if mode == "train" and (num_classes is None or num_classes < 2):
        raise ValueError(f"to train takes num_classes of 2 or more; received {num_classes}")


def embedder_of(network: keras.Model) -> keras.Model:
    """Returns the part of a network of mode "train" that gives the embeddings, sharing its layers."""
    return keras.Model(network.input, network.get_layer("Embedding").output, name=network.name)


class Trainer(keras.Model):
    """A network of mode "train" with its objective; exists in training only.

    The named output "Softmax" is what users see; the loss is computed from the logits before it (cross-entropy on
    probabilities loses its gradient where they round to 0).

    Args:
        network: of `facenet(mode="train")`.
        objective: `(labels (B,), logits (B, C), embeddings (B, D)) -> dict of scalars` with the key "loss".
        figures: the keys of that dict, each averaged over the epoch and given to the callbacks.
    """

    def __init__(self, network: keras.Model, objective: Callable[..., dict[str, Any]], figures: tuple[str, ...]):
        super().__init__()
        self.network = network
        network.get_layer("Logits").trainable = "cross_entropy" in figures  # without it, no gradient reaches the head
        outputs = {name: network.get_layer(name).output for name in ("Logits", "Embedding")}
        self.forward = keras.Model(network.input, outputs)
        self.objective = objective
        self.averages = {name: keras.metrics.Mean(name=name) for name in figures if name != "loss"}

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """Returns {"Logits" (B, C), "Embedding" (B, D)}."""
        return self.forward(images, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the objective's "loss"; its other figures go to the epoch's averages."""
        figures = self.objective(y, y_pred["Logits"], y_pred["Embedding"])
        for name, average in self.averages.items():
            average.update_state(figures[name])
        return figures["loss"]
