"""IResNet-18 and -50, the residual networks of ArcFace (Deng et al. 2019, arXiv:1801.07698, section 3.1)."""

from functools import partial
from typing import Any

import keras
from keras import layers

from nets.layers import BatchNorm

STEM_FILTERS = 64
FILTERS = (64, 128, 256, 512)  # of the four stages; each halves height and width

_convolution = partial(layers.Conv2D, padding="same", use_bias=False)
_normalised = partial(BatchNorm, momentum=0.9, epsilon=1e-5)


def iresnet(images: Any, blocks: tuple[int, int, int, int]) -> Any:
    """Maps pixels scaled to -1..1, `(B, H, W, 3)`, to all numbers of the last map.

    These are `(B, 512 * ceil(H / 16) * ceil(W / 16))`.

    `blocks`: how many in each stage. What follows in ArcFace ("E": dropout, a fully connected layer, BatchNorm) is
    facenet's bottleneck, whose weights depend on H and W therefore: a network for one size cannot take those of
    another. At 112 x 112 to 512 numbers, IResNet-18 has 24,025,600 parameters, IResNet-50 43,590,848, not counting
    moving statistics; to facenet's 128, 14,390,400 and 33,955,648.
    """
    x = _convolution(STEM_FILTERS, 3, name="stem")(images)  # stride 1: faces of 112 pixels are small already
    x = _prelu(_normalised(name="stem_bn")(x), "stem_prelu")
    for stage, (filters, repeats) in enumerate(zip(FILTERS, blocks, strict=True), 1):
        for block in range(1, repeats + 1):
            x = _block(x, f"stage{stage}_block{block}", filters, stride=2 if block == 1 else 1)
    return layers.Flatten(name="flatten")(_normalised(name="features_bn")(x))


iresnet18 = partial(iresnet, blocks=(2, 2, 2, 2))
iresnet50 = partial(iresnet, blocks=(3, 4, 14, 3))


def _block(x: Any, name: str, filters: int, stride: int) -> Any:
    """BatchNorm, 3x3, BatchNorm, PReLU, 3x3 at `stride`, BatchNorm; added to the input, or to a 1x1 of it."""
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = _convolution(filters, 1, strides=stride, name=f"{name}_shortcut")(x)
        shortcut = _normalised(name=f"{name}_shortcut_bn")(shortcut)
    x = _normalised(name=f"{name}_bn1")(x)
    x = _convolution(filters, 3, name=f"{name}_conv1")(x)
    x = _prelu(_normalised(name=f"{name}_bn2")(x), f"{name}_prelu")
    x = _convolution(filters, 3, strides=stride, name=f"{name}_conv2")(x)
    x = _normalised(name=f"{name}_bn3")(x)
    return layers.Add(name=f"{name}_add")([shortcut, x])


def _prelu(x: Any, name: str) -> Any:
    slope = keras.initializers.Constant(0.25)
    return layers.PReLU(alpha_initializer=slope, shared_axes=[1, 2], name=name)(x)
