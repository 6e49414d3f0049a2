"""Heads: from embeddings to a number for each person of the training.

A margin head gives cosines, and its loss adds the margin: no network takes labels as input, and the embedder is never
entangled with them. All in float32.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from nets.head_layers import Cosines, Products
from nets.losses import at_label, own_columns

COSINE_LIMIT = 1.0 - 1e-6  # arccos has an infinite slope at 1; here it is 707, and float32 still tells it from 1
TRAINED = 0.75  # length of directions after 5,000 steps (0.52 to 1.09): those of people who are known move as slowly
SMALLEST_SCALE = 8.0  # with few people AdaCos's scale leaves even a perfect embedder with a large loss
Setting = float | tuple[float, float, float]


class Margins(NamedTuple):
    """`cos(multiplier * theta + angle) - cosine` takes the place of an image's cosine to its own person.

    Numbers, or tensors `(B,)`; `(1, 0, 0)` is no margin.
    """

    multiplier: Any = 1.0
    angle: Any = 0.0  # radians
    cosine: Any = 0.0

    def times(self, share: Any) -> "Margins":
        """Returns `share` (0..1) of the way from no margin to these."""
        return Margins(1.0 + share * (self.multiplier - 1.0), share * self.angle, share * self.cosine)


class Head(NamedTuple):
    """A way to margins.

    `margins(setting, quality)` are an image's; quality, -1..1 `(B,)`, is that of its norm (AdaFace; others pass it by).
    """

    margins: Callable[[Any, Any], Margins]
    setting: Setting  # the paper's margin; three numbers for the combined one
    centres: int = 1  # for each person; the nearest counts
    by_norm: bool = False  # the margin follows the length of the bottleneck's output


def _arcface(setting: Any, quality: Any) -> Margins:
    return Margins(angle=setting)


def _adaface(setting: Any, quality: Any) -> Margins:
    return Margins(angle=-setting * quality, cosine=setting * quality + setting)


SOFTMAX = "softmax"  # plain logits of a dense layer on the bottleneck's output, no margin
HEADS: dict[str, Head | None] = {
    SOFTMAX: None,
    "arcface": Head(_arcface, 0.5),  # Deng et al. 2019, arXiv:1801.07698, equation 3
    "cosface": Head(lambda setting, _: Margins(cosine=setting), 0.35),  # Wang et al. 2018, arXiv:1801.09414, equation 4
    "combined": Head(lambda setting, _: Margins(*setting), (0.9, 0.4, 0.15)),  # ArcFace, equation 4; its CM2
    "adaface": Head(_adaface, 0.4, by_norm=True),  # Kim et al. 2022, arXiv:2204.00964, equation 18
    "subcenter": Head(_arcface, 0.5, centres=3),  # Deng et al. 2020 (ECCV), Sub-center ArcFace, equation 3
}


def add_head(
    name: str, bottleneck: Any, embedding: Any, people: int, options: dict[str, Any], multiple: int = 1
) -> Any:
    """Adds the layers "Logits" and "Softmax" to a network and returns the probabilities `(B, people)`.

    Args:
        name: in `HEADS`.
        bottleneck: `(B, D)`, before it is brought to unit length; what plain softmax sees.
        embedding: `(B, D)` of unit length; what margin heads see.
        options: of margin heads: `scale` of the probabilities (0: `scale_for(people)`), `centres` for each person,
            `length` (see `Cosines`).
        multiple: see `nets.head_layers.PersonRows`.

    Raises:
        ValueError: an unknown head, or options for plain softmax, which has none.
    """
    head = head_named(name)
    if head is None:
        if options:
            raise ValueError(f"the head 'softmax' has no options; received {options}")
        logits = Products(people, multiple, name="Logits", dtype="float32")(bottleneck)
    else:
        options = {"scale": 0.0, "centres": head.centres} | options
        scale = options.pop("scale") or scale_for(people)
        cosines = Cosines(people, **options, multiple=multiple, name="Logits", dtype="float32")(embedding)
        logits = keras.layers.Rescaling(scale, name="Scaled", dtype="float32")(cosines)
    return keras.layers.Softmax(name="Softmax", dtype="float32")(logits)


def head_named(name: str) -> Head | None:
    """Returns the margin head of that name, None for plain softmax; ValueError for a name that is not in `HEADS`."""
    if name not in HEADS:
        raise ValueError(f"unknown head '{name}'; choose from {', '.join(HEADS)}")
    return HEADS[name]


def scale_for(people: int) -> float:
    """Returns AdaCos's fixed scale, `sqrt(2) log(people - 1)`, at least 8.

    Source: Zhang et al. 2019, arXiv:1905.00292, equation 12.

    The papers' 64 is for long runs. After 19,000 images of 600 people (small network, ArcFace, length 0.2) held-out AUC
    was 0.81 at scales 6 and 9 (this one), 0.80 at 14, 0.75 at 24 (with margin 0.1), 0.62 at 64; plain softmax 0.79.
    """
    return max(SMALLEST_SCALE, math.sqrt(2.0) * math.log(max(people - 1, 1)))


def begin_head(network: keras.Model, means: Any) -> None:
    """Has the head of a network of mode "train" begin at its people's mean embeddings, beside what it drew.

    Margin heads point there; plain logits are `scale_for(people)` times the cosine to them.

    Args:
        means: `(people, D)` of unit length, of the network's own embeddings; a row of 0 stays as it was drawn.

    Source: Qi et al. 2018 (CVPR), arXiv:1712.07136, section 3.2 (weight imprinting).
    """
    logits = network.get_layer("Logits")
    people, size = means.shape
    centres = logits.kernel.shape[1] // size
    margins = isinstance(logits, Cosines)
    length = TRAINED if margins else scale_for(people) / math.sqrt(size)  # BatchNorm's outputs have that length
    rows = ops.pad(ops.tile(ops.cast(means, "float32"), (1, centres)), ((0, logits.rows - people), (0, 0)))
    logits.kernel.assign_add(length * rows)


class MarginLogits:
    """Cosines to the logits of which cross-entropy is taken: scaled, the own person's with its margin.

    Args:
        name: a margin head in `HEADS`.
        people: how many there are.
        margin: the head's own setting where None; three numbers for "combined".
        scale: of the cosines; 0: `scale_for(people)`.
        ramp: share of the run in which the margin rises evenly from nothing to `margin`; 0: it is there at once, which
            random embeddings cannot follow.
        first_scale: from where the scale rises over the ramp; 0: it is `scale` all the time.
    """

    def __init__(
        self,
        name: str,
        people: int,
        margin: Setting | None = None,
        scale: float = 0.0,
        ramp: float = 0.5,
        first_scale: float = 0.0,
    ):
        head = head_named(name)
        if head is None:
            raise ValueError("the head 'softmax' has no margin")
        if isinstance(head.setting, tuple) and margin is not None and not isinstance(margin, tuple):
            raise ValueError(f"the head '{name}' takes three margins (m1, m2, m3); received {margin}")
        self.head, self.ramp = head, ramp
        self.margin = head.setting if margin is None else margin
        self.scale = scale or scale_for(people)
        self.first_scale = first_scale or self.scale

    def __call__(self, labels: Any, cosines: Any, progress: Any, quality: Any = 0.0) -> Any:
        """Returns float32 `(B, C)`.

        Args:
            labels: int `(B,)`; a row of label -1 gets no margin.
            cosines: `(B, C)`.
            progress: share of the run that is done, 0..1.
            quality: `(B,)`, -1..1, of the image's norm; AdaFace's.
        """
        share = ops.minimum(progress / self.ramp, 1.0) if self.ramp else 1.0
        margins = self.head.margins(self.margin, quality).times(share)
        moved = with_margin(at_label(labels, cosines), margins, clipped=self.head.by_norm)
        scale = self.first_scale + share * (self.scale - self.first_scale)
        return scale * ops.where(own_columns(labels, cosines), ops.expand_dims(moved, 1), cosines)


def with_margin(cosine: Any, margins: Margins, clipped: bool = False) -> Any:
    """Returns `cos(multiplier * theta + angle) - cosine margin` of cosines, theta being their angle, 0..pi.

    Past pi the cosine would rise again. There, as ArcFace without "easy margin", the value goes on falling with the
    cosine itself: `cos(theta) - angle sin(angle)` for multiplier 1; other multipliers move it so that it stays below
    the values before pi. `clipped`: the angle stays at pi instead, and below 0 at 0 (AdaFace), without a gradient.
    """
    multiplier, angle, cosine_margin = margins
    theta = ops.arccos(ops.clip(cosine, -COSINE_LIMIT, COSINE_LIMIT))
    moved = multiplier * theta + angle
    value = ops.cos(ops.clip(moved, 0.0, math.pi))
    if not clipped:
        angle = ops.convert_to_tensor(angle, "float32")
        below = ops.cos((math.pi - angle) / multiplier) + ops.cos(angle) + angle * ops.sin(angle)
        value = ops.where(moved > math.pi, cosine - below, value)
    return value - cosine_margin
