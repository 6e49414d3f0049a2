"""The arithmetic of several devices: what a ring sends, what hides behind a step, what is asked for in vain."""

import pytest

from benchmarks.scaling import Settings, Traffic, counts, ring_seconds, seconds_of_exchange
from utils.settings import UserError

TRAFFIC = Traffic(gradient=12_000_000, embedding=512, channels=1000, layers=10)


def test_a_ring_sends_each_byte_nearly_twice():
    assert ring_seconds(12e6, 1, 1e9) == 0
    assert ring_seconds(12e6, 2, 1e9) == pytest.approx(0.012)
    assert ring_seconds(12e6, 4, 1e9) == pytest.approx(0.018)  # three parts of four, there and back


def test_hosts_are_as_slow_as_their_network():
    settings = Settings(step=0.1, devices=2, hosts=2, between_devices=10.0, between_hosts=1.0, latency=0.0)
    inside, _ = seconds_of_exchange(TRAFFIC, settings, 2)
    across, _ = seconds_of_exchange(TRAFFIC, settings, 4)
    assert inside == pytest.approx(12e6 / 10e9)
    assert across == pytest.approx(1.5 * 12e6 / 1e9)
    assert seconds_of_exchange(TRAFFIC, settings, 1) == (0.0, 0.0)


def test_a_step_waits_for_embeddings_and_statistics():
    shared = Settings(step=0.1, images=96, devices=2, between_devices=1.0, latency=1e-3)
    _, waited = seconds_of_exchange(TRAFFIC, shared, 2)
    embeddings, statistics = 2 * 96 * 512 / 1e9, 2 * (2 * 1000 * 4 / 1e9)
    assert waited == pytest.approx(embeddings + statistics + 1e-3 * (2 + 2 * 10))
    _, alone = seconds_of_exchange(TRAFFIC, Settings(**vars(shared) | {"sync_batchnorm": False}), 2)
    assert alone == pytest.approx(embeddings + 2e-3)


def test_devices_fill_a_host_before_the_next():
    assert list(counts(Settings(step=1.0, devices=4, hosts=4))) == [1, 2, 4, 8, 16]
    assert list(counts(Settings(step=1.0, devices=1, hosts=2))) == [1, 2]


@pytest.mark.parametrize("wrong", [{}, {"step": 1.0, "between_hosts": 0.0}, {"step": 1.0, "latency": -1.0}])
def test_what_is_no_estimate_is_refused(wrong):
    with pytest.raises(UserError, match="takes a number"):
        Settings(**wrong)
