"""Optimizers by name: Keras's own, with weight decay, clipping, accumulation and an averaged copy of the weights."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from utils.schedules import OfUpdates

# BatchNorm's scale and offset, all biases, PReLU's slopes (He et al. 2015, arXiv:1502.01852, section 2.1)
NOT_DECAYED = (r"\bgamma\b", r"\bbeta\b", r"bias\b", r"\balpha\b")  # in names as "alpha", "alpha:0" under TensorFlow
BEHIND_TRUNK = re.compile("Bottleneck|Logits|objective")  # in the paths of weights that are not the trunk's


@dataclasses.dataclass(frozen=True)
class TrunkRate:
    """How much slower the trunk learns than the layers behind it: for fine-tuning from weights that are good already.

    Its weights are not decayed: they are to stay near where they begin.
    """

    share: float = 1.0  # of the rate
    frozen: int = 0  # updates at the start in which it does not move


def _built(
    kind: type[keras.optimizers.Optimizer],
    schedule: Any,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    accumulate: int = 1,
    ema: float = 0.0,
    trunk: TrunkRate | None = None,
    **own: Any,
) -> keras.optimizers.Optimizer:
    """Returns an optimizer of a kind, with its `own` settings.

    Args:
        schedule: a rate, or one of Keras's schedules, of the updates: with `accumulate` 4, of every fourth batch.
        weight_decay: what an update takes off each weight, as a share of it and of the rate (decoupled: Loshchilov and
            Hutter 2019, arXiv:1711.05101); BatchNorm's weights, biases and PReLU's slopes are left out.
        clip_norm: the length to which all gradients together are cut (Pascanu et al. 2013, arXiv:1211.5063); 0: never.
        accumulate: batches whose gradients are averaged for one update.
        ema: momentum of the averaged copy of the weights (`utils.averaging`), which Keras moves at every batch, whether
            the weights are updated there or not; 0: no copy. The first of them count evenly.
        trunk: None: it learns as the rest does.
    """
    options: dict[str, Any] = own | {
        "weight_decay": weight_decay or None,
        "global_clipnorm": clip_norm or None,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
        "use_ema": ema > 0,
    }
    if ema:
        options["ema_momentum"] = ema
    if accumulate > 1 and isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        schedule = OfUpdates(schedule, accumulate)
    kind = _slower(kind, trunk) if trunk else kind
    optimizer = (_averaging(kind) if ema else kind)(schedule, **options)
    optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer


def _slower(kind: type[keras.optimizers.Optimizer], trunk: TrunkRate) -> type[keras.optimizers.Optimizer]:
    """Returns the kind with a rate of its own for the trunk: Adam's steps do not depend on a gradient's scale."""

    class Slower(kind):  # type: ignore[valid-type, misc]
        def build(self, variables: Any) -> None:
            self.is_trunk = [not BEHIND_TRUNK.search(variable.path) for variable in variables]
            behind = [variable for variable, is_trunk in zip(variables, self.is_trunk, strict=True) if is_trunk]
            self.exclude_from_weight_decay(var_list=behind, var_names=list(NOT_DECAYED))
            super().build(variables)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            if self.is_trunk[self._get_variable_index(variable)]:
                learning_rate = learning_rate * ops.where(self.iterations < trunk.frozen, 0.0, trunk.share)
            super().update_step(gradient, variable, learning_rate)

    return Slower


def _averaging(kind: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Returns the kind with an average that begins even, `t / (t + 1)` of it kept t batches after the first update.

    Keras's begins as a copy of the first weights, of which a momentum of 1 - 1/n leaves a third after n batches.
    """

    class Averaging(kind):  # type: ignore[valid-type, misc]
        def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
            batches = self._iterations + 1 - (self.gradient_accumulation_steps or 1)  # since the first update
            done = ops.cast(ops.maximum(batches, 0), "float32")
            kept = ops.minimum(self.ema_momentum, done / (done + 1.0))
            for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
                if average is not None:
                    average.assign(kept * average + (1.0 - kept) * variable)

    return Averaging


def adam(schedule: Any, weight_decay: float = 0.0, **options: Any) -> keras.optimizers.Optimizer:
    """Kingma and Ba 2015, arXiv:1412.6980; raises ValueError for a weight decay: that is `adamw`."""
    if weight_decay:
        raise ValueError(f"adam has no weight decay: adamw has; received {weight_decay}")
    return _built(keras.optimizers.Adam, schedule, **options)


def adamw(schedule: Any, **options: Any) -> keras.optimizers.Optimizer:
    """Adam with decoupled weight decay; Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2."""
    return _built(keras.optimizers.Adam, schedule, **options)  # Keras's AdamW is its Adam with a decay that is not 0


def sgd(schedule: Any, **options: Any) -> keras.optimizers.Optimizer:
    """Nesterov's momentum of 0.9; Sutskever et al. 2013, equations 3 and 4 (as Keras writes them)."""
    return _built(keras.optimizers.SGD, schedule, momentum=0.9, nesterov=True, **options)


# name -> (schedule, weight_decay, clip_norm, accumulate, ema, trunk) -> optimizer
OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {"adam": adam, "adamw": adamw, "sgd": sgd}
KEPT = {"adam": 2, "adamw": 2, "sgd": 1}  # numbers that each keeps of a weight
