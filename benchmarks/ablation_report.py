"""The table and the picture of an ablation: a row a choice, mean and spread over seeds."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# heading -> key of train.py's history
COLUMNS = {
    "held out: AUC": "held_out_auc",
    "accuracy": "held_out_accuracy",
    "VAL at 1e-2": "held_out_val_at_far_1e-2",
    "LFW: accuracy": "lfw_accuracy",
    "VAL at 1e-3": "lfw_val_at_far_1e-3",
    "AUC": "lfw_auc",
}


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Returns a table: {"subject", "choice", "runs": [history of a run, ...]} a row."""
    lines = [f"| | seeds | {' | '.join(COLUMNS)} |", f"|---|---|{'---|' * len(COLUMNS)}"]
    subject = ""
    for row in rows:
        if row["subject"] != subject:
            subject = row["subject"]
            lines.append(f"| **{subject}** | |{' |' * len(COLUMNS)}")
        cells = [spread([last(history, key) for history in row["runs"]]) for key in COLUMNS.values()]
        lines.append(f"| {row['choice']} | {len(row['runs'])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def last(history: Sequence[dict[str, float]], key: str) -> float:
    """Returns a run's last figure of that key, NaN where it has none."""
    return float(history[-1].get(key, math.nan))


def spread(values: Sequence[float]) -> str:
    """Returns the mean, and behind it the sample standard deviation where there are two values or more."""
    if not values or any(math.isnan(value) for value in values):
        return ""
    mean = f"{statistics.fmean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def picture(path: Path, rows: Sequence[dict[str, Any]], key: str = "held_out_auc") -> None:
    """Draws each choice's runs as points in a line, with their mean, subject by subject."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.6 + 0.26 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        values = [last(history, key) for history in row["runs"]]
        axes.plot(values, [place] * len(values), "o", color="tab:blue", markersize=4, alpha=0.6)
        axes.plot([statistics.fmean(values)], [place], "|", color="black", markersize=11)
        if place and rows[place - 1]["subject"] != row["subject"]:
            axes.axhline(place - 0.5, color="0.8", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row["choice"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9")
    axes.set_xlabel("AUC on people held out of training; a point a seed, a line at their mean", fontsize=9)
    figure.savefig(path, dpi=110)
