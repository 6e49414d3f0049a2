"""MobileNet v1 (Howard et al. 2017, arXiv:1704.04861, table 1)."""

from functools import partial
from typing import Any, NamedTuple

from keras import layers

from nets.layers import BatchNorm, Depthwise, dtype_of_strided


class Block(NamedTuple):
    """A depthwise-separable block: 3x3 depthwise at `stride`, then 1x1 to `filters` times alpha."""

    filters: int
    stride: int


STEM_FILTERS = 32
BLOCKS = (
    Block(64, 1),
    Block(128, 2),
    Block(128, 1),
    Block(256, 2),
    Block(256, 1),
    Block(512, 2),
    *[Block(512, 1)] * 5,
    Block(1024, 2),
    Block(1024, 1),
)

_convolution = partial(layers.Conv2D, padding="same", use_bias=False)
_depthwise = partial(Depthwise, padding="same", use_bias=False)


def mobilenet(images: Any, alpha: float = 1.0, depth_multiplier: int = 1, stem_stride: int = 2) -> Any:
    """Maps pixels scaled to -1..1, `(B, H, W, 3)`, to features `(B, 1024 * alpha)`.

    `alpha` widens every layer, `depth_multiplier` the depthwise ones. 3,228,864 parameters at alpha 1, of which
    21,888 are BatchNorm's moving statistics. Layers are named as in `keras.applications.MobileNet`.
    `stem_stride` 1 in place of 2 keeps all maps twice as high and wide, at four times the cost, with the same weights.
    """
    x = _convolution(int(STEM_FILTERS * alpha), 3, strides=stem_stride, name="conv1")(images)
    x = _normalised(x, "conv1")
    for number, block in enumerate(BLOCKS, 1):
        name = f"conv_dw_{number}"
        dtype = dtype_of_strided() if block.stride > 1 else None
        x = _depthwise(3, strides=block.stride, depth_multiplier=depth_multiplier, dtype=dtype, name=name)(x)
        x = _normalised(x, name)
        name = f"conv_pw_{number}"
        x = _convolution(int(block.filters * alpha), 1, name=name)(x)
        x = _normalised(x, name)
    return layers.GlobalAveragePooling2D(name="pool")(x)


def _normalised(x: Any, name: str) -> Any:
    x = BatchNorm(name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
