"""Foreign weights: the same embeddings as an independent network, and one line for every file that does not fit."""

from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from nets.facenet import facenet
from tests.network.references import REFERENCES, Weights, keras2_weights, randomised, write_keras2
from utils.settings import UserError
from utils.weights import copy_weights, load_facenet_tf2, load_imagenet, read_facenet_tf2_backbone

SHAPE = (112, 97, 3)  # sides that are not multiples of the strides: padding matters


@cache
def reference(backbone: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    return randomised(REFERENCES[backbone](SHAPE))


@cache
def zeros(backbone: str) -> Weights:
    """All weights of a small file: as the reference's, without values."""
    found = keras2_weights(REFERENCES[backbone](SHAPE))
    return {layer: {name: np.zeros_like(a) for name, a in arrays.items()} for layer, arrays in found.items()}


def noise(shape: tuple[int, int, int], number: int = 3) -> np.ndarray:
    """uint8 images of different contrast and colour."""
    random = np.random.default_rng(1)
    noise = random.random((number, *shape)) * random.random((number, 1, 1, 3))
    return (255 * noise**1.5).astype(np.uint8)


def unit(vectors: Any) -> np.ndarray:
    vectors = np.asarray(vectors)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embedder(backbone: str, **options: Any) -> keras.Model:
    return facenet(SHAPE, backbone=backbone, mode="predict", pixel_range=(0, 1), **options)


@pytest.mark.parametrize(
    ("backbone", "nested", "text"),
    [("mobilenet", False, False), ("inception_resnet_v1", False, False), ("mobilenet", True, True)],
    ids=["mobilenet", "inception_resnet_v1", "mobilenet nested, names as text"],
)
def test_a_file_of_facenet_tf2_gives_its_embeddings(backbone: str, nested: bool, text: bool, tmp_path: Path) -> None:
    weights = keras2_weights(reference(backbone))
    weights["dense_3"] = {"kernel": np.ones((128, 12)), "bias": np.ones(12)}
    path = write_keras2(tmp_path / "ep100.h5", weights, nested, text)
    network = embedder(backbone)
    said = load_facenet_tf2(network, path)
    assert read_facenet_tf2_backbone(path) == backbone
    assert "'dense_3' of 12 people is left out" in said
    expected = unit(reference(backbone)(noise(SHAPE) / np.float32(255), training=False))
    np.testing.assert_allclose(network(noise(SHAPE), training=False), expected, atol=1e-4)
    assert np.linalg.norm(expected[0] - expected[1]) > 0.1  # the images are told apart, so the weights matter


def test_a_trainer_keeps_its_own_classifier(tmp_path: Path) -> None:
    network = facenet(SHAPE, num_classes=5, pixel_range=(0, 1))
    head = np.asarray(network.get_layer("Logits").kernel)
    said = load_facenet_tf2(network, write_keras2(tmp_path / "weights.h5", zeros("mobilenet")))
    np.testing.assert_array_equal(network.get_layer("Logits").kernel, head)
    assert not np.any(network.get_layer("conv1").kernel)
    assert "left out" not in said


def test_every_fault_is_in_one_line_and_nothing_is_set(tmp_path: Path) -> None:
    weights = {name: arrays for name, arrays in zeros("mobilenet").items() if name not in ("conv1", "conv_dw_2")}
    weights |= {"conv_pw_1": {"kernel": np.zeros((1, 1, 32, 63))}, "conv_dw_3_bn": {"beta": np.zeros(128)}}
    weights |= {f"extra_{i}": {"kernel": np.zeros((3, 3))} for i in range(5)}
    network = embedder("mobilenet")
    before = np.asarray(network.get_layer("conv_pw_13").kernel)
    with pytest.raises(UserError) as error:
        load_facenet_tf2(network, write_keras2(tmp_path / "weights.h5", weights))
    line = str(error.value)
    assert "lacks conv1, conv_dw_2;" in line
    assert "has too much: extra_0, extra_1, extra_2, ... (5 layers);" in line
    assert "conv_pw_1 (kernel 1x1x32x63, expected kernel 1x1x32x64)" in line
    assert "conv_dw_3_bn (beta 128, expected beta 128, gamma 128" in line
    assert "\n" not in line
    np.testing.assert_array_equal(network.get_layer("conv_pw_13").kernel, before)


def test_two_unknown_dense_layers_are_no_classifier(tmp_path: Path) -> None:
    dense = {"kernel": np.zeros((128, 12)), "bias": np.zeros(12)}
    path = write_keras2(tmp_path / "weights.h5", zeros("mobilenet") | {"dense": dense, "dense_1": dense})
    with pytest.raises(UserError, match=r"has too much: dense, dense_1$"):
        load_facenet_tf2(embedder("mobilenet"), path)


def test_the_trunk_the_width_and_the_scaling_have_to_be_those_of_the_file(tmp_path: Path) -> None:
    path = write_keras2(tmp_path / "weights.h5", zeros("mobilenet"))
    with pytest.raises(UserError, match="holds weights of mobilenet; this network is inception_resnet_v1"):
        load_facenet_tf2(embedder("inception_resnet_v1"), path)
    with pytest.raises(UserError, match=r"has other shapes in conv1 .*3x3x3x32, expected kernel 3x3x3x8"):
        load_facenet_tf2(embedder("mobilenet", alpha=0.25), path)
    with pytest.raises(ValueError, match="pixel_range"):
        load_facenet_tf2(facenet(SHAPE, mode="predict"), path)


def _not_hdf5(path: Path) -> None:
    path.write_bytes(b"label;path\n" * 100)


def _empty(path: Path) -> None:
    path.touch()


def _cut_in_half(path: Path) -> None:
    write_keras2(path, zeros("mobilenet"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _keras_3(path: Path) -> None:
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save_weights(path)


def _without_bottleneck(path: Path) -> None:
    write_keras2(path, {name: arrays for name, arrays in zeros("mobilenet").items() if "ottleneck" not in name})


def _nowhere(path: Path) -> None:
    pass


def _a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (_not_hdf5, "not a whole HDF5 file"),
        (_empty, "not a whole HDF5 file"),
        (_cut_in_half, "not a whole HDF5 file"),
        (_keras_3, "Keras 3"),
        (_without_bottleneck, "not the weights that facenet-tf2 writes for mobilenet or inception_resnet_v1"),
        (_nowhere, "no weights file"),
        (_a_folder, "no weights file"),
    ],
)
def test_other_files_are_refused_in_one_line(make: Any, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "some.weights.h5"
    make(path)
    with pytest.raises(UserError, match=expected) as error:
        read_facenet_tf2_backbone(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("alpha", "shape"), [(1.0, (96, 96, 3)), (0.25, (96, 160, 3))])
def test_imagenet_weights_give_the_features_of_keras_mobilenet(alpha: float, shape: tuple[int, int, int]) -> None:
    keras.utils.set_random_seed(0)
    source = randomised(keras.applications.MobileNet(shape, alpha, include_top=False, weights=None, pooling="avg"))
    network = facenet(shape, mode="predict", alpha=alpha)
    bottleneck = np.asarray(network.get_layer("Bottleneck").kernel)
    load_imagenet(network, source)
    features = keras.Model(network.input, network.get_layer("pool").output)(noise(shape), training=False)
    expected = np.asarray(source(noise(shape) / np.float32(127.5) - 1, training=False))
    # Rounding alone, the last bit of the pixels, moves the source's own features by up to 1e-5 of their length; an
    # epsilon that is 1% off in one of the 27 BatchNorms moves them by 17e-5.
    error = np.linalg.norm(np.asarray(features) - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 3e-5
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_array_equal(network.get_layer("Bottleneck").kernel, bottleneck)


def test_imagenet_weights_of_another_width_are_refused() -> None:
    source = keras.applications.MobileNet((96, 96, 3), 0.5, include_top=False, weights=None)
    with pytest.raises(UserError, match=r"expected kernel 3x3x3x8\).*\(54 layers\)"):
        load_imagenet(facenet((96, 96, 3), mode="predict", alpha=0.25), source)


@pytest.mark.parametrize(("size", "alpha", "asked"), [(100, 1.0, 128), (160, 0.5, 160), (299, 0.25, 224)])
def test_imagenet_weights_come_for_the_width_and_nearest_size(
    size: int, alpha: float, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def download(*arguments: Any, **options: Any) -> None:
        calls.append((*arguments, options["weights"]))
        raise Exception("URL fetch failure on https://...:\nNone -- [Errno -3] Temporary failure in name resolution")

    monkeypatch.setattr(keras.applications, "MobileNet", download)
    with pytest.raises(UserError, match=r"cannot get .* URL fetch failure .* name resolution") as error:
        load_imagenet(facenet((size, size, 3), mode="predict", alpha=alpha))
    assert calls == [((asked, asked, 3), alpha, "imagenet")]
    assert "\n" not in str(error.value)


def test_imagenet_weights_are_for_mobilenet_in_keras_widths() -> None:
    with pytest.raises(UserError, match="mobilenet only; this network is inception_resnet_v1"):
        load_imagenet(facenet((96, 96, 3), mode="predict", backbone="inception_resnet_v1"))
    with pytest.raises(UserError, match=r"this network's is 0\.375"):
        load_imagenet(facenet((96, 96, 3), mode="predict", alpha=0.375))


def test_weights_are_copied_between_sizes_of_input_and_not_between_widths() -> None:
    source = randomised(facenet((96, 96, 3), mode="predict", alpha=0.25), brightest=255)
    network = facenet((128, 112, 3), mode="predict", alpha=0.25)
    copy_weights(network, source, "best.keras")
    for found, expected in zip(network.weights, source.weights, strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=found.path)
    with pytest.raises(UserError, match=r"^best\.keras has other shapes in conv1 "):
        copy_weights(facenet((96, 96, 3), mode="predict", alpha=0.5), source, "best.keras")
