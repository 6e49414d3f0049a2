"""Learning rates against their formulas."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from keras.optimizers import schedules

import train
from nets import building
from utils.schedules import SCHEDULES, Anew, schedule_of_file
from utils.settings import UserError, parse
from utils.train_checks import DECAYS


def values(schedule: schedules.LearningRateSchedule, steps: int) -> np.ndarray:
    return np.array([float(np.asarray(schedule(step))) for step in range(steps)])


def rates(name: str, rate: float, steps: int, warmup: int) -> np.ndarray:
    return values(SCHEDULES[name](rate, steps, warmup), steps)


def test_cosine_is_the_formula():
    found = rates("cos", 2e-3, 200, 0)
    expected = [2e-3 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * t / 200))) for t in range(200)]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_rises_in_a_line_to_the_rate_that_was_typed(name):
    found = rates(name, 1e-3, 100, 20)
    assert found[:21] == pytest.approx(np.linspace(0, 1e-3, 21), abs=1e-9)
    assert found.max() == pytest.approx(1e-3)
    assert found[20:] == pytest.approx(rates(name, 1e-3, 80, 0), rel=1e-4)  # and then it is the schedule of the rest
    assert name == "constant" or found[-1] < 2e-5


def test_step_falls_to_a_hundredth_in_ten_stairs():
    found = rates("step", 1e-2, 100, 0)
    assert len(np.unique(found)) == 10
    assert found[0] == pytest.approx(1e-2)
    assert found[-1] == pytest.approx(1e-4, rel=1e-4)
    assert (np.diff(found) <= 0).all()
    assert (found[:10] == found[0]).all()


@pytest.mark.parametrize("steps", [12, 19, 95, 1999])
def test_ten_stairs_fit_runs_of_any_length(steps):
    found = rates("step", 1e-2, steps, 0)
    assert len(np.unique(found)) == 10
    assert found[-1] == pytest.approx(1e-4, rel=1e-4)


def test_a_run_shorter_than_the_stairs_goes_down_one_a_step():
    assert rates("step", 1e-2, 5, 0) == pytest.approx(1e-2 * 0.01 ** (np.arange(5) / 9), rel=1e-4)


def test_exponential_falls_by_the_same_share_and_constant_stays():
    assert rates("exponential", 1e-2, 100, 0) == pytest.approx(1e-2 * 0.01 ** (np.arange(100) / 100), rel=1e-4)
    assert rates("constant", 1e-2, 100, 0) == pytest.approx(np.full(100, 1e-2))


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warmed_schedule_survives_being_written_down(name):
    schedule = SCHEDULES[name](1e-2, 50, 5)
    again = schedules.deserialize(schedules.serialize(schedule))
    assert (values(again, 50) == values(schedule, 50)).all()


def test_a_second_schedule_begins_anew():
    whole = Anew(SCHEDULES["cos"](6e-3, 30, 3), SCHEDULES["cos"](2e-3, 10, 2), 30)
    expected = [*rates("cos", 6e-3, 30, 3), *rates("cos", 2e-3, 10, 2)]
    assert values(whole, 40) == pytest.approx(expected, rel=1e-5)
    again = schedules.deserialize(schedules.serialize(whole))
    assert values(again, 40) == pytest.approx(expected, rel=1e-5)


def test_the_rate_of_a_run_begins_anew_where_images_become_larger():
    flags = ["--first_size", "64", "--first_share", "0.75", "--second_lr", "2e-3", "--init_lr", "6e-3"]
    settings = parse(train.Settings, [*flags, "--epochs", "4", "--warmup", "0.2"])
    found = values(building.build_schedule(settings, 10), 40)
    assert found == pytest.approx([*rates("cos", 6e-3, 30, 6), *rates("cos", 2e-3, 10, 2)], rel=1e-5)
    halves = values(building.build_schedule(replace(settings, accumulate=2), 10), 20)
    assert halves == pytest.approx([*rates("cos", 6e-3, 15, 3), *rates("cos", 2e-3, 5, 1)], rel=1e-5)


@pytest.mark.parametrize("flags", [["--epochs", "1"], ["--epochs", "2", "--first_size", "64", "--second_lr", "1e-3"]])
def test_a_warm_up_leaves_an_update_to_learn_from(flags):
    """An update of a run, or of its part, may be the only one; at a rate of 0 it would change nothing."""
    settings = parse(train.Settings, [*flags, "--warmup", "0.9"])
    found = values(building.build_schedule(settings, 1), settings.epochs)
    assert found == pytest.approx([6e-3, 1e-3][: settings.epochs])


def test_a_files_epochs_are_those_of_the_run_whatever_is_accumulated(tmp_path: Path):
    (tmp_path / "rates.txt").write_text("0 0.05\n60 0.005\n")
    for steps, accumulate in ((10, 1), (15, 8), (7, 4), (3, 8)):
        flags = ["--lr_decay", str(tmp_path / "rates.txt"), "--epochs", "100", "--warmup", "0"]
        settings = parse(train.Settings, [*flags, "--accumulate", str(accumulate)])
        updates = 100 * steps // accumulate
        high = (values(building.build_schedule(settings, steps), updates) > 0.01).sum()
        assert high == round(60 * steps / accumulate)


def test_decays_by_name_are_those_that_are_checked():
    assert tuple(SCHEDULES) == DECAYS


def test_a_file_says_from_which_epoch_on_a_rate_holds(tmp_path: Path):
    path = tmp_path / "rates.txt"
    path.write_text("# as davidsandberg/facenet\n0: 0.05\n\n2 0.005  # after two\n2.5: 5e-4\n")
    found = values(schedule_of_file(path, 10, 0), 40)
    assert found == pytest.approx([0.05] * 20 + [0.005] * 5 + [5e-4] * 15)
    warm = values(schedule_of_file(path, 10, 4), 40)
    assert warm[:4] == pytest.approx([0, 0.0125, 0.025, 0.0375])
    assert (warm[4:] == found[4:]).all()  # the warm-up moves no epoch


def test_a_rate_of_less_than_a_step_is_that_of_the_first(tmp_path: Path):
    path = tmp_path / "rates.txt"
    path.write_text("0 0.1\n0.01 0.05\n")
    assert values(schedule_of_file(path, 10, 0), 3) == pytest.approx([0.1, 0.05, 0.05])


def test_a_file_of_one_rate_holds_it(tmp_path: Path):
    path = tmp_path / "rates.txt"
    path.write_text("\ufeff0 0.1\n")  # as some editors begin a file
    assert values(schedule_of_file(path, 3, 0), 9) == pytest.approx(np.full(9, 0.1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.1\nten 0.01\n", "line 2: 'ten 0.01' is not 'epoch rate'"),
        ("0 0.1 3\n", "line 1: '0 0.1 3' is not"),
        ("1 0.1\n", "line 1: epoch 1; epochs rise from line to line, the first is 0"),
        ("0 0.1\n5 0.01\n5 0.001\n", "line 3: epoch 5; epochs rise"),
        ("0 0.1\n9 -1\n", "line 2: rate -1; a number over 0"),
        ("0 0.1\n9 -1\n", r"line 2: rate -1; .*\(--epochs says where a run ends\)"),
        ("0 0.1\ninf 0.01\n", "line 2: epoch inf; epochs rise"),
        ("0 inf\n", "line 1: rate inf"),
        ("0 0\n", "line 1: rate 0; a number over 0"),
        ("0 0.1\nnan 0.1\n", "line 2: epoch nan"),
        ("# nothing\n", "has no rates"),
    ],
)
def test_a_file_that_is_no_schedule_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "rates.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        schedule_of_file(path, 10, 0)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="cannot read the schedule"):
        schedule_of_file(tmp_path / "no.txt", 10, 0)
