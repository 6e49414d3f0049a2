"""facenet-tf2's two networks once more, written from plain Keras layers, and their files: what ours is held against.

The references take pixels in 0..1 and stop before the embedding is brought to unit length.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import layers

Weights = dict[str, dict[str, np.ndarray]]


def mobilenet(shape: tuple[int, int, int]) -> keras.Model:
    def normalised(x: Any, name: str) -> Any:
        return layers.Activation("relu6")(layers.BatchNormalization(name=f"{name}_bn")(x))

    images = keras.Input(shape)
    x = normalised(layers.Conv2D(32, 3, 2, "same", use_bias=False, name="conv1")(images), "conv1")
    filters = [64, 128, 128, 256, 256] + [512] * 6 + [1024] * 2
    for i in range(13):
        strides = 2 if i in (1, 3, 5, 11) else 1
        depthwise = layers.DepthwiseConv2D(3, strides, "same", use_bias=False, name=f"conv_dw_{i + 1}")
        x = normalised(depthwise(x), f"conv_dw_{i + 1}")
        pointwise = layers.Conv2D(filters[i], 1, use_bias=False, name=f"conv_pw_{i + 1}")
        x = normalised(pointwise(x), f"conv_pw_{i + 1}")
    return _with_bottleneck(images, x, "BatchNorm_Bottleneck")


def inception_resnet_v1(shape: tuple[int, int, int]) -> keras.Model:
    def conv(x: Any, filters: int, size: str, name: str, strides: int = 1, padding: str = "same") -> Any:
        rows, columns = map(int, size.split("x"))
        name = f"{name}_{size}"
        x = layers.Conv2D(filters, (rows, columns), strides, padding, use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=0.995, epsilon=1e-3, scale=False, name=f"{name}_BatchNorm")(x)
        return layers.Activation("relu")(x)

    def down(x: Any, filters: int, name: str) -> Any:
        return conv(x, filters, "3x3", name, 2, "valid")

    def residual(x: Any, name: str, scale: float, branches: list[Any]) -> Any:
        up = layers.Conv2D(x.shape[-1], 1, name=f"{name}_Conv2d_1x1")(layers.Concatenate()(branches))
        return layers.Add()([x, layers.Rescaling(scale)(up)])

    def two_branches(x: Any, name: str, scale: float, filters: int, size: int) -> Any:
        long = conv(x, filters, "1x1", f"{name}_Branch_1_Conv2d_0a")
        long = conv(long, filters, f"1x{size}", f"{name}_Branch_1_Conv2d_0b")
        long = conv(long, filters, f"{size}x1", f"{name}_Branch_1_Conv2d_0c")
        return residual(x, name, scale, [conv(x, filters, "1x1", f"{name}_Branch_0_Conv2d"), long])

    images = keras.Input(shape)
    x = down(images, 32, "Conv2d_1a")
    x = conv(x, 32, "3x3", "Conv2d_2a", padding="valid")
    x = layers.MaxPooling2D(3, 2)(conv(x, 64, "3x3", "Conv2d_2b"))
    x = conv(x, 80, "1x1", "Conv2d_3b")
    x = down(conv(x, 192, "3x3", "Conv2d_4a", padding="valid"), 256, "Conv2d_4b")
    for i in range(1, 6):
        b = f"Block35_{i}_Branch_"
        first = conv(x, 32, "1x1", f"{b}0_Conv2d")
        second = conv(conv(x, 32, "1x1", f"{b}1_Conv2d_0a"), 32, "3x3", f"{b}1_Conv2d_0b")
        third = conv(conv(x, 32, "1x1", f"{b}2_Conv2d_0a"), 32, "3x3", f"{b}2_Conv2d_0b")
        third = conv(third, 32, "3x3", f"{b}2_Conv2d_0c")
        x = layers.Activation("relu")(residual(x, f"Block35_{i}", 0.17, [first, second, third]))
    b = "Mixed_6a_Branch_"
    second = conv(conv(x, 192, "1x1", f"{b}1_Conv2d_0a"), 192, "3x3", f"{b}1_Conv2d_0b")
    second = down(second, 256, f"{b}1_Conv2d_1a")
    x = layers.Concatenate()([down(x, 384, f"{b}0_Conv2d_1a"), second, layers.MaxPooling2D(3, 2)(x)])
    for i in range(1, 11):
        x = layers.Activation("relu")(two_branches(x, f"Block17_{i}", 0.10, 128, 7))
    b = "Mixed_7a_Branch_"
    first = down(conv(x, 256, "1x1", f"{b}0_Conv2d_0a"), 384, f"{b}0_Conv2d_1a")
    second = down(conv(x, 256, "1x1", f"{b}1_Conv2d_0a"), 256, f"{b}1_Conv2d_1a")
    third = conv(conv(x, 256, "1x1", f"{b}2_Conv2d_0a"), 256, "3x3", f"{b}2_Conv2d_0b")
    third = down(third, 256, f"{b}2_Conv2d_1a")
    x = layers.Concatenate()([first, second, third, layers.MaxPooling2D(3, 2)(x)])
    for i in range(1, 6):
        x = layers.Activation("relu")(two_branches(x, f"Block8_{i}", 0.20, 192, 3))
    return _with_bottleneck(images, two_branches(x, "Block8_6", 1.0, 192, 3), "Bottleneck_BatchNorm")


def _with_bottleneck(images: Any, x: Any, name: str) -> keras.Model:
    x = layers.Dense(128, use_bias=False, name="Bottleneck")(layers.GlobalAveragePooling2D()(x))
    x = layers.BatchNormalization(momentum=0.995, epsilon=1e-3, scale=False, name=name)(x)
    return keras.Model(images, x)


REFERENCES: dict[str, Callable[..., keras.Model]] = {
    "mobilenet": mobilenet,
    "inception_resnet_v1": inception_resnet_v1,
}


def randomised(model: keras.Model, brightest: float = 1.0) -> keras.Model:
    """Gives every BatchNorm other gamma, beta and statistics than its neighbours.

    The statistics are about those of noise images (pixels 0..`brightest`), so that no layer's signal dies or explodes;
    with the initial ones (0 and 1) MobileNet's dies, and comparisons behind it say nothing.
    """
    random = np.random.default_rng(0)
    normalisations = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalisations]
    for layer in normalisations:
        layer.momentum = 0.0  # the statistics become those of the one batch below
        if layer.scale:
            layer.gamma.assign(random.uniform(0.5, 1.5, layer.gamma.shape))
        if layer.center:
            layer.beta.assign(random.normal(0, 0.2, layer.beta.shape))
    model(random.random((4, *model.input_shape[1:]), dtype=np.float32) * brightest, training=True)
    for layer, momentum in zip(normalisations, momenta, strict=True):
        layer.momentum = momentum
        for statistic in (layer.moving_mean, layer.moving_variance):
            statistic.assign(np.asarray(statistic) * random.uniform(0.8, 1.25, statistic.shape))
    return model


def keras2_weights(model: keras.Model) -> Weights:
    """Returns layer -> weight -> array, under the names that Keras 2 gave them."""
    return {
        layer.name: {
            "depthwise_kernel" if isinstance(layer, layers.DepthwiseConv2D) else v.name: np.asarray(v)
            for v in layer.weights
        }
        for layer in model.layers
    }


def write_keras2(path: Path, weights: Weights, nested: bool = False, text: bool = False) -> Path:
    """Writes what `Model.save_weights("....h5")` of Keras 2 writes; `nested`: the trunk was a model inside a model."""

    def names(found: list[str]) -> Any:
        return found if text else np.array([name.encode() for name in found], dtype="S")

    groups = {layer: {f"{layer}/{name}:0": a for name, a in arrays.items()} for layer, arrays in weights.items()}
    if nested:
        groups = {"images": {}, "trunk": {name: a for group in groups.values() for name, a in group.items()}}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = names(list(groups))
        file.attrs["keras_version"] = "2.3.0-tf"
        for group, arrays in groups.items():
            file.create_group(group).attrs["weight_names"] = names(list(arrays)) if arrays else np.zeros(0)
            for name, array in arrays.items():
                file[group].create_dataset(name, data=array)
    return path
