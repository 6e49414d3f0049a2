"""BatchNorm folded into the layer before it, for networks that only embed."""

from collections import Counter
from typing import Any

import keras
from keras import layers, ops

FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


def folded(network: keras.Model) -> keras.Model:
    """Returns a network of the same outputs whose linear layers do what the BatchNorm behind them did.

    In use BatchNorm is a scale and an offset a channel, which a convolution's kernel and bias can bear (Jacob et al.
    2018, arXiv:1712.05877, section 3.2). A layer whose output goes elsewhere too, or that has an activation, keeps its
    BatchNorm. Weights are copies: what the network learns afterwards does not reach them. A network with nothing to
    fold, or with a layer that is called twice, comes back itself.
    """
    behind = _pairs(network)
    if not behind:
        return network
    identities = {bn.name for bn in behind.values()}

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in identities:
            return _Nothing(name=layer.name)
        config = layer.get_config()
        return layer.__class__.from_config(config | {"use_bias": True} if layer.name in behind else config)

    copy = keras.models.clone_model(network, clone_function=copied)
    for layer in network.layers:
        if layer.name in behind:
            copy.get_layer(layer.name).set_weights(_merged(layer, behind[layer.name]))
        elif layer.weights and layer.name not in identities:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


class _Nothing(layers.Layer):
    """Stands where a BatchNorm was, called as one."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return inputs


def _pairs(network: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns name of a linear layer -> the BatchNorm that alone sees its output."""
    if not hasattr(network, "operations"):  # a Sequential
        return {}
    if any(len(layer.get("inbound_nodes", ())) > 1 for layer in network.get_config()["layers"]):
        return {}
    made_by = {id(layer.output): layer for layer in network.layers}
    used = Counter(id(seen) for step in network.operations for seen in keras.tree.flatten(step.input))
    used.update(map(id, network.outputs))
    pairs = {}
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization) and layer.axis in (-1, len(layer.input.shape) - 1):
            before = made_by.get(id(layer.input))
            if before and _linear(before) and used[id(layer.input)] == 1:
                pairs[before.name] = layer
    return pairs


def _linear(layer: keras.layers.Layer) -> bool:
    last = getattr(layer, "data_format", "channels_last") == "channels_last"
    return isinstance(layer, FOLDABLE) and last and layer.activation is keras.activations.linear


def _merged(layer: keras.layers.Layer, bn: keras.layers.Layer) -> list[Any]:
    """Returns kernel and bias that do what `layer` and then `bn` do."""
    scale = ops.rsqrt(bn.moving_variance + bn.epsilon)
    scale = scale * bn.gamma if bn.scale else scale
    offset = (layer.bias if layer.use_bias else 0.0) - bn.moving_mean
    bias = offset * scale + (bn.beta if bn.center else 0.0)
    channels = layer.kernel.shape[2:] if isinstance(layer, layers.DepthwiseConv2D) else layer.kernel.shape[-1:]
    return [ops.convert_to_numpy(layer.kernel * ops.reshape(scale, channels)), ops.convert_to_numpy(bias)]
