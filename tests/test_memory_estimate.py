"""What is said of memory before a training, and what is refused; settings of a sample of the people."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import train
from utils import memory_estimate
from utils.announcement import memory_lines, settings_lines
from utils.memory_estimate import Classes, advice, host_memory, line, refuse_impossible
from utils.settings import UserError

GIGABYTE = 1_000_000_000
MILLION = Classes(1_000_000, 128, 1_000_000, kept=2)
PARTS = {"class weights": 1.5e9, "their step": 1.5e9, "logits": 2.6e9, "maps": 2.0e9, "images waiting": 1e7}


def test_class_weights_are_counted_to_the_byte():
    assert MILLION.weights == 512_000_000
    assert MILLION.optimizer == 1_024_000_000
    sample = replace(MILLION, columns=100_000)
    assert (sample.weights, sample.optimizer) == (MILLION.weights, MILLION.optimizer)
    assert (MILLION.step, sample.step) == (512_000_000 * 3, 51_200_000 * (3 + 1 + 2))
    assert replace(MILLION, columns=0).optimizer == replace(MILLION, columns=0).step == 0


def test_the_line_names_the_large_parts_largest_first():
    expected = "about 7.6 GB (logits 2.6, maps 2.0, class weights 1.5, their step 1.5), 21.3 GB are free"
    assert line(PARTS, 21.3e9) == expected
    assert line(PARTS, None) == expected.removesuffix(", 21.3 GB are free")
    assert line(PARTS, 0.0).endswith(", 0.0 GB are free")


def test_advice_comes_where_it_does_not_fit_and_only_what_helps():
    settings = train.Settings()
    assert advice(PARTS, 8e9, settings) is None
    assert advice(PARTS, None, settings) is None
    assert advice(PARTS, 0.0, settings) == advice(PARTS, 7e9, settings)
    said = advice(PARTS, 7e9, settings)
    assert said is not None
    assert said.startswith("it may not fit: --class_sample 0.1 saves 3.7 GB, half the --batch_size saves 2.3 GB")
    assert "--precision bfloat16 saves 1.0 GB" in said
    saving = replace(settings, class_sample=0.1, precision="bfloat16")
    assert advice(PARTS, 7e9, saving) == "it may not fit: half the --batch_size saves 2.3 GB"
    assert "class_sample" not in (advice(PARTS, 7e9, replace(settings, cross_entropy_weight=0.0)) or "")


@pytest.mark.parametrize(
    ("on_host", "xla", "metric", "expected"),
    [
        (True, True, {}, {"network": 4.0, "maps": 8.0}),
        (False, True, {}, {"network": 4.0, "maps": 4.0}),  # each of two devices has all weights, half of the rest
        (True, False, {}, {"network": 4.0, "maps": 8.0}),
        (True, True, {"metric_loss": "semi_hard"}, {"network": 4.0, "maps": 8.0}),
        (True, False, {"metric_loss": "semi_hard"}, {"network": 4.0, "maps": 8.0, "mining": 9.0 * 10**3}),
        (True, False, {"metric_loss": "semi_hard", "metric_weight": 0.0}, {"network": 4.0, "maps": 8.0}),
    ],
)
def test_memory_is_that_of_a_device(on_host, xla, metric, expected, monkeypatch):
    found: list[dict[str, float]] = []
    monkeypatch.setattr(memory_estimate, "device_memory", lambda: (9e9, 5e9, on_host))
    monkeypatch.setattr(memory_estimate, "memory_of", lambda *_: {"network": 4.0, "maps": 8.0})
    monkeypatch.setattr(memory_estimate, "line", lambda parts, free: found.append(parts) or f"{free:g} free")
    monkeypatch.setattr(memory_estimate, "advice", lambda *_: None)
    monkeypatch.setattr("utils.backend.xla_pays", lambda: xla)
    loader = SimpleNamespace(sampler=SimpleNamespace(batch_size=10), max_queue_size=8)
    settings = train.Settings(**metric)
    assert memory_lines(settings, None, MILLION, 2, loader, devices=2) == {"memory": "5e+09 free"}
    assert found == [expected]


def test_more_people_than_memory_are_refused():
    refuse_impossible(MILLION, 2 * GIGABYTE)
    refuse_impossible(MILLION, None)
    with pytest.raises(UserError, match=r"1,000,000 people of 128 numbers take 1\.5 GB .* this machine has 1\.0 GB"):
        refuse_impossible(MILLION, 1 * GIGABYTE)
    refuse_impossible(MILLION, 1 * GIGABYTE, shares=2)


def test_the_rate_is_said_as_it_is_used():
    assert settings_lines(train.Settings(init_lr=1e-3))["rate"] == "0.001 (cos, warm-up 10%), adam"
    assert settings_lines(train.Settings(lr_decay=__file__))["rate"] == f"of {__file__} (warm-up 10%), adam"


def test_the_hosts_memory_is_that_of_the_machine():
    total, free = host_memory()
    assert 1e8 < free <= total < 1e14


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_sample": 0.0}, "--class_sample takes a number over 0, at most 1; received 0.0"),
        ({"class_sample": 1.5}, "--class_sample takes a number over 0, at most 1; received 1.5"),
        ({"class_sample": 0.1, "cross_entropy_weight": 0.0}, "--class_sample 0.1 is of the cross-entropy"),
        ({"class_sample": 0.1, "accumulate": 4}, "draws people for each batch: no --accumulate over several"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        replace(train.Settings(), **changes)


def test_a_sample_that_can_be_is_taken():
    assert replace(train.Settings(), class_sample=0.1).class_sample == 0.1
    assert replace(train.Settings(), cross_entropy_weight=0.0).class_sample == 1.0


def test_the_peak_is_the_process_s_own_and_not_of_the_one_that_started_it():
    large = "data = b'x' * 400_000_000"
    own = "from utils.memory_estimate import peak_memory; print(peak_memory() / 1e6)"
    starts = f"import subprocess, sys; {large}; subprocess.run([sys.executable, '-c', {own!r}], check=True)"
    alone, started, grown = (_printed(code) for code in (own, starts, f"{large}; {own}"))
    assert 5 < alone < 100
    assert started == pytest.approx(alone, abs=50)
    assert grown > 400


def _printed(code: str) -> float:
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    return float(done.stdout)


def test_what_a_container_has_taken_is_not_free(tmp_path, monkeypatch):
    contents = {"memory.max": "500000000", "memory.current": "200000000"}
    contents["memory.stat"] = "anon 1\ninactive_file 50000000\n"
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(memory_estimate, "CGROUPS", ((tmp_path, "memory.max", "memory.current", "inactive_file"),))
    assert host_memory() == (5e8, 3.5e8)
    (tmp_path / "memory.max").write_text("max\n")
    assert host_memory()[0] > 5e8


def test_a_container_may_have_more_or_less_than_it_says(tmp_path, monkeypatch):
    """Its limit may be none that binds, it may be over it, or say not all of what is taken."""
    monkeypatch.setattr(memory_estimate, "CGROUPS", ((tmp_path, "memory.max", "memory.current", "inactive_file"),))
    machine = host_memory()[0]
    (tmp_path / "memory.max").write_text("500000000")
    assert host_memory()[0] == machine  # nothing is known of what is taken
    (tmp_path / "memory.current").write_text("200000000")
    assert host_memory() == (5e8, 3e8)
    (tmp_path / "memory.stat").write_text("anon 1\n")
    assert host_memory() == (5e8, 3e8)
    (tmp_path / "memory.current").write_text("600000000")
    assert host_memory() == (5e8, 0)
    (tmp_path / "memory.max").write_text(str((1 << 63) - 4096))  # as the first version of cgroups says "none"
    total, free = host_memory()
    assert total == machine >= free
