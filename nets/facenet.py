"""From a trunk to the networks that are trained and used (Schroff et al. 2015, FaceNet, arXiv:1503.03832)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import keras
from keras import layers

from nets.head_layers import Length
from nets.heads import SOFTMAX, add_head
from nets.inception_resnet_v1 import inception_resnet_v1
from nets.iresnet import iresnet18, iresnet50
from nets.layers import BatchNorm
from nets.mobilefacenet import mobilefacenet
from nets.mobilenet import mobilenet

TRUNKS: dict[str, Callable[..., Any]] = {
    "mobilenet": mobilenet,
    "inception_resnet_v1": inception_resnet_v1,
    "mobilefacenet": mobilefacenet,
    "iresnet18": iresnet18,
    "iresnet50": iresnet50,
}
BOTTLENECK = "BatchNorm_Bottleneck"  # the layer whose output is brought to unit length
SEEN = "Seen"  # by the head: the embedding, or before it was brought to unit length
SMALLEST_INPUT = {"inception_resnet_v1": 80}  # pixels: below it the last maps vanish
SMALLEST_OTHER = 32


def facenet(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int | None = None,
    backbone: str = "mobilenet",
    embedding_size: int = 128,
    mode: Literal["train", "predict"] = "train",
    dropout: float = 0.6,
    pixel_range: tuple[float, float] = (-1.0, 1.0),
    head: str = SOFTMAX,
    head_options: Mapping[str, Any] | None = None,
    rows_multiple: int = 1,
    **trunk_options: Any,
) -> keras.Model:
    """Builds the network; pixels 0..255 go in, RGB, `uint8` or `float32` `(B, H, W, 3)`.

    Mode "predict" gives the embeddings `(B, embedding_size)`, of unit length. Mode "train" gives a dict:
    "Softmax", probabilities `(B, num_classes)`, and "Embedding", as above, from the same layers.

    Args:
        input_shape: (height, width, 3), each side at least 32 pixels (Inception: 80); None: any, of trunks that end
            in an average.
        num_classes: people to tell apart; needed in mode "train".
        backbone: a name in `TRUNKS`.
        dropout: the share of the trunk's features that a training step drops (FaceNet's keep rate 0.4 is 0.6).
        pixel_range: what 0 and 255 become, inside the network ((0, 1) for weights of facenet-tf2).
        head: a name in `nets.heads.HEADS`.
        head_options: of `nets.heads.add_head`.
        rows_multiple: of which the number of the head's rows is one, to share them among devices
            (`utils.class_layout.rows_multiple`).
        trunk_options: `alpha`, `depth_multiplier`, `stem_stride` of MobileNet.

    Raises:
        ValueError: an unknown backbone, head or mode, a side that is too small, or no `num_classes` to train for.
    """
    _check(input_shape, num_classes, backbone, mode)
    low, high = pixel_range
    images = keras.Input(input_shape, name="images")
    x = layers.Rescaling((high - low) / 255.0, offset=low, name="scaling")(images)
    x = TRUNKS[backbone](x, **trunk_options)
    x = layers.Dropout(dropout, name="Dropout")(x)
    x = layers.Dense(embedding_size, use_bias=False, name="Bottleneck")(x)
    x = BatchNorm(momentum=0.995, epsilon=0.001, scale=False, name=BOTTLENECK)(x)
    embedding = layers.UnitNormalization(name="Embedding", dtype="float32")(x)
    if mode == "predict" or num_classes is None:
        return keras.Model(images, embedding, name=backbone)
    softmax = add_head(head, x, embedding, num_classes, dict(head_options or {}), rows_multiple)
    return keras.Model(images, {"Softmax": softmax, "Embedding": embedding}, name=backbone)


def _check(input_shape: tuple[int | None, int | None, int], num_classes: int | None, backbone: str, mode: str) -> None:
    if backbone not in TRUNKS:
        raise ValueError(f"unknown backbone '{backbone}'; choose from {', '.join(TRUNKS)}")
    if mode not in ("train", "predict"):
        raise ValueError(f"mode is 'train' or 'predict'; received '{mode}'")
    sides = [side for side in input_shape[:2] if side is not None]
    smallest = SMALLEST_INPUT.get(backbone, SMALLEST_OTHER)
    if len(input_shape) != 3 or input_shape[2] != 3 or min(sides, default=smallest) < smallest:
        raise ValueError(f"input_shape is (height, width, 3), sides of {smallest} or more; received {input_shape}")
    if mode == "train" and (num_classes is None or num_classes < 2):
        raise ValueError(f"to train takes num_classes of 2 or more; received {num_classes}")


def embedder_of(network: keras.Model) -> keras.Model:
    """Returns the part of a network of mode "train" that gives the embeddings, sharing its layers."""
    return keras.Model(network.input, network.get_layer("Embedding").output, name=network.name)


def training_outputs(network: keras.Model, names: Iterable[str]) -> keras.Model:
    """Returns the part of a network of mode "train" that gives a dict of what losses look at, sharing its layers.

    Args:
        names: of "Embedding"; "Logits" `(B, num_classes)`, of a margin head its cosines; "Norm" `(B,)`, the length of
            the embedding before it was brought to 1; all float32. `SEEN`, `(B, D)`: what "Logits" are computed of.
    """
    layer = {name: network.get_layer({"Norm": BOTTLENECK, SEEN: "Logits"}.get(name, name)) for name in names}
    outputs = {name: found.input if name == SEEN else found.output for name, found in layer.items()}
    if "Norm" in outputs:
        outputs["Norm"] = Length(name="Norm", dtype="float32")(outputs["Norm"])
    return keras.Model(network.input, outputs, name=network.name)
