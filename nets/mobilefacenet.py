"""MobileFaceNet (Chen et al. 2018, arXiv:1804.07573, table 1), with PReLU and a global depthwise convolution."""

from functools import partial
from typing import Any, NamedTuple

import keras
from keras import layers

from nets.layers import BatchNorm, Depthwise


class Stage(NamedTuple):
    """Inverted residuals (MobileNetV2's): 1x1 to `expansion` times the width, 3x3 depthwise, 1x1 to `filters`."""

    expansion: int
    filters: int
    repeats: int
    stride: int  # of the first; the others have 1


STEM_FILTERS = 64
STAGES = (
    Stage(expansion=2, filters=64, repeats=5, stride=2),
    Stage(4, 128, 1, 2),
    Stage(2, 128, 6, 1),
    Stage(4, 128, 1, 2),
    Stage(2, 128, 2, 1),
)
LAST_FILTERS = 512

_convolution = partial(layers.Conv2D, padding="same", use_bias=False)
_depthwise = partial(Depthwise, padding="same", use_bias=False)


def mobilefacenet(images: Any) -> Any:
    """Maps pixels scaled to -1..1, `(B, H, W, 3)`, to features `(B, 512)`.

    At 112 x 112 the paper counts 0.99 million parameters. Here they are 937,344 in the trunk, besides 19,328 moving
    statistics, and 65,664 in facenet's bottleneck, which is the last row of the table, a linear 1x1 convolution to
    128; of all, 993,344 with BatchNorm folded into biases. The global depthwise convolution weighs every place of the
    last map by itself, so its weights depend on H and W: a network for one size cannot take those of another.
    """
    x = _convolution(STEM_FILTERS, 3, strides=2, name="conv1")(images)
    x = _prelu(_normalised(x, "conv1"), "conv1")
    x = _depthwise(3, name="conv1_dw")(x)
    x = _prelu(_normalised(x, "conv1_dw"), "conv1_dw")
    number = 0
    for stage in STAGES:
        for repeat in range(stage.repeats):
            number += 1
            x = _block(x, f"block_{number}", stage, stage.stride if repeat == 0 else 1)
    x = _convolution(LAST_FILTERS, 1, name="conv_last")(x)
    x = _prelu(_normalised(x, "conv_last"), "conv_last")
    x = layers.DepthwiseConv2D(x.shape[1:3], use_bias=False, name="gdc")(x)  # linear: no activation behind it
    return layers.Flatten(name="flatten")(_normalised(x, "gdc"))


def _block(x: Any, name: str, stage: Stage, stride: int) -> Any:
    residual = x if stride == 1 and x.shape[-1] == stage.filters else None
    x = _convolution(stage.expansion * x.shape[-1], 1, name=f"{name}_expand")(x)
    x = _prelu(_normalised(x, f"{name}_expand"), f"{name}_expand")
    x = _depthwise(3, strides=stride, name=f"{name}_depthwise")(x)
    x = _prelu(_normalised(x, f"{name}_depthwise"), f"{name}_depthwise")
    x = _normalised(_convolution(stage.filters, 1, name=f"{name}_project")(x), f"{name}_project")
    return x if residual is None else layers.Add(name=f"{name}_add")([residual, x])


def _normalised(x: Any, name: str) -> Any:
    return BatchNorm(momentum=0.9, name=f"{name}_bn")(x)


def _prelu(x: Any, name: str) -> Any:
    slope = keras.initializers.Constant(0.25)
    return layers.PReLU(alpha_initializer=slope, shared_axes=[1, 2], name=f"{name}_prelu")(x)
