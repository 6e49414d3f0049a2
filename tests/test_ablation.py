"""The ablation's commands are ones that train.py takes, and its table says mean and spread."""

import pytest

import train
from benchmarks.ablation import CHOICES, Settings, chosen, file_name, flags_of, run_once
from benchmarks.ablation_report import markdown, picture
from utils.settings import UserError, parse

CELLS = [(name, *choice) for choices in CHOICES.values() for name, choice in choices.items()]


@pytest.mark.parametrize(("name", "flags", "taught"), CELLS, ids=[name for name, *_ in CELLS])
def test_train_takes_every_command_and_the_choice_wins(name, flags, taught):
    asked = Settings(teacher="teacher.keras", images=10_000)
    settings = parse(train.Settings, flags_of(asked, flags, taught, 3))
    assert (settings.seed, bool(settings.teacher)) == (3, taught)
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        received = getattr(settings, flag[2:])
        assert str(received) == value or float(received) == pytest.approx(float(value))
    seen = settings.epochs * settings.steps_per_epoch * settings.batch_size
    assert 9_000 < seen <= 10_000


def test_choices_differ_in_what_train_is_given():
    asked = Settings(teacher="teacher.keras")
    commands = {tuple(flags_of(asked, flags, taught, 0)) for _, flags, taught in CELLS}
    assert len(commands) == len(CELLS)
    assert len({file_name(name) for name, *_ in CELLS}) == len(CELLS)
    assert not any("," in name for name, *_ in CELLS)  # --only parts them there


def test_runs_that_held_nobody_out_are_one_line(tmp_path):
    run = tmp_path / "labels_alone" / "0" / "run"
    run.mkdir(parents=True)
    (run / "history.json").write_text('[{"loss": 1.0}]')
    (run / "settings.json").write_text('{"epochs": 1}')
    (run / "state.npz").touch()
    with pytest.raises(UserError, match=r"nobody was held out \(few.txt is too small\)"):
        run_once(Settings(annotation_path="few.txt"), run.parent, (), False, 0)


def test_without_a_teacher_only_what_needs_none_runs():
    found = chosen(Settings(subjects="signal"))
    assert list(found["signal"]) == ["labels alone"]


@pytest.mark.parametrize("flags", [{"subjects": "heads"}, {"only": "arcfaces", "subjects": "head"}])
def test_unknown_names_are_refused_with_what_there_is(flags):
    with pytest.raises(UserError, match=r"no .heads.|no choice .arcfaces. in head"):
        chosen(Settings(**flags))


def test_the_table_gives_mean_and_spread(tmp_path):
    runs = [[{"held_out_auc": 0.5}, {"held_out_auc": auc, "lfw_accuracy": 0.8}] for auc in (0.7, 0.8, 0.9)]
    rows = [
        {"subject": "head", "choice": "softmax", "runs": runs},
        {"subject": "head", "choice": "arcface", "runs": runs[:1]},
    ]
    lines = markdown(rows).splitlines()
    assert lines[3].startswith("| softmax | 3 | 0.800 ± 0.100 |  |")
    assert "| 0.800 ± 0.000 |" in lines[3]  # LFW's accuracy
    assert lines[4].startswith("| arcface | 1 | 0.700 |")
    picture(tmp_path / "ablation.png", rows)
    assert (tmp_path / "ablation.png").stat().st_size > 5000
