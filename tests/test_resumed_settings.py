"""Which settings a run that goes on has: its own; what the command line says otherwise is refused, not forgotten."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from train import Settings
from utils.runs import Run, default_embedder, find_embedder
from utils.settings import UserError, parse
from utils.train_checks import margin_of


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "settings.json").write_text(json.dumps(asdict(Settings(epochs=5, init_lr=1e-3))))
    return Run(tmp_path)


def resumed(run: Run, *flags: str) -> Settings:
    found = run.settings_of_resumed(parse(Settings, ["--resume", str(run.folder), *flags]))
    assert isinstance(found, Settings)
    return found


def test_a_run_has_its_own_settings(run: Run) -> None:
    assert resumed(run) == Settings(epochs=5, init_lr=1e-3, resume=str(run.folder))
    assert resumed(run, "--epochs", "5", "--workers", "2").workers == 2
    stored = json.loads(run.settings.read_text()) | {"workers": 9, "cache": "none", "devices": "2"}
    run.settings.write_text(json.dumps(stored))
    found = resumed(run, "--devices", "4")
    assert (found.workers, found.cache, found.devices) == (9, "none", "4")


@pytest.mark.parametrize("value", [None, {}])
def test_a_setting_of_another_kind_is_said(run: Run, value: object) -> None:
    stored = json.loads(run.settings.read_text()) | {"model_path": value}
    run.settings.write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"settings\.json has other settings than this version"):
        resumed(run)


@pytest.mark.parametrize(
    ("flag", "value", "begun"), [("epochs", "100", "5"), ("epochs", "7", "5"), ("ema", "0.1", "0.0")]
)
def test_another_setting_is_refused_whether_or_not_it_is_the_default(
    run: Run, flag: str, value: str, begun: str
) -> None:
    with pytest.raises(UserError, match=f"--{flag} {value}: .* was begun with {begun}; resume keeps it"):
        resumed(run, f"--{flag}", value)


def test_runs_from_when_the_margin_was_a_number_go_on(run: Run) -> None:
    stored = json.loads(run.settings.read_text()) | {"head_margin": -1.0}
    del stored["head_first_scale"]
    run.settings.write_text(json.dumps(stored))
    assert margin_of(resumed(run)) is None


def test_ctrl_c_says_how_it_goes_on(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for state, line in ((False, "no epoch was whole"), (True, f"python train.py --resume {run.folder} goes on")):
        if state:
            run.state.touch()
        with pytest.raises(KeyboardInterrupt), run.stop_said():
            raise KeyboardInterrupt
        assert line in capsys.readouterr().out


def test_what_is_no_settings_is_said(run: Run) -> None:
    run.settings.write_text("[]")
    with pytest.raises(UserError, match=r"settings\.json holds no settings: \[\]"):
        resumed(run)


def test_a_setting_from_before_it_was_one_is_not_changed(run: Run) -> None:
    stored = json.loads(run.settings.read_text())
    del stored["ema"]
    run.settings.write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"--ema 0\.1: .* was begun with None; resume keeps it"):
        resumed(run, "--ema", "0.1")


def test_the_newest_run_is_the_one_that_wrote_last(tmp_path: Path) -> None:
    released = tmp_path / "released.keras"
    with pytest.raises(UserError, match="run python train"):
        default_embedder(tmp_path, released)
    released.touch()
    assert default_embedder(tmp_path, released) == released
    for seconds, name in enumerate(("b", "c", "a"), start=1):
        (tmp_path / name).mkdir()
        (tmp_path / name / "embedder_best.keras").touch()
        os.utime(tmp_path / name / "embedder_best.keras", (seconds, seconds))
    assert default_embedder(tmp_path, released) == tmp_path / "a" / "embedder_best.keras"


def test_two_runs_of_one_second_have_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "now")
    assert [Run.create(tmp_path, "x").folder.name for _ in range(3)] == ["now-x", "now-x-1", "now-x-2"]


@pytest.mark.parametrize("name", ["a.keras", "a.onnx"])
def test_a_file_that_knows_its_size_takes_no_other(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert find_embedder(str(tmp_path / name)) == tmp_path / name
    with pytest.raises(UserError, match="has a size of its own"):
        find_embedder(str(tmp_path / name), 80)
