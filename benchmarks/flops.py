"""How much arithmetic a training step is, counted by XLA from its graph; and what share of a chip's peak that is."""

from typing import Any

# Part of a device's name -> dense bfloat16 FLOP a second, by NVIDIA's data sheets
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12}


def step_flops(trainer: Any, images: Any, labels: Any) -> float | None:
    """Returns the floating-point operations of one step of a compiled trainer; None under another backend than JAX.

    Counted before XLA rewrites the graph: after it, what libraries do (cuDNN) counts as nothing. And counted as for a
    CPU: XLA's plugin for GPUs does not count.
    """
    import keras

    if keras.backend.backend() != "jax":
        return None
    import jax

    trainer.optimizer.build(trainer.trainable_variables)
    lists = (
        trainer.trainable_variables,
        trainer.non_trainable_variables,
        trainer.optimizer.variables,
        trainer.metrics_variables,
    )
    state = tuple([variable.value for variable in variables] for variables in lists)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (state, (images, labels)))
    with jax.default_device(jax.devices("cpu")[0]):
        counted: Any = jax.jit(trainer.train_step).lower(*shapes).cost_analysis()
    return float(counted["flops"])


def peak_flops() -> float | None:
    """Returns the peak of the first device under JAX, in FLOP a second; None where it is not in the table."""
    import keras

    if keras.backend.backend() != "jax":
        return None
    import jax

    kind = jax.local_devices()[0].device_kind
    return next((peak for name, peak in PEAKS.items() if name in kind), None)
