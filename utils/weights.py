"""Weights from elsewhere, strictly by layer name: facenet-tf2's `.h5` files and Keras's MobileNet for ImageNet."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from utils.settings import UserError

Weights = dict[str, dict[str, np.ndarray]]  # layer -> kernel, bias, gamma, beta, moving_mean, ... -> array

HEAD = "Logits"  # the classifier of our networks, which no foreign file fills
MARKS = {  # layers that only the files of one trunk have, both near the trunk's end and behind it
    "mobilenet": {"conv_pw_13", "BatchNorm_Bottleneck"},
    "inception_resnet_v1": {"Block8_6_Conv2d_1x1", "Bottleneck_BatchNorm"},
}
OUR_LAYER = {"Bottleneck_BatchNorm": "BatchNorm_Bottleneck"}  # facenet-tf2 names it otherwise in each trunk
OUR_WEIGHT = {"depthwise_kernel": "kernel"}  # Keras 2 -> Keras 3
IMAGENET_ALPHAS = (0.25, 0.5, 0.75, 1.0)
IMAGENET_SIZES = (128, 160, 192, 224)  # pixels; Keras has a file for each


def read_facenet_tf2_backbone(path: str | os.PathLike[str]) -> str:
    """Returns the trunk that a file of facenet-tf2 is for: "mobilenet" or "inception_resnet_v1".

    Raises UserError where the file is missing, broken, or not one of facenet-tf2.
    """
    return _backbone(_read(path), path)


def load_facenet_tf2(network: keras.Model, path: str | os.PathLike[str]) -> str:
    """Sets the weights of `network` (of `facenet`, with `pixel_range=(0, 1)`) to those of facenet-tf2's `.h5`.

    Every layer has to be in both, with the same shapes; but the classifiers, the file's and the network's, are left
    out. Nothing is set where anything does not fit. Returns the sentence that says what was loaded and left out.

    Raises:
        UserError: the file cannot be read, is for another trunk, or does not fit; every fault in one line.
        ValueError: the network does not scale pixels to 0..1, as the weights expect.
    """
    weights = _read(path)
    backbone = _backbone(weights, path)
    if backbone != network.name:
        raise UserError(f"{path} holds weights of {backbone}; this network is {network.name}")
    scaling = network.get_layer("scaling")
    if not np.allclose((scaling.scale, scaling.offset), (1 / 255, 0)):
        raise ValueError("weights of facenet-tf2 expect pixels in 0..1: build the network with pixel_range=(0, 1)")
    weights = {OUR_LAYER.get(name, name): arrays for name, arrays in weights.items()}
    layers = {layer.name: layer for layer in _layers(network) if layer.name != HEAD}
    classifier = _classifier(weights, set(layers))
    left_out = ""
    if classifier:
        people = weights.pop(classifier)["kernel"].shape[1]
        left_out = f"; its classifier '{classifier}' of {people:,} people is left out"
    _assign(layers, weights, str(path))
    return f"{len(layers)} layers of {backbone} loaded from {path}{left_out}"


def load_imagenet(network: keras.Model, source: keras.Model | None = None) -> None:
    """Sets the trunk of `network` (a MobileNet of `facenet`) to the weights of `keras.applications.MobileNet`.

    They expect pixels in -1..1, and give the same features where every map they stride over has even sides (inputs of
    a multiple of 32 pixels); elsewhere Keras pads otherwise by a pixel. `source` None downloads those for ImageNet
    of the network's width and the nearest size; else `source` is such a network without its top.

    Raises UserError where the network is of another trunk or width, or the download fails.
    """
    layers = {layer.name: layer for layer in _layers(network) if layer.name.startswith("conv")}
    if "conv_pw_13" not in layers:
        raise UserError(f"weights for ImageNet are there for mobilenet only; this network is {network.name}")
    if source is None:
        source = _imagenet_mobilenet(layers["conv1"].kernel.shape[-1] / 32, network.input_shape[1])
    _assign(layers, _weights(source), source.name)


def copy_weights(network: keras.Model, source: keras.Model, name: str) -> None:
    """Sets the weights of `network` to those of `source`, strictly by layer name, whatever the input sizes.

    Raises UserError, with every fault in one line, where trunk or embedding size differ; `name` is said there.
    """
    _assign({layer.name: layer for layer in _layers(network)}, _weights(source), name)


def _imagenet_mobilenet(alpha: float, size: int | None) -> keras.Model:
    if alpha not in IMAGENET_ALPHAS:
        raise UserError(f"weights for ImageNet are there for alpha {IMAGENET_ALPHAS}; this network's is {alpha:g}")
    side = min(IMAGENET_SIZES, key=lambda choice: abs(choice - (size or 160)))
    try:
        return keras.applications.MobileNet((side, side, 3), alpha, include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises Exception itself where the network is down, OSError for half a file
        reason = " ".join(str(error).split())
        raise UserError(f"cannot get MobileNet's weights for ImageNet through Keras: {reason}") from error


def _read(path: str | os.PathLike[str]) -> Weights:
    """Returns all weights in a Keras 2 `.h5`; those of a nested model's group too."""
    if not Path(path).is_file():
        raise UserError(f"no weights file at {path}")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)  # Model.save puts there what save_weights puts at the root
            if "layer_names" in root.attrs:
                return _read_groups(root)
    except (OSError, KeyError, RuntimeError, ValueError) as error:  # what h5py raises for bytes that it cannot follow
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not a whole HDF5 file, as facenet-tf2 writes: {reason}") from error
    raise UserError(f"{path} has no layer_names: not an .h5 of Keras 2, as facenet-tf2 writes (Keras 3 wrote it?)")


def _read_groups(root: Any) -> Weights:
    weights: Weights = {}
    for group in map(_text, root.attrs["layer_names"]):
        for name in map(_text, root[group].attrs["weight_names"]):
            layer, weight = [group, *name.split("/")][-2:]  # a nested model's group names its layers here
            weight = weight.split(":")[0]
            weights.setdefault(layer, {})[OUR_WEIGHT.get(weight, weight)] = np.asarray(root[group][name])
    return weights


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _backbone(weights: Weights, path: str | os.PathLike[str]) -> str:
    for backbone, marks in MARKS.items():
        if marks <= set(weights):
            return backbone
    raise UserError(
        f"{path} holds {_some(list(weights)) or 'no layers'}: "
        f"not the weights that facenet-tf2 writes for {' or '.join(MARKS)}"
    )


def _classifier(weights: Weights, known: set[str]) -> str | None:
    """Returns the one unknown layer that maps embeddings to people; its name depends on what was built before."""
    width = weights.get("Bottleneck", {}).get("kernel", np.empty((0, 0))).shape[1]
    found = [
        name
        for name, arrays in weights.items()
        if name not in known and "kernel" in arrays and arrays["kernel"].ndim == 2 and len(arrays["kernel"]) == width
    ]
    return found[0] if len(found) == 1 else None


def _layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields the layers that have weights, those of nested models too."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        elif layer.weights:
            yield layer


def _assign(layers: dict[str, keras.layers.Layer], weights: Weights, source: str) -> None:
    """Sets the layers' variables; raises UserError with every fault, before any is set."""
    faults = {
        "lacks": [name for name in layers if name not in weights],
        "has too much:": [name for name in weights if name not in layers],
        "has other shapes in": [
            f"{name} ({_shapes(weights[name])}, expected {_shapes(_variables(layer))})"
            for name, layer in layers.items()
            if name in weights and _shapes(weights[name]) != _shapes(_variables(layer))
        ],
    }
    if any(faults.values()):
        raise UserError(f"{source} " + "; ".join(f"{fault} {_some(found)}" for fault, found in faults.items() if found))
    for name, layer in layers.items():
        for variable in layer.weights:
            variable.assign(weights[name][variable.name])


def _weights(network: keras.Model) -> Weights:
    return {layer.name: {v.name: np.asarray(v) for v in layer.weights} for layer in _layers(network)}


def _variables(layer: keras.layers.Layer) -> dict[str, Any]:
    return {variable.name: variable for variable in layer.weights}


def _shapes(arrays: dict[str, Any]) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in sorted(arrays.items()))


def _some(names: list[str]) -> str:
    """Returns the first names, and how many there are."""
    rest = f", ... ({len(names)} layers)" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
