"""Inception-ResNet-v1 (Szegedy et al. 2016, arXiv:1602.07261, figures 10 to 14), as a table and a short builder.

Layer names and shapes are those of facenet-tf2's weight files. They follow davidsandberg/facenet where it departs from
the paper: the residuals are scaled by 0.17, 0.10 and 0.20, and a last C block at scale 1 without activation is added.
The trunk has 22,578,384 parameters; with dense 128 without bias and BatchNorm without scale, 22,808,144.
"""

from typing import NamedTuple

import keras

from nets.layers import BatchNorm


class Conv(NamedTuple):
    """Convolution without bias, BatchNorm without scale, ReLU."""

    place: str  # letters of the layer's name, "0a" in Conv2d_0a_1x1; a branch of one convolution has none
    filters: int
    kernel: tuple[int, int] = (3, 3)
    strides: int = 1
    padding: str = "same"

    @property
    def name(self) -> str:
        """Name of the layer behind its prefix, as in facenet-tf2's files."""
        return "_".join(filter(None, ("Conv2d", self.place, f"{self.kernel[0]}x{self.kernel[1]}")))


class MaxPool(NamedTuple):
    """Maximum over 3x3 at stride 2, without padding."""

    place: str


Chain = tuple[Conv | MaxPool, ...]


class Block(NamedTuple):
    """Branches over the same input, concatenated; with a scale they are a residual, without one a reduction."""

    name: str
    branches: tuple[Chain, ...]
    scale: float | None = None
    activation: bool = True


STEM: Chain = (
    Conv("1a", 32, strides=2, padding="valid"),
    Conv("2a", 32, padding="valid"),
    Conv("2b", 64),
    MaxPool("3a"),
    Conv("3b", 80, (1, 1)),
    Conv("4a", 192, padding="valid"),
    Conv("4b", 256, strides=2, padding="valid"),
)
BLOCK_A: tuple[Chain, ...] = (
    (Conv("", 32, (1, 1)),),
    (Conv("0a", 32, (1, 1)), Conv("0b", 32)),
    (Conv("0a", 32, (1, 1)), Conv("0b", 32), Conv("0c", 32)),
)
REDUCTION_A: tuple[Chain, ...] = (  # k, l, m, n of the paper's table 1: 192, 192, 256, 384
    (Conv("1a", 384, strides=2, padding="valid"),),
    (Conv("0a", 192, (1, 1)), Conv("0b", 192), Conv("1a", 256, strides=2, padding="valid")),
    (MaxPool("1a"),),
)
BLOCK_B: tuple[Chain, ...] = (
    (Conv("", 128, (1, 1)),),
    (Conv("0a", 128, (1, 1)), Conv("0b", 128, (1, 7)), Conv("0c", 128, (7, 1))),
)
REDUCTION_B: tuple[Chain, ...] = (
    (Conv("0a", 256, (1, 1)), Conv("1a", 384, strides=2, padding="valid")),
    (Conv("0a", 256, (1, 1)), Conv("1a", 256, strides=2, padding="valid")),
    (Conv("0a", 256, (1, 1)), Conv("0b", 256), Conv("1a", 256, strides=2, padding="valid")),
    (MaxPool("1a"),),
)
BLOCK_C: tuple[Chain, ...] = (
    (Conv("", 192, (1, 1)),),
    (Conv("0a", 192, (1, 1)), Conv("0b", 192, (1, 3)), Conv("0c", 192, (3, 1))),
)
BLOCKS = (
    *(Block(f"Block35_{number}", BLOCK_A, scale=0.17) for number in range(1, 6)),
    Block("Mixed_6a", REDUCTION_A),
    *(Block(f"Block17_{number}", BLOCK_B, scale=0.10) for number in range(1, 11)),
    Block("Mixed_7a", REDUCTION_B),
    *(Block(f"Block8_{number}", BLOCK_C, scale=0.20) for number in range(1, 6)),
    Block("Block8_6", BLOCK_C, scale=1.0, activation=False),
)


def inception_resnet_v1(images: keras.KerasTensor) -> keras.KerasTensor:
    """Returns features (B, 1792) of scaled images (B, H, W, 3); H and W from 80 pixels, square or not."""
    features = _chain(images, STEM, prefix="")
    for block in BLOCKS:
        features = _block(features, block)
    return keras.layers.GlobalAveragePooling2D(name="AvgPool")(features)


def _block(features: keras.KerasTensor, block: Block) -> keras.KerasTensor:
    branches = [
        _chain(features, chain, prefix=f"{block.name}_Branch_{number}_") for number, chain in enumerate(block.branches)
    ]
    mixed = keras.layers.Concatenate(name=f"{block.name}_Concatenate")(branches)
    if block.scale is None:
        return mixed
    residual = keras.layers.Conv2D(features.shape[-1], 1, name=f"{block.name}_Conv2d_1x1")(mixed)
    features = features + block.scale * residual
    return keras.layers.ReLU(name=f"{block.name}_Activation")(features) if block.activation else features


def _chain(features: keras.KerasTensor, chain: Chain, prefix: str) -> keras.KerasTensor:
    for step in chain:
        if isinstance(step, MaxPool):
            features = keras.layers.MaxPooling2D(3, strides=2, name=f"{prefix}MaxPool_{step.place}_3x3")(features)
        else:
            features = _convolution(features, step, prefix + step.name)
    return features


def _convolution(features: keras.KerasTensor, step: Conv, name: str) -> keras.KerasTensor:
    convolution = keras.layers.Conv2D(
        step.filters, step.kernel, strides=step.strides, padding=step.padding, use_bias=False, name=name
    )
    features = BatchNorm(momentum=0.995, epsilon=0.001, scale=False, name=f"{name}_BatchNorm")(convolution(features))
    return keras.layers.ReLU(name=f"{name}_Activation")(features)
