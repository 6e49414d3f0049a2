"""What TensorFlow does faster its own way: the one file of nets/ that may know a backend (DESIGN, decision 14)."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("face_kit")
class BatchNorm(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, fused under TensorFlow on `(B, H, W, C)` inputs.

    Weights, names, statistics and outputs are those of Keras's layer; only the kernels differ (forward and
    backward of MobileNet at 112 px on a CPU: 1.4 times as fast). Other inputs and backends take Keras's own path.
    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalises over all axes but the last; returns a tensor of the inputs' shape."""
        fusable = len(inputs.shape) == 4 and self.axis in (-1, 3) and mask is None and not self.synchronized
        if keras.backend.backend() != "tensorflow" or not fusable:
            return super().call(inputs, training=training, mask=mask)
        return self._fused(inputs, bool(training) and self.trainable)

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
