"""BatchNorm's moving statistics, taken anew: after few steps they lag behind the weights, layer upon layer."""

from collections.abc import Iterable

import keras
import numpy as np


def reestimate(network: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Sets moving means and variances to their averages over `batches`, each `(B, H, W, 3)`, at the present weights.

    With momentum 0.99 a layer's statistics are those of some 100 steps ago, when the layers before it gave it other
    values: 27 layers deep and 240 steps into a training, embeddings measured with them are still one point.
    The momentums are as before when it returns; frozen layers stay as they are.
    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
    """
    every = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    layers = [layer for layer in every if layer.trainable]
    if not layers:
        return
    momentums = [layer.momentum for layer in layers]
    try:
        for number, images in enumerate(batches):
            for layer in layers:
                layer.momentum = number / (number + 1)  # a running average with equal weights
            network(images, training=True)
    finally:
        for layer, momentum in zip(layers, momentums, strict=True):
            layer.momentum = momentum
