"""The averaged copy of the weights (EMA) in the network's place: for a verification, and for what is saved."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from utils.batchnorm import Statistics


def momentum_over(share: float, steps: int) -> float:
    """Returns the momentum that averages over the last `share`, about, of a run's `steps`; 0 where that is under two.

    A momentum of 0.999, as it is found in papers, remembers 1,000 steps: in a run of 400 the copy would be mostly the
    random weights of its beginning. A share fits every run. Weights of t steps ago count momentum^t.
    """
    window = share * steps
    return 1.0 - 1.0 / window if window >= 2 else 0.0


@contextlib.contextmanager
def averaged(trainer: keras.Model, statistics: Statistics, batches: Iterable[Any]) -> Iterator[None]:
    """Inside the block, the trainer's weights are their averages; afterwards all are as they were, to the bit.

    BatchNorm's statistics belong to the weights of the steps: for the averages they are taken anew (Izmailov et al.
    2018, arXiv:1803.05407, section 3.2). Where the optimizer keeps no average, the block runs on the weights as they
    are, with statistics that are taken anew and stay.

    Args:
        trainer: compiled; its optimizer keeps the averages.
        statistics: of the part of it that is used.
        batches: images `(B, H, W, 3)` for the statistics.
    """
    if not trainer.optimizer.use_ema or not trainer.optimizer.built:
        statistics.take(batches)
        yield
        return
    swapped = [*trainer.trainable_variables, *statistics.network.non_trainable_variables]
    kept = [np.array(keras.ops.convert_to_numpy(variable)) for variable in swapped]
    try:
        trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
        for variable in trainer.trainable_variables:  # a copy: JAX's predict takes the buffers of weights for its own
            variable.assign(np.array(keras.ops.convert_to_numpy(variable)))
        statistics.take(batches)
        yield
    finally:
        for variable, value in zip(swapped, kept, strict=True):
            variable.assign(value)
