"""What tests of losses share: vectors, and gradients and compilation by whichever backend runs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def unit_vectors(count: int, seed: int = 0, size: int = 8) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32")


def gradient(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """Returns d function / d at."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(at))
    return np.asarray(_slope(function)(at))


def compiled_gradient(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """Returns d function / d at, as XLA compiles it."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(at))
    return np.asarray(compiled(_slope(function))(at))


def _slope(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import tensorflow as tf

    def slope(at: Any) -> Any:
        value = tf.convert_to_tensor(at)
        with tf.GradientTape() as tape:
            tape.watch(value)
            result = function(value)
        return tape.gradient(result, value)

    return slope


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function as XLA compiles it."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)
