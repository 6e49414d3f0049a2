"""IResNet: parameters, blocks and maps, against ArcFace's section 3.1 and figures of its authors' networks."""

from functools import cache

import keras
import numpy as np
import pytest

from nets.iresnet import _block, iresnet, iresnet18, iresnet50


@cache
def trunk(blocks: tuple[int, int, int, int], height: int = 112, width: int = 112) -> keras.Model:
    images = keras.Input((height, width, 3))
    return keras.Model(images, iresnet(images, blocks=blocks))


def trained(network: keras.Model) -> int:
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


@pytest.mark.parametrize(
    ("blocks", "to_512", "to_128"),
    [((2, 2, 2, 2), 24_025_600, 14_390_400), ((3, 4, 14, 3), 43_590_848, 33_955_648)],
    ids=["18", "50"],
)
def test_parameters(blocks: tuple[int, int, int, int], to_512: int, to_128: int) -> None:
    network = trunk(blocks)
    assert network.output_shape == (None, 7 * 7 * 512)
    assert trained(network) + 25088 * 512 + 3 * 512 == to_512  # dense with bias, BatchNorm: as in ArcFace
    assert trained(network) + 25088 * 128 + 128 == to_128  # facenet's bottleneck


def test_the_deepest_of_the_family_is_as_large_as_its_authors() -> None:
    """OpenVINO's Model Zoo counts 65.132 million parameters in ArcFace's IResNet-100."""
    assert trained(trunk((3, 13, 30, 3))) + 25088 * 512 + 3 * 512 == pytest.approx(65.132e6, rel=1e-3)


def test_names_stand_for_depths() -> None:
    """A convolution layer counts one, so does the fully connected layer behind the trunk."""
    for depth, builder in ((18, iresnet18), (50, iresnet50)):
        images = keras.Input((80, 80, 3))
        convolutions = [x for x in keras.Model(images, builder(images)).layers if isinstance(x, keras.layers.Conv2D)]
        assert len([x for x in convolutions if not x.name.endswith("_shortcut")]) + 1 == depth


def test_every_stage_halves_the_map() -> None:
    network = trunk((2, 2, 2, 2), 80, 112)
    shapes = [network.get_layer(f"stage{stage}_block2_add").output.shape[1:] for stage in (1, 2, 3, 4)]
    assert network.get_layer("stem_prelu").output.shape[1:] == (80, 112, 64)
    assert shapes == [(40, 56, 64), (20, 28, 128), (10, 14, 256), (5, 7, 512)]


def test_a_block_is_batchnorm_convolution_batchnorm_prelu_convolution_batchnorm() -> None:
    images = keras.Input((6, 6, 8))
    network = keras.Model(images, _block(images, "b", 8, stride=1))
    kinds = [type(layer).__name__ for layer in network.layers[1:]]
    assert kinds == ["BatchNorm", "Conv2D", "BatchNorm", "PReLU", "Conv2D", "BatchNorm", "Add"]
    values = np.random.default_rng(0).normal(size=(2, 6, 6, 8)).astype(np.float32)
    residual = keras.Model(images, network.get_layer("b_bn3").output)(values)
    np.testing.assert_allclose(network(values), values + np.asarray(residual), atol=1e-6)


@pytest.mark.parametrize(("filters", "stride"), [(8, 2), (5, 1), (5, 2)])
def test_where_the_shape_changes_the_input_is_projected(filters: int, stride: int) -> None:
    images = keras.Input((6, 6, 8))
    network = keras.Model(images, _block(images, "b", filters, stride))
    assert network.output_shape == (None, 6 // stride, 6 // stride, filters)
    assert network.get_layer("b_conv1").strides == (1, 1)  # the second convolution has the stride
    assert network.get_layer("b_conv2").strides == (stride, stride)
    values = np.random.default_rng(0).normal(size=(2, 6, 6, 8)).astype(np.float32)
    parts = [keras.Model(images, network.get_layer(f"b_{name}").output)(values) for name in ("bn3", "shortcut_bn")]
    np.testing.assert_allclose(network(values), sum(map(np.asarray, parts)), atol=1e-6)
