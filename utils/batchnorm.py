"""BatchNorm's moving statistics, taken anew: after few steps they lag behind the weights, layer upon layer."""

from collections.abc import Iterable
from typing import Any

import keras

from utils.backend import xla_pays


class Statistics(keras.Model):
    """Takes a network's statistics anew: moving means and variances become their averages over batches.

    With momentum 0.99 a layer's statistics are those of some 100 steps ago, when the layers before it gave it other
    values: 27 layers deep and 240 steps into a training, embeddings measured with them are still one point.
    Frozen layers stay as they are. A pass over a batch is compiled, once for each size of images; keep the object.
    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
    """

    def __init__(self, network: keras.Model):
        super().__init__()
        self.network, self.jit_compile = network, xla_pays()
        every = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        self.moved = [layer for layer in every if layer.trainable]
        self.number = self.add_weight((), "zeros", "float32", trainable=False, autocast=False)  # of batches so far
        self.built = True

    def call(self, images: Any) -> Any:
        """Moves the statistics towards those of one batch more, all batches counting alike."""
        momentums = [layer.momentum for layer in self.moved]
        momentum = self.number / (self.number + 1.0)
        self.number.assign_add(1.0)
        try:
            for layer in self.moved:
                layer.momentum = momentum
            return self.network(images, training=True)
        finally:
            for layer, kept in zip(self.moved, momentums, strict=True):
                layer.momentum = kept

    def take(self, batches: Iterable[Any]) -> None:
        """Sets the statistics to their averages over batches `(B, H, W, 3)`, at the network's present weights."""
        self.number.assign(0.0)
        if self.moved:
            for images in batches:
                self.predict_on_batch(images)
