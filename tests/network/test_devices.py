"""Several devices and processes learn as one device does; what cannot be shared or joined is refused in one line."""

import json
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import train
from datasets.drawn_faces import draw_people
from nets.layers import BatchNorm, take_statistics
from nets.trainer import joined
from tests.network.several_devices import ended, history_of, start
from utils.annotations import read_annotations, write_annotations
from utils.dataloader import Loader, Pixels
from utils.devices import Devices, chosen_devices
from utils.hosts import NAMES, Hosts
from utils.people_folder import PeopleFolder
from utils.samplers import TripleSampler
from utils.settings import UserError, parse

TINY = ["--input_size", "32", "--batch_size", "12", "--epochs", "3", "--steps_per_epoch", "3", "--val_people", "4"]
TRIPLES = ["--sampler", "triples", "--metric_loss", "triplet"]
PLAIN = ["--dropout", "0", "--optimizer", "sgd", "--init_lr", "0.02", "--clip_norm", "5", "--ema", "0.4"]
FIGURES = ("loss", "triplet", "cross_entropy", "accuracy", "violating", "effective_rank")
TOLERANCE = 1e-4  # relative: rounding, which nine steps make no larger
SECONDS = 120  # within which a process ends that has lost another; JAX's heartbeats alone would take 100


@pytest.fixture(scope="module")
def annotation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_people(folder / "people", people=14, images=5, size=48, seed=0)
    write_annotations(folder / "cls_train.txt", folder / "people", PeopleFolder(folder / "people"))
    return folder / "cls_train.txt"


def flags(annotation: Path, logs: Path, *more: str) -> list[str]:
    return [*TINY, *TRIPLES, *PLAIN, "--annotation_path", str(annotation), "--save_dir", str(logs), *more]


def assert_equal_curves(found: Path, expected: Path) -> None:
    for row, whole in zip(history_of(found), history_of(expected), strict=True):
        assert [row[name] for name in FIGURES] == pytest.approx([whole[name] for name in FIGURES], rel=TOLERANCE)
        # of an epoch's last step: where a ReLU turns by rounding, a gradient jumps and a loss does not
        assert row["gradient_norm"] == pytest.approx(whole["gradient_norm"], rel=0.02)
        assert row["held_out_auc"] == pytest.approx(whole["held_out_auc"], abs=0.02)  # of 80 pairs, ties may turn


def train_three_ways(backend: str, annotation: Path, logs: Path) -> str:
    """Trains on one device, on two, and on two whose BatchNorm does not share its statistics; returns the output.

    The last in a process of its own: TensorFlow's collectives are numbered for one strategy.
    """
    ways = {"one": [], "two": ["--devices", "2"], "own": ["--devices", "all", "--sync_batchnorm", "no"]}
    one, two, own = (flags(annotation, logs / way, *more) for way, more in ways.items())
    processes = start(backend, one, two), start(backend, own)
    return "".join(map(ended, processes))


@pytest.fixture(scope="module")
def on_jax(annotation: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    logs = tmp_path_factory.mktemp("jax")
    assert "cpu:0, cpu:1 (jax)" in train_three_ways("jax", annotation, logs)
    return logs


def test_two_devices_learn_as_one_under_jax(on_jax):
    assert_equal_curves(on_jax / "two", on_jax / "one")


def test_two_devices_learn_as_one_under_tensorflow(annotation, tmp_path):
    """Gradients are clipped on the way, so that they are equal only if they were added up before."""
    assert "cpu:0, cpu:1 (tensorflow)" in train_three_ways("tensorflow", annotation, tmp_path)
    assert_equal_curves(tmp_path / "two", tmp_path / "one")
    one, own = (history_of(tmp_path / way)[0]["loss"] for way in ("one", "own"))
    assert own != pytest.approx(one, rel=1e-2)


def test_statistics_of_each_device_are_others_under_jax(on_jax):
    one, own = (history_of(on_jax / way)[0]["loss"] for way in ("one", "own"))
    assert own != pytest.approx(one, rel=1e-2)


def test_a_sample_of_many_people_laid_out_over_two_devices_learns_as_on_one(annotation, tmp_path):
    sampled = ["--class_sample", "0.9", "--epochs", "2"]
    one, two = (flags(annotation, tmp_path / n, *sampled, "--devices", n) for n in ("1", "2"))
    assert "cpu:0, cpu:1 (jax)" in ended(start("jax", one, two, MANY="2"))
    assert_equal_curves(tmp_path / "2", tmp_path / "1")


def test_a_killed_process_ends_the_other_and_resume_goes_on_as_one_device(on_jax, annotation, tmp_path, free_port):
    together = [
        {"XLA_FLAGS": "", **dict(zip(NAMES, (f"127.0.0.1:{free_port}", "2", str(process)), strict=True))}
        for process in (0, 1)
    ]
    first, second = (start("jax", flags(annotation, tmp_path), **names) for names in together)
    deadline = time.monotonic() + 1800  # so that a test which hangs ends
    while not list(tmp_path.glob("*/state.npz")) and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    second.kill()
    second.communicate()
    _, error = first.communicate(timeout=SECONDS)
    assert first.returncode == 2
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "process 0 of 2 has lost another one; the last whole epoch is kept" in lines[0]
    assert "Traceback" not in error
    (folder,) = tmp_path.iterdir()
    with np.load(folder / "state.npz") as stored:
        assert json.loads(str(stored["meta"]))["epoch"] < 3  # it was killed before its end
    first, second = (start("jax", ["--resume", str(folder)], **names) for names in together)
    assert "2 processes" in ended(first)
    assert "epoch" not in ended(second)  # it is silent
    assert_equal_curves(tmp_path, on_jax / "one")


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_processes_must_be_given_the_same(annotation, tmp_path, free_port):
    names = [dict(zip(NAMES, (f"127.0.0.1:{free_port}", "2", str(process)), strict=True)) for process in (0, 1)]
    both = [
        start(
            "jax", flags(annotation, tmp_path / "logs", "--seed", str(process)), **{"XLA_FLAGS": ""}, **names[process]
        )
        for process in (0, 1)
    ]
    for process in both:
        _, error = process.communicate(timeout=300)
        assert process.returncode == 2
        assert "error: the processes were not given the same settings" in error
    assert not (tmp_path / "logs").exists()


def devices_of(number: int, process: int = 0, processes: int = 1) -> Devices:
    return Devices(tuple(f"cpu:{i}" for i in range(number)), 0, Hosts(process, processes), "jax")


def test_each_device_holds_whole_triples():
    order = devices_of(2).order((4, 4, 4, 2))  # anchors 0..3, positives 4..7, negatives 8..11, two of nobody
    assert order == [0, 1, 4, 5, 8, 9, 12, 2, 3, 6, 7, 10, 11, 13]
    assert devices_of(1).order((4, 4, 4)) is None


@pytest.mark.parametrize("parts", [(4, 4, 4, 2), (14,)], ids=str)
def test_a_batch_of_shards_is_put_together_as_it_was_drawn(parts):
    devices, drawn = devices_of(2), np.arange(28.0).reshape(14, 2)
    assert (np.asarray(joined(drawn[devices.order(parts)], devices.shard(parts))) == drawn).all()


def test_processes_read_their_own_rows_as_one_would(annotation):
    annotations = read_annotations(annotation)
    sampler, pixels = TripleSampler(annotations, 12, seed=0), Pixels((32, 32), flip=True, shift=2.0)
    images, labels, _ = Loader(sampler, pixels, (0, 2), 1).batch(1)
    for process in (0, 1):
        devices = devices_of(4, process, 2)
        order = devices.order(sampler.parts)
        own = devices.own(order)
        assert own == order[6 * process : 6 * process + 6]
        found, found_labels = Loader(sampler, pixels, (0, 2), 1, places=own)[1]
        assert (found == images[own]).all()
        assert (found_labels == labels[own]).all()


def test_shards_are_normalised_as_batches_of_their_own():
    random = np.random.default_rng(0)
    images = np.concatenate([random.normal(k, 1 + k, (4, 3, 3, 2)) for k in range(2)]).astype("float32")
    inputs = keras.Input((3, 3, 2))
    network = keras.Model(inputs, BatchNorm(momentum=0.9)(inputs))
    layer = network.layers[1]
    layer.shards = 2
    found = np.asarray(network(images, training=True))
    halves = images.reshape(2, 4, 3, 3, 2)
    mean, variance = (f(halves, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
    assert found == pytest.approx(((halves - mean) / np.sqrt(variance + layer.epsilon)).reshape(images.shape), abs=1e-4)
    assert np.asarray(layer.moving_mean) == pytest.approx(0.1 * mean.mean(axis=0).reshape(-1), abs=1e-5)
    assert np.asarray(layer.moving_variance) == pytest.approx(0.9 + 0.1 * variance.mean(axis=0).reshape(-1), rel=1e-4)


def test_a_saved_layer_is_of_one_device():
    inputs = keras.Input((3, 3, 2))
    network = keras.Model(inputs, BatchNorm()(inputs))
    take_statistics(network, devices=2, synchronised=True)
    assert network.layers[1].synchronized is (keras.backend.backend() == "tensorflow")
    assert not BatchNorm.from_config(network.layers[1].get_config()).synchronized


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--devices", "8"], r"--devices 8: there are 4 \(gpu:0, gpu:1, gpu:2, gpu:3\)"),
        (["--devices", "some"], "--devices takes all, or how many; received 'some'"),
        (["--devices", "0"], "--devices takes all, or how many; received '0'"),
        ([*TRIPLES, "--devices", "4", "--batch_size", "90"], r"a multiple of 12; received 90 \(nearest: 96\)"),
        (
            ["--devices", "all", "--batch_size", "90", "--images_each", "2"],
            "multiple of 4",
        ),
        (["--devices", "2", "--cache", "device"], "of one device only; received 2"),
        (["--devices", "2", "--class_sample", "0.1"], "under TensorFlow each device would draw other people"),
        (
            ["--devices", "2", "--unlabelled", ".", "--teacher", "t.keras", "--unlabelled_images", "31"],
            "--unlabelled_images is a multiple of 2; received 31",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(monkeypatch, more, line):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: [f"gpu:{i}" for i in range(4)])
    with pytest.raises(UserError, match=line):
        chosen_devices(parse(train.Settings, more), Hosts())


def test_one_device_is_the_default_and_all_where_there_are_several_processes(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    alone = chosen_devices(train.Settings(), Hosts())
    assert (alone.names, alone.idle) == (("gpu:0",), 1)
    assert chosen_devices(train.Settings(), Hosts(1, 2)).names == ("gpu:0", "gpu:1")
    with pytest.raises(UserError, match="2 processes train on all of their 2 devices"):
        chosen_devices(parse(train.Settings, ["--devices", "1"]), Hosts(0, 2))


@pytest.mark.parametrize(
    ("backend", "environment", "line"),
    [
        ("tensorflow", {"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}}'}, "keras-team/keras#20585"),
        ("tensorflow", dict(zip(NAMES, ("a:1", "2", "0"), strict=True)), "keras-team/keras#20585"),
        ("jax", {NAMES[0]: "a:1"}, "several processes take an address host:port, their number and this one's"),
        ("jax", dict(zip(NAMES, ("a:1", "2", "2"), strict=True)), "of 2 processes this is one of 0 to 1"),
    ],
)
def test_processes_that_cannot_be_joined_are_refused(monkeypatch, backend, environment, line):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=line):
        Hosts().join(backend)
