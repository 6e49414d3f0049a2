"""Inception-ResNet-v1: parameters, maps and blocks, against the paper's figures and tables.

That layers, shapes and outputs are those of facenet-tf2 is tested with its files, in test_weights.py.
"""

from collections import Counter
from functools import cache

import keras
import numpy as np
import pytest

from nets.facenet import facenet
from nets.inception_resnet_v1 import BLOCKS, Block, Conv, _block, inception_resnet_v1


@cache
def trunk(height: int, width: int) -> keras.Model:
    images = keras.Input((height, width, 3))
    return keras.Model(images, inception_resnet_v1(images))


def test_parameters_are_those_of_facenet_tf2() -> None:
    assert facenet((160, 160, 3), backbone="inception_resnet_v1", mode="predict").count_params() == 22_808_144
    assert trunk(299, 160).count_params() == 22_808_144 - 1792 * 128 - 3 * 128


def test_maps_are_those_of_the_paper() -> None:
    """Figure 10's sizes at 299 x 299 (the paper prints 17 x 17 x 896 and 8 x 8 x 1792)."""
    network = trunk(299, 160)
    heights_and_widths = {
        "Conv2d_1a_3x3": (149, 79, 32),
        "Conv2d_2b_3x3": (147, 77, 64),
        "MaxPool_3a_3x3": (73, 38, 64),
        "Conv2d_4a_3x3": (71, 36, 192),
        "Conv2d_4b_3x3": (35, 17, 256),
        "Block35_5_Conv2d_1x1": (35, 17, 256),
        "Mixed_6a_Concatenate": (17, 8, 896),
        "Mixed_7a_Concatenate": (8, 3, 1792),
        "Block8_6_Conv2d_1x1": (8, 3, 1792),
    }
    for name, shape in heights_and_widths.items():
        assert network.get_layer(name).output.shape[1:] == shape, name
    assert network.output_shape == (None, 1792)


def test_blocks_scales_and_activations() -> None:
    kinds = Counter((block.name.rsplit("_", 1)[0], block.scale) for block in BLOCKS if block.scale is not None)
    assert kinds == {("Block35", 0.17): 5, ("Block17", 0.10): 10, ("Block8", 0.20): 5, ("Block8", 1.0): 1}
    assert [block.name for block in BLOCKS if not block.activation] == ["Block8_6"]
    assert BLOCKS[-1].name == "Block8_6"


@pytest.mark.parametrize("activation", [True, False])
def test_a_residual_is_added_scaled(activation: bool) -> None:
    images = keras.Input((5, 6, 4))
    block = Block("b", (((Conv("", 3, (1, 1))),), (Conv("0a", 2),)), scale=0.3, activation=activation)
    network = keras.Model(images, _block(images, block))
    values = np.float32(np.random.default_rng(0).normal(size=(2, 5, 6, 4)))
    mixed = keras.Model(images, network.get_layer("b_Concatenate").output)(values)
    up = network.get_layer("b_Conv2d_1x1")
    up.bias.assign([0.5, -0.5, 1.0, -1.0])
    expected = values + 0.3 * (np.asarray(mixed) @ np.asarray(up.kernel)[0, 0] + np.asarray(up.bias))
    np.testing.assert_allclose(network(values), np.maximum(expected, 0) if activation else expected, atol=1e-5)
