"""MobileNet v1: parameters, widths and layers, against the paper's table and `keras.applications.MobileNet`."""

import keras
import pytest

from nets.facenet import facenet
from nets.mobilenet import mobilenet


def trunk(alpha: float = 1.0, depth_multiplier: int = 1, shape: tuple[int, int, int] = (160, 160, 3)) -> keras.Model:
    images = keras.Input(shape)
    return keras.Model(images, mobilenet(images, alpha=alpha, depth_multiplier=depth_multiplier))


def test_parameters_are_those_of_facenet_tf2() -> None:
    network = facenet((160, 160, 3), mode="predict")
    assert network.count_params() == 3_360_320
    assert trunk().count_params() == 3_360_320 - 1024 * 128 - 3 * 128


@pytest.mark.parametrize(("alpha", "depth_multiplier"), [(1.0, 1), (0.75, 1), (0.25, 1), (0.5, 2)])
def test_layers_are_those_of_keras_mobilenet(alpha: float, depth_multiplier: int) -> None:
    reference = keras.applications.MobileNet((160, 160, 3), alpha, depth_multiplier, include_top=False, weights=None)

    def layers(network: keras.Model) -> dict[str, list[tuple[int, ...]]]:
        return {layer.name: [tuple(w.shape) for w in layer.weights] for layer in network.layers if layer.weights}

    network = trunk(alpha, depth_multiplier)
    assert layers(network) == layers(reference)
    assert network.output_shape == (None, int(1024 * alpha))


@pytest.mark.parametrize("size", [96, 112, 160, 224])
def test_maps_shrink_by_32(size: int) -> None:
    network = trunk(shape=(size, 2 * size, 3))
    assert network.get_layer("conv_pw_13").output.shape == (None, -(-size // 32), 2 * size // 32, 1024)
    assert network.get_layer("conv_pw_1").output.shape == (None, size // 2, size, 64)


def test_a_stem_without_stride_has_larger_maps_and_the_same_weights() -> None:
    images = keras.Input((96, 112, 3))
    fine = keras.Model(images, mobilenet(images, stem_stride=1))
    coarse = trunk(shape=(96, 112, 3))
    assert [tuple(w.shape) for w in fine.weights] == [tuple(w.shape) for w in coarse.weights]
    assert fine.get_layer("conv_pw_1").output.shape == (None, 96, 112, 64)
    assert fine.get_layer("conv_pw_13").output.shape == (None, 6, 7, 1024)
    assert fine.output_shape == coarse.output_shape


def test_the_narrow_network_embeds() -> None:
    network = facenet((96, 128, 3), mode="predict", alpha=0.25)
    assert network.count_params() < 3_360_320 / 10
    assert network.output_shape == (None, 128)
