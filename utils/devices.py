"""The devices that train together, and which rows of a batch each of them is given."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.class_layout import class_layout, rows_multiple
from utils.hosts import Hosts
from utils.settings import UserError


@dataclass(frozen=True)
class Devices:
    """Devices that train together: each computes an equal shard of every batch, and their gradients are added up.

    Under JAX a step is one program over the whole batch (`keras.distribution.DataParallel`); under TensorFlow each
    device runs its own on its shard (`tf.distribute.MirroredStrategy`), and `nets.layers.whole_batch` gives it the
    others' embeddings.

    Attributes:
        names: of all of them, those of other processes among them ("gpu:0").
        idle: how many more there are.
    """

    names: tuple[str, ...]
    idle: int
    hosts: Hosts
    backend: str

    @property
    def number(self) -> int:
        """How many."""
        return len(self.names)

    @property
    def mirrored(self) -> bool:
        """Whether they run under `tf.distribute`."""
        return self.backend == "tensorflow" and self.number > 1

    def __str__(self) -> str:
        """Returns a line on them."""
        several = f" in {self.hosts.processes} processes" if self.hosts.processes > 1 else ""
        idle = f"; {self.idle} more idle (--devices all)" if self.idle else ""
        return f"{', '.join(self.names)}{several} ({self.backend}){idle}"

    @contextlib.contextmanager
    def scope(self, people: int) -> Iterator[None]:
        """Inside, networks and trainers are built for these devices; under JAX all that follows is, too.

        Of very many people each device holds its share, where one process has all devices (`utils.class_layout`).
        """
        if self.mirrored:
            import tensorflow as tf

            with tf.distribute.MirroredStrategy([name.upper() for name in self.names]).scope():
                yield
            return
        if self.number > 1:
            import keras

            rows = rows_multiple(people)
            if self.hosts.processes == 1 and rows > 1 and rows % self.number == 0:
                plan = class_layout(self.names)
            else:
                plan = keras.distribution.DataParallel(devices=list(self.names), auto_shard_dataset=False)
            keras.distribution.set_distribution(plan)
        yield

    def shard(self, parts: Sequence[int]) -> tuple[int, ...]:
        """Returns how much of each of a batch's parts a device has; nothing for one, which has it as it is."""
        return tuple(part // self.number for part in parts) if self.number > 1 else ()

    def order(self, parts: Sequence[int]) -> list[int] | None:
        """Returns the places (B,) of a batch as the devices hold them, one's shard behind the other's; None for one.

        A batch's `parts` follow each other in it (anchors, positives, negatives), and each device has the same share of
        each, so that its triples are whole and lie in thirds.
        """
        if self.number == 1:
            return None
        starts = np.cumsum([0, *parts[:-1]])
        shares = [start + np.arange(part).reshape(self.number, -1) for start, part in zip(starts, parts, strict=True)]
        return np.concatenate(shares, axis=1).reshape(-1).tolist()

    def own(self, order: list[int] | None) -> list[int] | None:
        """Returns the places of this process's devices: it reads no other images."""
        if order is None:
            return None
        each = len(order) // self.hosts.processes
        return order[self.hosts.process * each :][:each]


def chosen_devices(settings: Any, hosts: Hosts) -> Devices:
    """Returns the devices that train.py's settings ask for: one where `devices` is empty; of several processes all.

    Raises UserError where there are fewer, or a batch cannot be shared among them.
    """
    import keras

    backend, there = keras.backend.backend(), keras.distribution.list_devices()
    asked = settings.devices or ("all" if hosts.processes > 1 else "1")
    number = len(there) if asked == "all" else int(asked)
    if number > len(there):
        raise UserError(
            f"--devices {asked}: there are {len(there)} ({', '.join(there)}); fewer, or all, can be asked for"
        )
    if hosts.processes > 1 and number < len(there):
        raise UserError(f"--devices {asked}: {hosts.processes} processes train on all of their {len(there)} devices")
    if number > 1:
        _check_shares(settings, number, backend)
    return Devices(tuple(there[:number]), len(there) - number, hosts, backend)


def _check_shares(settings: Any, number: int, backend: str) -> None:
    """Raises UserError where the devices cannot have equal shards of a batch, or cannot do what is asked for."""
    whole, what = (3 * number, "whole triples") if settings.sampler == "triples" else (number, "images")
    if settings.batch_size % whole:
        raise UserError(
            f"{number} devices take equal shares of a batch, of {what}, so --batch_size is a multiple of {whole};"
            f" received {settings.batch_size} (nearest: {max(1, round(settings.batch_size / whole)) * whole})"
        )
    if not settings.sync_batchnorm and settings.batch_size < 2 * number:
        raise UserError(
            f"--sync_batchnorm no takes two images a device at least, {2 * number}; received --batch_size"
            f" {settings.batch_size}"
        )
    if settings.unlabelled and settings.sampler != "shuffled" and settings.unlabelled_images % number:
        raise UserError(
            f"{number} devices take equal shares of a batch, so --unlabelled_images is a multiple of {number};"
            f" received {settings.unlabelled_images}"
        )
    if backend == "tensorflow" and settings.accumulate > 1:
        raise UserError(
            f"--accumulate {settings.accumulate}: under TensorFlow Keras adds batches up on one device only;"
            f" received {number} (KERAS_BACKEND=jax does it on several)"
        )
    if backend == "tensorflow" and settings.cache == "device":
        raise UserError(f"--cache device: under TensorFlow of one device only; received {number}")
    if backend == "tensorflow" and settings.class_sample < 1:
        raise UserError(
            f"--class_sample {settings.class_sample:g}: under TensorFlow each device would draw other people;"
            f" received {number} devices (KERAS_BACKEND=jax does it on several)"
        )


def add_up_first(optimizer: Any) -> None:
    """Has an optimizer under `tf.distribute` add up the devices' gradients before it looks at them.

    Keras's adds them up at the very end: each device would clip, and measure, its own alone. To be called when all else
    that wraps `apply` has been.
    """
    apply, add_up = optimizer.apply, optimizer._all_reduce_sum_gradients

    def applied(gradients: Any, variables: Any) -> None:
        variables = list(variables)
        apply([gradient for gradient, _ in add_up(list(zip(gradients, variables, strict=True)))], variables)

    optimizer.apply, optimizer._all_reduce_sum_gradients = applied, list
