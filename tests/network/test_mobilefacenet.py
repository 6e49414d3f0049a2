"""MobileFaceNet: parameters, widths and maps, against the paper's table 1."""

from functools import cache

import keras
import numpy as np

from nets.mobilefacenet import mobilefacenet


@cache
def trunk(height: int = 112, width: int = 112) -> keras.Model:
    images = keras.Input((height, width, 3))
    return keras.Model(images, mobilefacenet(images))


def trained(layers: list[keras.layers.Layer]) -> int:
    return sum(int(np.prod(w.shape)) for layer in layers for w in layer.trainable_weights)


def test_parameters_are_those_of_the_paper() -> None:
    network = trunk()
    bottleneck = 512 * 128 + 128  # Dense and BatchNorm without scale
    assert trained(network.layers) == 937_344
    assert network.count_params() - 937_344 == 19_328
    scales = [layer.gamma.shape[0] for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert trained(network.layers) + bottleneck - sum(scales) == 993_344  # the paper: 0.99 million


def test_maps_are_those_of_the_table() -> None:
    expected = {
        "conv1_prelu": (56, 56, 64),
        "conv1_dw_prelu": (56, 56, 64),
        "block_5_add": (28, 28, 64),
        "block_6_project_bn": (14, 14, 128),
        "block_12_add": (14, 14, 128),
        "block_13_project_bn": (7, 7, 128),
        "block_15_add": (7, 7, 128),
        "conv_last_prelu": (7, 7, 512),
        "gdc_bn": (1, 1, 512),
    }
    assert {name: trunk().get_layer(name).output.shape[1:] for name in expected} == expected
    assert trunk().output_shape == (None, 512)


def test_expansions_and_residuals_are_those_of_the_table() -> None:
    widths = [trunk().get_layer(f"block_{number}_expand").filters for number in range(1, 16)]
    assert widths == [128] * 5 + [256] + [256] * 6 + [512] + [256] * 2
    residuals = [int(layer.name.split("_")[1]) for layer in trunk().layers if layer.name.endswith("_add")]
    assert residuals == [2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 14, 15]


def test_what_is_linear_has_no_activation_behind_it() -> None:
    prelus = {layer.name for layer in trunk().layers if isinstance(layer, keras.layers.PReLU)}
    inner = {f"block_{number}_{part}_prelu" for number in range(1, 16) for part in ("expand", "depthwise")}
    assert prelus == {"conv1_prelu", "conv1_dw_prelu", "conv_last_prelu"} | inner
    slopes = [np.asarray(trunk().get_layer(name).alpha) for name in prelus]
    assert all(slope.shape[:2] == (1, 1) and (slope == 0.25).all() for slope in slopes)


def test_the_end_weighs_every_place_of_the_map() -> None:
    network = trunk(80, 96)
    kernel = np.asarray(network.get_layer("gdc").kernel)
    assert kernel.shape == (5, 6, 512, 1)
    images = np.random.default_rng(0).normal(size=(2, 80, 96, 3)).astype(np.float32)
    ends = keras.Model(network.input, [network.get_layer(name).output for name in ("conv_last_prelu", "gdc")])
    maps, sums = ends(images)
    np.testing.assert_allclose(sums[:, 0, 0], (np.asarray(maps) * kernel[..., 0]).sum(axis=(1, 2)), atol=1e-4)
