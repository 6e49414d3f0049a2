"""benchmarks.series: names side by side, stages one after the other, an end of the time, a second call."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import train
from benchmarks import series, training_runs
from utils.settings import UserError, parse, run_script

TRAINING = """
import json, sys, time
from pathlib import Path
folder, flags = Path(sys.argv[1]), sys.argv[2:]
if "--fail" in flags:
    sys.exit(3)
resumed = "--resume" in flags
run = Path(flags[flags.index("--resume") + 1]) if resumed else folder / "run"
run.mkdir(exist_ok=True)
(run / "state.npz").touch()
(run / "flags.json").write_text(json.dumps(flags))
(run / "settings.json").write_text(json.dumps({"epochs": 2}))
for epoch in (1, 2):
    rows = [{"epoch": k, "held_out_auc": 1 - k / 10, "images_per_second": 50.0 * k} for k in range(1, epoch + 1)]
    (run / "history.json").write_text(json.dumps(rows))
    if "--slow" in flags and not resumed:
        time.sleep(60)
"""


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The working folder has series.json; what was started is listed."""
    started = []

    def start(flags: Sequence[str], folder: Path, *_: Any) -> "subprocess.Popen[bytes]":
        started.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen([sys.executable, "-c", TRAINING, str(folder), *flags])

    monkeypatch.setattr(series, "start", start)
    monkeypatch.chdir(tmp_path)
    Path("series.json").write_text(json.dumps({"a": ["--x 1", "--x '2 3'"], "b": ["--x 4"]}))
    return started


def flags_of(place: str) -> list[str]:
    return list(json.loads(Path("logs/series", place, "run/flags.json").read_text()))


def test_stages_go_on_from_the_weights_before_and_nothing_is_done_twice(
    trained: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = parse(series.Settings, ["series.json", "--common", "--seed 7"])
    series.main(asked)
    assert flags_of("a/0") == ["--seed", "7", "--x", "1"]
    before = str(Path("logs/series/a/0/run/embedder_last.keras"))
    assert flags_of("a/1") == ["--seed", "7", "--x", "2 3", "--model_path", before]
    assert flags_of("b/0") == ["--seed", "7", "--x", "4"]
    assert "a 1: epoch 1 of 2 (of 2): auc 0.9000; 100 images/s; logs/series/a/1/run" in capsys.readouterr().out
    series.main(asked)
    assert len(trained) == 3


def test_what_the_time_stops_is_resumed(trained: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    Path("series.json").write_text(json.dumps({"a": ["--slow", "--x 2"]}))
    series.main(parse(series.Settings, ["series.json", "--seconds", "3"]))
    out = capsys.readouterr().out
    assert "a 0: epoch 1 of 1 (of 2)" in out
    assert "a 1: no epoch was whole" in out
    series.main(parse(series.Settings, ["series.json"]))
    assert flags_of("a/0") == ["--resume", str(Path("logs/series/a/0/run"))]
    assert len(trained) == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[]", '{"name": ["flags", ...], ...} is expected'),
        ('{"a": "--x 1"}', "is expected"),
        ("{", "cannot be read"),
        ('{"a": ["--fail"], "b": ["--x 1"]}', "a: train.py ended with 3, see"),
    ],
)
def test_what_is_wrong_is_one_line(trained: list[Path], text: str, line: str) -> None:
    Path("series.json").write_text(text)
    with pytest.raises(UserError) as caught:
        series.main(parse(series.Settings, ["series.json"]))
    assert line in str(caught.value)


def test_a_run_is_started_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    run = training_runs.start(["--epochs", "none"], tmp_path / "a" / "0", tmp_path / "teachers", {"X": "1"})
    assert run.wait() == 2
    assert "--epochs takes a whole number" in (tmp_path / "a" / "0" / "train.log").read_text()
    assert (tmp_path / "a" / "0" / "teachers").resolve() == tmp_path / "teachers"


def test_train_takes_the_series_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    common = "--batch_size 512 --cross_entropy_weight 0"
    found = series.read(series.Settings(("benchmarks/series_mobilenet.json",)))
    seen = {
        name: [parse(train.Settings, [*shlex.split(common), *shlex.split(flags)]) for flags in stages]
        for name, stages in found.items()
    }
    assert {name: len(stages) for name, stages in seen.items()} == {"mixed": 1, "released_mixed": 1, "labels": 1}
    assert seen["released_mixed"][0].mixed == 0.5
    assert not seen["labels"][0].teacher


def test_no_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_script(series.main, series.Settings, [])
    assert "one file of settings is expected; received 0" in capsys.readouterr().err
