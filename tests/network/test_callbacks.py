"""The lines of a training, and when it stops in words."""

from types import SimpleNamespace

import pytest

from utils.callbacks import Watch
from utils.progress import Bar, clock, figures_line
from utils.settings import UserError


def loader_with(**more) -> SimpleNamespace:
    return SimpleNamespace(
        first_step=5,
        last_step=10,
        bad_files=dict[str, str](),
        photos_tried=lambda: 2000,
        too_many_bad_files=lambda: False,
        people_unread=lambda: 0,
        batch=lambda step: (None, None, [f"file{step}.jpg"]),
        sampler=SimpleNamespace(batch_size=12),
        **more,
    )


def test_a_loss_that_is_no_number_names_step_rate_and_files():
    watch = Watch(loader_with(), rate=lambda step: 0.25 * step)
    watch.on_train_batch_end(0, {"loss": 3.0})
    watch.on_train_batch_begin(1)
    with pytest.raises(UserError, match=r"after step 7 \(learning rate 1\.5\).*file6\.jpg"):
        watch.on_train_batch_end(1, {"loss": float("nan")})


def test_too_many_bad_files_stop_with_the_list():
    loader = loader_with()
    loader.bad_files = {"a.jpg": "a.jpg is an empty file", "b.jpg": "b.jpg is truncated"}
    loader.too_many_bad_files = lambda: True
    with pytest.raises(UserError, match=r"2 of 2,000 photos .* a\.jpg is an empty file; b\.jpg is truncated"):
        Watch(loader, rate=lambda step: 0.1).on_train_batch_end(0, {"loss": 1.0})


def test_bad_files_are_named_once(capsys):
    loader = loader_with()
    watch = Watch(loader, rate=lambda step: 0.1)
    loader.bad_files["a.jpg"] = "a.jpg is an empty file"
    watch.on_epoch_end(0)
    watch.on_epoch_end(1)
    said = capsys.readouterr().out
    assert (said.count("a.jpg is an empty file"), said.count("cannot be read")) == (1, 1)


def test_of_many_bad_files_a_few_are_named(capsys):
    loader = loader_with()
    loader.bad_files = {f"{number}.jpg": f"{number}.jpg is an empty file" for number in range(30)}
    loader.people_unread = lambda: 4
    watch = Watch(loader, rate=lambda step: 0.1)
    watch.on_epoch_end(0)
    said = capsys.readouterr().out
    assert said.count("is an empty file") == 5
    assert "left out: 25 more" in said
    assert "of 4 people none can: others' take it" in " ".join(said.split())
    loader.too_many_bad_files = lambda: True
    with pytest.raises(UserError, match=r"4\.jpg is an empty file; and 25 more$"):
        watch.on_train_batch_end(0, {"loss": 1.0})


def test_the_bar_counts_the_share_of_time_that_steps_waited(capsys):
    loader = loader_with(seconds_waited=lambda steps, began, ended: 0.25 * (ended - began))
    bar = Bar(loader, rate=lambda step: 0.1, epochs=3, steps_per_epoch=2)
    bar.on_epoch_begin(0)
    for batch in range(2):
        bar.on_train_batch_begin(batch)
        bar.on_train_batch_end(batch, {"loss": 1.0})
    figures = {"loss": 1.0}
    bar.on_epoch_end(0, figures)
    assert figures["waited"] == pytest.approx(0.25)
    assert figures["images_per_second"] > 0
    assert figures["rate"] == 0.1


def test_images_a_second_and_the_time_left_leave_out_the_first_steps_which_compile(monkeypatch, capsys):
    loader = loader_with(seconds_waited=lambda steps, began, ended: 0.0)
    loader.first_step = 0
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    bar = Bar(loader, rate=lambda step: 0.1, epochs=2, steps_per_epoch=5)
    batch_size, speeds = loader.sampler.batch_size, []
    for seconds in ((60, 1, 2, 1, 2), (1, 1, 1, 1, 1)):
        bar.on_epoch_begin(0)
        for batch, took in enumerate(seconds):
            bar.on_train_batch_begin(batch)
            now += took
            bar.on_train_batch_end(batch, {"loss": 1.0})
            speeds.append(bar.images_per_second / batch_size)
        bar.on_epoch_end(0, {"loss": 1.0})
    assert speeds == pytest.approx([1 / 60, 1, 2 / 3, 3 / 4, 4 / 6, 1, 1, 1, 1, 1])


def test_steps_that_are_done_at_once_are_counted_and_named_as_such(capsys):
    """Keras calls back once for several; the numbers start anew each epoch, the last call may have fewer."""
    loader = loader_with(seconds_waited=lambda steps, began, ended: 0.0 if len(steps) else 1.0)
    watch, bar = Watch(loader, rate=lambda step: 0.1), Bar(loader, lambda step: float(step), 2, 5)
    for epoch in range(2):
        bar.on_epoch_begin(epoch)
        for first, last in ((0, 2), (3, 4)):
            for callback in (watch, bar):
                callback.on_train_batch_begin(first)
                callback.on_train_batch_end(last, {"loss": 1.0})
        assert bar.bar.n == 5
        figures = {"loss": 1.0}
        bar.on_epoch_end(epoch, figures)
        assert figures["rate"] == loader.first_step + 5 * (epoch + 1) - 1
    watch.on_train_batch_begin(0)
    with pytest.raises(UserError, match=r"after step 18 .*last 3 step\(s\): file15\.jpg, file16\.jpg, file17\.jpg"):
        watch.on_train_batch_end(2, {"loss": float("nan")})


def test_lines_fit_80_columns():
    figures = {"loss": 12.3456, "triplet": 0.2, "cross_entropy": 11.9, "accuracy": 1.0, "violating": 1.0}
    line = figures_line(figures, 1e-3)
    assert len(line) <= 80
    assert line == "loss 12.35 triplet 0.200 entropy 11.90 accuracy 1.000 violate 100% rate 1.0e-03"


def test_more_figures_than_a_line_has_room_for_take_a_second(capsys):
    loader = loader_with(seconds_waited=lambda steps, began, ended: 0.0)
    bar = Bar(loader, rate=lambda step: 0.1, epochs=100, steps_per_epoch=1)
    names = ("loss", "triplet", "cross_entropy", "accuracy", "own_cosine", "imitation", "teacher_contrast", "centre")
    bar.on_epoch_begin(99)
    bar.on_train_batch_begin(0)
    bar.on_train_batch_end(0, dict.fromkeys(names, 10.0))
    assert len(bar.line.desc) <= 80
    bar.on_epoch_end(99, dict.fromkeys(names, 10.0))
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0].startswith("epoch 100/100: loss 10.00 triplet 10.000")
    assert lines[-1].endswith("accuracy 10.000 own 10.00 rate 1.0e-01")
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65, "1:05"), (3600, "1:00:00"), (36_061.7, "10:01:01")])
def test_clock(seconds, text):
    assert clock(seconds) == text
