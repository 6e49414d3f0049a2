"""Cross-entropy over a sample of the people: what a step with very many of them can afford.

A step takes the class weights of the people in its batch and of others drawn at random, together with what the
optimizer keeps of them, computes with these alone, and puts them back. Logits, their gradient and the optimizer's work
shrink to the share; of everybody there remain the weights and the optimizer's numbers, which a step does not touch.

Source: An et al. 2022, arXiv:2203.15565 (Partial FC); 2020, arXiv:2010.05222; insightface's partial_fc_v2.py.
"""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from nets.head_layers import PersonRows
from nets.layers import rows_of, set_rows

OWN = ("average", "gradient_accumulator")  # an optimizer's variables that have no row for each person


def columns_for(people: int, share: float, batch_size: int) -> int:
    """Returns how many people a step looks at: the share, rounded up; all of a batch find room among them."""
    return min(people, max(math.ceil(share * people), batch_size))


@dataclass(frozen=True)
class Rows:
    """A variable with a row for each person, and one that holds a sample of its rows."""

    everybody: keras.Variable
    sample: keras.Variable


class ClassSample(keras.layers.Layer):
    """The people that a step looks at, with their weights, which are trained in place of everybody's.

    The rows of those who were not drawn stay as they are, to the bit; Adam's and momentum's numbers of them, too. The
    draws follow from a random state that is part of the checkpoint.

    Args:
        head: the network's "Logits" layer. Its weights are this layer's to move; no optimizer sees them.
        columns: how many people; at least the batch's labels.
        seed: of the draws.

    Attributes:
        chosen: int32 `(columns,)`, the people of the step, those of the batch first.
    """

    def __init__(self, head: PersonRows, columns: int, seed: int = 0):
        super().__init__(name="SampledLogits", dtype="float32")
        if not 1 <= columns <= head.people:
            raise ValueError(f"columns is 1 to {head.people}, the number of people; received {columns}")
        head.trainable = False
        self.head, self.columns, self.built = head, columns, True
        self.draws = keras.random.SeedGenerator(seed, name="class_draws")
        self.chosen = self._variable((columns,), "chosen", "int32", aggregation="only_first_replica")
        self.own = [self._variable((columns, *w.shape[1:]), w.name, trainable=True) for w in head.weights]
        self.rows = [Rows(*pair) for pair in zip(head.weights, self.own, strict=True)]

    def follow(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Keeps everybody's share of what a built optimizer keeps of the sample: momentum, velocity. Once."""
        for weight in self.own:
            prefix = weight.path.replace("/", "_") + "_"
            for kept in optimizer.variables:
                if kept.name.startswith(prefix) and kept.name.removeprefix(prefix) not in OWN:
                    everybody = self._variable((self.head.rows, *weight.shape[1:]), f"all_{kept.name}")
                    self.rows.append(Rows(everybody, kept))

    def take(self, labels: Any) -> None:
        """Draws the people of a step and takes their rows; labels int `(B,)`, -1 for nobody."""
        self.chosen.assign(self._drawn(ops.cast(labels, "int32")))
        for rows in self.rows:
            rows.sample.assign(rows_of(rows.everybody, self.chosen.value))

    def put(self) -> None:
        """Puts the rows of the step's people back."""
        for rows in self.rows:
            set_rows(rows.everybody, self.chosen.value, rows.sample.value)

    def call(self, vectors: Any, training: bool | None = None) -> dict[str, Any]:
        """Returns "Logits" of vectors `(B, D)`: in training `(B, columns)`, of the people "People" `(columns,)`."""
        if not training:
            return {"Logits": self.head(vectors)}
        return {
            "Logits": self.head.logits(ops.cast(vectors, "float32"), *self.own),
            "People": ops.convert_to_tensor(self.chosen),
        }

    def _drawn(self, labels: Any) -> Any:
        """Returns `(columns,)`: the labels' people, then others, each as likely as the next; none twice."""
        draws = keras.random.uniform((self.head.people,), seed=self.draws)
        labels = ops.where(labels >= 0, labels, ops.maximum(ops.max(labels), 0))  # nobody's place goes to one of them
        first = ops.scatter_update(draws, ops.expand_dims(labels, 1), ops.full_like(labels, 2.0, dtype="float32"))
        return ops.cast(ops.top_k(first, self.columns)[1], "int32")

    def _variable(self, shape: Any, name: str, dtype: str = "float32", trainable: bool = False, **options: Any) -> Any:
        options = {"aggregation": "mean"} | options
        return self.add_weight(shape, "zeros", dtype=dtype, trainable=trainable, name=name, **options)


def places(labels: Any, people: Any) -> Any:
    """Returns int32 `(B,)`: at which of the `people (P,)` of a sample each label is; -1 for those of nobody.

    The people of the batch come first in a sample, so that only as many are looked at as the batch has labels.
    """
    first = people[: ops.shape(labels)[0]]
    found = ops.equal(ops.expand_dims(ops.cast(labels, "int32"), 1), ops.expand_dims(first, 0))
    return ops.where(ops.any(found, axis=1), ops.cast(ops.argmax(found, axis=1), "int32"), -1)
