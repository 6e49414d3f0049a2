"""What a benchmark prints is read again as it was; a table holds each figure and its ratio to the one before."""

import json

import pytest

from benchmarks import run
from benchmarks.figures import Figure, figures_of, show


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
        run, "run", lambda flags: [{"name": "step, ours", "value": next(rates), "unit": "images/s", "note": ""}]
    )
    output = tmp_path / "figures.json"
    for _ in range(2):
        run.main(run.Settings(output=str(output)))
    found = json.loads(output.read_text())
    assert list(found["benchmarks"]) == ["Steps"]  # there is no GPU
    assert found["benchmarks"]["Steps"]["figures"][0]["value"] == 150.0
    written = output.with_suffix(".md").read_text()
    assert "| step, ours | 150 images/s | 1.50 |  |" in written
    assert found["machine"]["processor"] in written


def test_a_benchmark_that_fails_is_said(capsys):
    assert run.run("figures_of_nothing") == []
    assert "failed (1): " in capsys.readouterr().out
