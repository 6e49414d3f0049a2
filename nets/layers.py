"""What a backend does its own way: BatchNorm, depthwise layers, a batch on several devices, rows of large weights.

The one file of nets/ that may know a backend (docs/decisions.md, 47).
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("face_kit")
class BatchNorm(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, fused under TensorFlow on `(B, H, W, C)` inputs.

    Weights, names, statistics and outputs are those of Keras's layer; only the kernels differ (forward and
    backward of MobileNet at 112 px on a CPU: 1.4 times as fast). Other inputs and backends take Keras's own path.
    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.

    Attributes:
        shards: equal parts of the batch, one behind the other, each normalised in training with statistics of its own;
            1 but for `take_statistics`. It is no part of the layer's config: a saved network is of one device.
    """

    shards = 1

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalises over all axes but the last; returns a tensor of the inputs' shape."""
        if training and self.trainable and self.shards > 1:
            return self._by_shard(inputs)
        fusable = len(inputs.shape) == 4 and self.axis in (-1, 3) and mask is None and not self.synchronized
        if keras.backend.backend() != "tensorflow" or not fusable:
            return super().call(inputs, training=training, mask=mask)
        return self._fused(inputs, bool(training) and self.trainable)

    def get_config(self) -> dict[str, Any]:
        """Returns what `__init__` takes; how several devices share statistics is not of the layer."""
        return super().get_config() | {"synchronized": False}

    def _by_shard(self, inputs: Any) -> Any:
        shape = ops.shape(inputs)
        x = ops.cast(ops.reshape(inputs, (self.shards, shape[0] // self.shards, *shape[1:])), "float32")
        mean, variance = ops.moments(x, axes=list(range(1, len(shape))), keepdims=True)
        for moving, found in ((self.moving_mean, mean), (self.moving_variance, variance)):
            found = ops.mean(ops.reshape(found, (self.shards, -1)), axis=0)
            moving.assign(moving * self.momentum + found * (1.0 - self.momentum))
        outputs = (x - mean) * ops.rsqrt(variance + self.epsilon)
        outputs = outputs * self.gamma if self.scale else outputs
        outputs = outputs + self.beta if self.center else outputs
        return ops.cast(ops.reshape(outputs, shape), self.compute_dtype)

    def _fused(self, inputs: Any, training: bool) -> Any:
        import tensorflow as tf

        channels = inputs.shape[-1]
        compute = self.compute_dtype if self.compute_dtype in ("float32", "bfloat16") else "float32"
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(inputs, compute),
            scale=tf.cast(self.gamma, "float32") if self.scale else tf.ones((channels,)),
            offset=tf.cast(self.beta, "float32") if self.center else tf.zeros((channels,)),
            mean=tf.zeros((0,)) if training else tf.cast(self.moving_mean, "float32"),
            variance=tf.zeros((0,)) if training else tf.cast(self.moving_variance, "float32"),
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            # The kernel gives the unbiased variance (n - 1); Keras keeps the biased one (n).
            shape = tf.shape(inputs)
            count = tf.cast(shape[0] * shape[1] * shape[2], "float32")
            variance = variance * (tf.maximum(count - 1.0, 1.0) / count)
            rest = 1.0 - self.momentum
            self.moving_mean.assign(self.moving_mean * self.momentum + tf.cast(mean, self.moving_mean.dtype) * rest)
            self.moving_variance.assign(
                self.moving_variance * self.momentum + tf.cast(variance, self.moving_variance.dtype) * rest
            )
        return tf.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable("face_kit")
class Depthwise(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D`; under JAX a sum of shifted images, each times one weight a channel.

    Weights, names and outputs are those of Keras's layer. XLA fuses such a sum with what is before and behind it, and
    so its gradients (`docs/scale.md`: 0.87 of an H100's time in a profile of MobileNet, 0.44 of a CPU's). What the
    trunks do not use (depth multiplier, dilation, other padding than "same") and TensorFlow take Keras's own path.
    """

    def call(self, inputs: Any) -> Any:
        """Convolves `(B, H, W, C)` to `(B, ceil(H / stride), ceil(W / stride), C)`."""
        plain = self.depth_multiplier == 1 and self.padding == "same" and set(self.dilation_rate) == {1}
        if keras.backend.backend() != "jax" or not plain or self.data_format != "channels_last":
            return super().call(inputs)
        outputs = shifted_sum(inputs, self.kernel, self.strides)
        outputs = outputs + self.bias if self.use_bias else outputs
        return self.activation(ops.cast(outputs, self.compute_dtype))


def shifted_sum(images: Any, kernel: Any, strides: tuple[int, int]) -> Any:
    """Returns images `(B, H, W, C)` convolved with `(k, k, C, 1)`, padding "same": float32 `(B, H', W', C)`."""
    (height, width), (down, right) = kernel.shape[:2], strides
    rows, columns = (
        (-(-size // step) - 1) * step + 1 for size, step in zip(images.shape[1:3], strides, strict=True)
    )  # from the first place of the kernel to the last
    reached = rows + height - 1, columns + width - 1
    missing = [max(reach - size, 0) for reach, size in zip(reached, images.shape[1:3], strict=True)]
    padded = ops.pad(images, ((0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)))
    kernel, total = ops.cast(kernel, "float32"), 0.0
    for i in range(height):
        for j in range(width):
            shifted = padded[:, i : i + rows : down, j : j + columns : right]
            total = total + ops.cast(shifted, "float32") * kernel[i, j, :, 0]
    return total


def dtype_of_strided() -> str | None:
    """Returns in what depthwise layers of stride 2 compute; None: as the rest of the network.

    Under TensorFlow float32, in a network of bfloat16, too: on a CPU, oneDNN has no fast gradient of them in bfloat16
    (the whole step took 1.4 times as long).
    """
    return "float32" if keras.backend.backend() == "tensorflow" else None


def take_statistics(network: keras.Model, devices: int, synchronised: bool) -> None:
    """Has the BatchNorm of a network that trains on several devices take its statistics over all, or over each one's.

    Under JAX a step sees the whole batch, and "each one's" are its shards. Under TensorFlow a step sees a shard, and
    the sums of all are added up for "all" (Keras's own path, not the fused kernel).
    """
    mirrored = keras.backend.backend() == "tensorflow"
    for layer in network.layers:
        if isinstance(layer, BatchNorm):
            layer.synchronized = mirrored and synchronised and devices > 1
            layer.shards = 1 if mirrored or synchronised else devices


def mirrors() -> int:
    """Returns how many devices run this step, each on its shard of the batch, under `tf.distribute`; elsewhere 1."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def whole_batch(tensor: Any) -> Any:
    """Returns the shards `(b, ...)` of all devices, one behind the other, `(B, ...)`, under `tf.distribute`.

    Gradients flow back to them. Elsewhere a step sees the whole batch anyway, and the tensor comes back itself.
    """
    if mirrors() == 1:
        return tensor
    import tensorflow as tf

    gathered = tf.distribute.get_replica_context().all_gather(tensor, axis=0)
    return ops.reshape(gathered, (-1, *tensor.shape[1:]))  # it has forgotten its widths


def products(vectors: Any, rows: Any) -> Any:
    """Returns `vectors (B, D)` times `rows (P, D)` transposed: `(B, P)`. No transposed copy of a million rows."""
    if keras.backend.backend() != "tensorflow":
        return ops.matmul(vectors, ops.transpose(rows))
    import tensorflow as tf

    return tf.matmul(vectors, ops.convert_to_tensor(rows), transpose_b=True)


def rows_of(variable: keras.Variable, places: Any) -> Any:
    """Returns the rows of a variable `(N, ...)` at int places `(P,)`: `(P, ...)`."""
    if keras.backend.backend() != "tensorflow":
        return ops.take(variable, places, axis=0)
    import tensorflow as tf

    return tf.gather(variable.value, places)  # of the variable itself: after `set_rows`, reading it whole copies it


def set_rows(variable: keras.Variable, places: Any, rows: Any) -> None:
    """Writes rows `(P, ...)` into a variable `(N, ...)` at int places `(P,)`, all different; the others stay.

    In place: under TensorFlow by its own operation (Keras's makes a new matrix), under JAX by XLA.
    """
    if keras.backend.backend() != "tensorflow":
        variable.assign(ops.scatter_update(variable, ops.expand_dims(places, 1), rows))
        return
    import tensorflow as tf

    variable.value.scatter_update(tf.IndexedSlices(ops.convert_to_tensor(rows), places))
