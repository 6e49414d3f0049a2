"""Numbers that a network computes with: float32, or bfloat16 between its layers (on a GPU twice as fast)."""

from typing import Any

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # --precision -> Keras's policy


def set_precision(name: str) -> None:
    """Has every layer that is built from now on compute in `name` (float32 or bfloat16).

    Weights, gradients and what the optimizer keeps are float32 either way; BatchNorm takes its statistics in float32;
    layers that say so themselves (logits, softmax, embedding) and losses stay float32. bfloat16 has float32's range, so
    that no loss need be scaled. Source: Micikevicius et al. 2018, arXiv:1710.03740.
    """
    keras.config.set_dtype_policy(POLICIES[name])


def standalone(network: keras.Model, size: tuple[int, int] | None = None) -> keras.Model:
    """Returns the network computing in float32 on images of one `size`, with weights of its own, equal to its own.

    It is what is measured and saved: a file whose layers compute in bfloat16 would do so on every laptop, slower and to
    three digits. `size` (height, width) is for a network that was built for images of any. A network that is so already
    comes back itself. `copy_values` keeps the two equal.
    """
    config = network.get_config()
    if config == (lifted := _sized(_lifted(config), size)):
        return network
    copy = network.__class__.from_config(lifted)
    copy_values(network, copy)
    return copy


def copy_values(source: keras.Model, target: keras.Model) -> None:
    """Gives all variables of `target`, weights and statistics, the values of those of `source`."""
    if source is not target:
        target.set_weights(source.get_weights())


def _sized(config: dict[str, Any], size: tuple[int, int] | None) -> dict[str, Any]:
    """Returns a network's config with images `(B, H, W, 3)` of that size where they were of any."""
    layers = [dict(layer) for layer in config["layers"]]
    for layer in layers:
        shape = layer["config"].get("batch_shape")
        if layer["class_name"] == "InputLayer" and size and None in shape[1:3]:
            layer["config"] = layer["config"] | {"batch_shape": (None, *size, 3)}
    return config | {"layers": layers}


def _lifted(config: Any) -> Any:
    """Returns a network's config with every layer's policy float32."""
    if isinstance(config, dict):
        mixed = (config.get("config") or {}) == {"name": POLICIES["bfloat16"]}
        return "float32" if mixed else {key: _lifted(value) for key, value in config.items()}
    return [_lifted(value) for value in config] if isinstance(config, list) else config
