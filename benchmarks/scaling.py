"""Estimates images a second of several devices and hosts from one device's measured step and the gradient's size.

Run as `python -m benchmarks.scaling --step 0.0105 --images 510`; `benchmarks.train_step` measures the step. Nothing is
measured here. `docs/scale_devices.md` states what is assumed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from utils.settings import UserError, run_script
from utils.train_checks import Backbone

FLOAT = 4  # bytes: gradients and embeddings are float32, whatever --precision is
BACKWARD = 2 / 3  # of a step: behind it gradients can hide, at most
SUMS = 2  # that BatchNorm adds up a channel: of values and squares; as many on the way back


@dataclass(frozen=True)
class Settings:
    """What data-parallel training would gain from more devices and hosts, by arithmetic."""

    step: float = 0.0  # seconds of one device's step, measured with benchmarks.train_step
    images: int = 96  # of that step
    backbone: Backbone = "mobilenet"  # trunk of the network
    people: int = 10000  # to tell apart: 512 bytes of gradient each
    devices: int = 8  # a host
    hosts: int = 8  # at most; powers of two up to it are shown
    between_devices: float = 200.0  # gigabytes a second that a device sends to its neighbour in a host
    between_hosts: float = 12.5  # gigabytes a second that a host sends (100 Gbit/s)
    latency: float = 30e-6  # seconds that a sum over the devices takes beside its bytes
    sync_batchnorm: bool = True  # BatchNorm's statistics over all devices

    def __post_init__(self) -> None:
        """Refuses what is no estimate."""
        for name in ("step", "images", "people", "devices", "hosts", "between_devices", "between_hosts"):
            if getattr(self, name) <= 0:
                raise UserError(f"--{name} takes a number over 0; received {getattr(self, name)}")
        if self.latency < 0:
            raise UserError(f"--latency takes a number 0 or more; received {self.latency}")


class Traffic(NamedTuple):
    """What a network's step sends."""

    gradient: int  # bytes
    embedding: int  # bytes an image
    channels: int  # of all BatchNorm layers
    layers: int  # BatchNorm's


def ring_seconds(size: float, devices: int, rate: float) -> float:
    """Returns how long a ring takes to add up `size` bytes over its devices, each sending `rate` bytes a second.

    `2 (n - 1) / n` of the bytes pass every link: one round adds up, one hands out. Source: Patarasuk and Yuan 2009,
    Bandwidth optimal all-reduce algorithms for clusters of workstations, section 3.
    """
    return 2 * (devices - 1) / devices * size / rate


def seconds_of_exchange(traffic: Traffic, settings: Settings, devices: int) -> tuple[float, float]:
    """Returns seconds a step for (gradients, which may hide behind the way back; what a step waits for in between).

    One ring goes through all devices. Between hosts it is as slow as a host's network, which it crosses once.
    """
    several = devices > settings.devices
    rate = 1e9 * (min(settings.between_devices, settings.between_hosts) if several else settings.between_devices)
    if devices == 1:
        return 0.0, 0.0
    # Embeddings are handed out, and their gradients added up: one way each, so a ring's two halves.
    waited = ring_seconds(traffic.embedding * settings.images * devices, devices, rate) + 2 * settings.latency
    if settings.sync_batchnorm:
        sums = ring_seconds(SUMS * traffic.channels * FLOAT, devices, rate)
        waited += 2 * (sums + traffic.layers * settings.latency)
    return ring_seconds(traffic.gradient, devices, rate) + settings.latency, waited


def traffic_of(settings: Settings) -> Traffic:
    """Builds the network and counts what its step sends."""
    from utils.backend import start_keras

    keras = start_keras()
    from nets.facenet import facenet, training_outputs

    network = facenet((160, 160, 3), settings.people, settings.backbone)
    trained = training_outputs(network, ("Embedding", "Logits"))
    numbers = sum(math.prod(weights.shape) for weights in trained.trainable_weights)
    normalisations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    channels = sum(layer.moving_mean.shape[0] for layer in normalisations)
    width = network.get_layer("Embedding").output.shape[-1]
    return Traffic(FLOAT * numbers, FLOAT * width, channels, len(normalisations))


def counts(settings: Settings) -> Iterator[int]:
    """Yields 1, 2, 4, ... devices of one host, then whole hosts."""
    number = 1
    while number < settings.devices:
        yield number
        number *= 2
    hosts = 1
    while hosts <= settings.hosts:
        yield hosts * settings.devices
        hosts *= 2


def main(settings: Settings) -> None:
    """Prints a Markdown table."""
    traffic = traffic_of(settings)
    print(
        f"gradient: {traffic.gradient / 1e6:.1f} MB; BatchNorm: {traffic.layers} layers, {traffic.channels} channels\n"
    )
    print("| devices | hosts | images/s, at least | efficiency | images/s, at most | efficiency |")
    print("|---:|---:|---:|---:|---:|---:|")
    for devices in counts(settings):
        gradients, waited = seconds_of_exchange(traffic, settings, devices)
        rates = [
            devices * settings.images / (settings.step + waited + seen)
            for seen in (gradients, max(0.0, gradients - BACKWARD * settings.step))
        ]
        whole = devices * settings.images / settings.step
        cells = " | ".join(f"{rate:,.0f} | {rate / whole:.2f}" for rate in rates)
        print(f"| {devices} | {-(-devices // settings.devices)} | {cells} |")


if __name__ == "__main__":
    run_script(main, Settings)
