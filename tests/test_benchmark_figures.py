"""What a benchmark prints is read again as it was; a table holds each figure and its ratio to the one before."""

import json
import subprocess
import sys

import pytest

from benchmarks import run
from benchmarks.figures import Figure, figures_of, show
from benchmarks.side_by_side import run_together


@pytest.mark.parametrize(
    "figure",
    [
        Figure("step, ours", 141.2, "images/s", "1.000 of the first"),
        Figure("ours, 5,000,000 lines", 8315.0, "images/s", "best 9,000, 4.85 of plain"),
        Figure("peak memory, TensorFlow's own included", 1.28, "GB"),
        Figure("a name that is longer than the column in which names are", 0.00012, "s"),
        Figure("1,000,000 people, 100,000 a step: a step", 1267.0, "ms", "1267 ms of all cores"),
    ],
)
def test_a_figure_is_read_as_it_was_shown(figure, capsys):
    show(figure.name, figure.value, figure.unit, figure.note)
    assert figures_of("something else: 3 of 4\n" + capsys.readouterr().out + "\n") == [figure]


def test_a_table_has_ratios_to_what_was_before(tmp_path, monkeypatch, capsys):
    rates = iter([100.0, 150.0])
    monkeypatch.setattr(run, "BENCHMARKS", {"Steps": ("step", run.EVERYWHERE), "Chips": ("chip", run.ON_GPU)})
    monkeypatch.setattr(
        run,
        "run",
        lambda found: [[{"name": "step, ours", "value": next(rates), "unit": "images/s", "note": ""}] for _ in found],
    )
    output = tmp_path / "figures.json"
    for _ in range(2):
        run.main(run.Settings(output=str(output)))
    found = json.loads(output.read_text())
    assert list(found["benchmarks"]) == ["Steps"]  # there is no GPU
    assert found["benchmarks"]["Steps"]["figures"][0]["value"] == 150.0
    written = output.with_suffix(".md").read_text()
    assert f"| step, ours | 150 images/s | 1.50 ({found['benchmarks']['Steps']['when']}) |  |" in written
    assert found["machine"]["processor"] in written
    monkeypatch.setattr(run, "run", lambda found: [[] for _ in found])
    with pytest.raises(SystemExit) as ended:  # it fails this time, and what it had measured stays
        run.main(run.Settings(output=str(output)))
    assert ended.value.code == 1
    assert output.with_suffix(".md").read_text() == written
    assert capsys.readouterr().err == "failed: Steps\n"


def test_a_benchmark_that_fails_is_said(capsys):
    assert run.run({"Nothing": "figures_of_nothing", "Less": "figures_of_less"}) == [[], []]
    assert "Nothing failed (1): " in capsys.readouterr().out


TIMED = """
import sys, time
from benchmarks.side_by_side import alone
name, seconds = sys.argv[1:]
time.sleep(float(seconds))  # compiles
ready = time.time()
with alone():
    began = time.time()
    time.sleep(0.2)
    print(name, ready, began, time.time())
"""


def test_side_by_side_all_are_ready_before_one_at_a_time_is_measured():
    seconds = {"quick": "0", "slow": "0.8", "never": "never"}  # the last fails before its turn
    commands = [[sys.executable, "-c", TIMED, *one] for one in seconds.items()]
    quick, slow, failed = run_together(commands)
    assert failed.returncode == 1
    assert "ValueError" in failed.stderr
    (one, *first), (two, *second) = (done.stdout.split() for done in (quick, slow))
    assert (one, two) == ("quick", "slow")  # in the order of the commands
    (ready, began, ended), (other_ready, other_began, other_ended) = (
        [float(t) for t in times] for times in (first, second)
    )
    assert max(ready, other_ready) <= min(began, other_began)
    assert ended <= other_began or other_ended <= began


def test_alone_is_nothing_where_nothing_else_was_started():
    done = subprocess.run([sys.executable, "-c", TIMED, "one", "0"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("one ")
