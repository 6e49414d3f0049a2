"""Pictures of results: ROC curves, the worst errors, training curves, triples. Files only: no window, no state."""

import math
import os
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from utils.bootstrap import Intervals
from utils.files import FileInMemory, source_name, written_whole
from utils.fonts import name_fonts
from utils.images import printable
from utils.metrics import Curve, curve

SAME, DIFFERENT, NEUTRAL = "#1b6ca8", "#d1603d", "#444444"
DOTS_PER_INCH = 100
SHEET_ROWS = 8  # rows of photos on a sheet

# Which figures of an epoch share a panel: title -> what their names hold. The first that fits counts.
TRIPLETS = ("triplet", "semi_hard", "any_violating", "batch_hard", "batch_all")
PANELS = {
    "parts of the loss": (*TRIPLETS, "contrastive", "imitation", "teacher_contrast", "centre"),
    "loss": ("loss", "entropy"),
    "accuracy, AUC": ("accuracy", "auc"),
    "VAL at a false-accept rate": ("val",),
    "mean squared distance in a batch": ("distance",),
    "share that violates the margin, cosine to the own person": ("violating", "cosine"),
    "effective rank": ("rank",),
    "length of the gradients": ("gradient",),
}


def roc_figure(
    path: str | os.PathLike[str],
    distances: np.ndarray,
    same: np.ndarray,
    threshold: float,
    intervals: Intervals | None = None,
    title: str = "",
) -> None:
    """Draws the ROC curve on a linear and on a logarithmic false-accept axis, and the distances of both kinds of pairs.

    distances (N,) squared Euclidean 0..4; same bool (N,); the band of `intervals` is VAL's 95% bootstrap interval.
    """
    order = np.argsort(distances, kind="stable")
    points = curve(np.asarray(distances, np.float64)[order], np.asarray(same, bool)[order], np.ones(len(order)))
    figure = figure_of(10, 3.9, title)
    linear, logarithmic, histogram = figure.subplots(1, 3)
    for axes in (linear, logarithmic):
        _draw_roc(axes, points, intervals)
        axes.set(xlabel="false-accept rate", ylim=(0, 1.02))
    linear.set(ylabel="VAL (true-accept rate)", xlim=(-0.02, 1))
    linear.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle=":")
    # The first false accept is the finest rate that the pairs can show.
    logarithmic.set(xscale="log", xlim=(min(0.5, 1 / np.count_nonzero(~same)), 1))
    logarithmic.xaxis.set_minor_formatter(NullFormatter())  # few pairs: "2 x 10^-1" and its like run into each other
    if intervals is not None and len(intervals.band_far):
        linear.legend(loc="lower right", fontsize=8, frameon=False)
    bins = np.linspace(0, max(float(np.max(distances)), threshold) * 1.02 or 1.0, 61)
    for kind, label, color in ((same, "same", SAME), (~same, "different", DIFFERENT)):
        histogram.hist(distances[kind], bins=bins.tolist(), color=color, alpha=0.6, label=f"{label} ({kind.sum():,})")
    histogram.axvline(threshold, color=NEUTRAL, linewidth=1, label=f"threshold {threshold:.3g}")
    histogram.set(xlabel="squared distance", ylabel="pairs", xlim=(0, bins[-1]))
    histogram.set_ylim(0, histogram.get_ylim()[1] * 1.25)  # room for the legend above the bars
    histogram.legend(loc="upper right", fontsize=8, framealpha=1, edgecolor="none")
    save_figure(figure, path)


def _draw_roc(axes: Axes, points: Curve, intervals: Intervals | None) -> None:
    if intervals is not None and len(intervals.band_far):
        axes.fill_between(
            intervals.band_far,
            intervals.band_low,
            intervals.band_high,
            color=SAME,
            alpha=0.2,
            label="95% interval",
            lw=0,
        )
    axes.plot(points.far, points.val, color=SAME, linewidth=1.6)


def error_sheet(
    path: str | os.PathLike[str],
    pairs: Sequence[tuple[str | FileInMemory, str | FileInMemory]],
    distances: np.ndarray,
    same: np.ndarray,
    threshold: float,
    read: Callable[[str | FileInMemory], np.ndarray],
) -> None:
    """Draws the worst false accepts (left) and false rejects (right): photos side by side, names, distance.

    pairs: N paths of two; distances (N,); same bool (N,); `read` turns a path into a photo, uint8 (H,W,3) RGB.
    """
    accepts = np.flatnonzero(~same & (distances < threshold))
    rejects = np.flatnonzero(same & (distances >= threshold))
    columns = (
        ("false accepts: different people, nearest first", accepts[np.argsort(distances[accepts], kind="stable")]),
        ("false rejects: one person, farthest first", rejects[np.argsort(-distances[rejects], kind="stable")]),
    )
    rows = max(1, min(SHEET_ROWS, max(len(accepts), len(rejects))))
    figure = figure_of(10, 0.75 + 1.75 * rows, f"worst errors at threshold {threshold:.3g}")
    for part, (heading, errors) in zip(np.asarray(figure.subfigures(1, 2, wspace=0.06)), columns, strict=True):
        part.suptitle(f"{heading} ({len(errors):,})", fontsize=10)
        grid = np.asarray(part.subplots(rows, 2, squeeze=False))
        for axes in grid.flat:
            axes.set_axis_off()
        for number, error in enumerate(errors[:rows].tolist()):
            for axes, file, side in zip(grid[number], pairs[error], "EW", strict=True):
                axes.imshow(read(file))
                axes.set_anchor(side)  # east, west: the two photos meet
                axes.set_title(_name(source_name(file)), fontsize=7, pad=2, parse_math=False, family=name_fonts())
            axes.text(1.04, 0.5, f"{distances[error]:.3f}", transform=axes.transAxes, va="center", fontsize=9)
    save_figure(figure, path)


def curves_figure(path: str | os.PathLike[str], history: Sequence[dict[str, float]]) -> None:
    """Draws the figures of a training over its epochs: one dict an epoch, a panel for each kind of figure.

    Keys that hold one of the words in PANELS are drawn (`loss`, `triplet`, `cross_entropy`, `lfw_accuracy`, ...), with
    underscores as spaces; others are not. `epoch` (1, 2, ...) is optional. Epochs without the key, or NaN, are gaps.
    """
    keys = dict.fromkeys(key for epoch in history for key in epoch if _is_number(epoch, key))
    panels = {title: [key for key in keys if _panel(key) == title] for title in PANELS}
    panels = {title: members for title, members in panels.items() if members}
    rows = max(1, math.ceil(len(panels) / 2))
    figure = figure_of(10, 2.8 * rows)
    for place, (title, members) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, 2, place)
        for key in members:
            drawn = [(at.get("epoch", i), at[key]) for i, at in enumerate(history, 1) if _is_number(at, key)]
            axes.plot(*zip(*drawn, strict=True), marker="o", markersize=3, clip_on=False, label=key.replace("_", " "))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # never half epochs
        axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
        axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def _panel(key: str) -> str | None:
    words = key.lower()
    return next((title for title, parts in PANELS.items() if any(part in words for part in parts)), None)


def _is_number(epoch: dict[str, float], key: str) -> bool:
    value = epoch.get(key)
    return value is not None and math.isfinite(value)


def triple_sheet(path: str | os.PathLike[str], images: np.ndarray, captions: Sequence[str] = ()) -> None:
    """Draws triples in rows (at most eight): anchor, positive, negative, as the network sees them.

    images uint8 (3n,H,W,3) in thirds: n anchors, n positives, n negatives; captions: one an image, in that order.
    """
    places = np.arange(len(images)).reshape(3, -1).T
    _rows_of_three(path, images, captions, places, ("anchor", "positive", "negative"))


def sheet(path: str | os.PathLike[str], images: np.ndarray, captions: Sequence[str] = ()) -> None:
    """Draws images (N,H,W,3), uint8, one or more, in rows of three (at most eight), each with its caption."""
    places = np.arange(-(-len(images) // 3) * 3).reshape(-1, 3)
    _rows_of_three(path, images, captions, places)


def _rows_of_three(
    path: str | os.PathLike[str],
    images: np.ndarray,
    captions: Sequence[str],
    places: np.ndarray,
    headings: Sequence[str] = (),
) -> None:
    """Draws the images at places (R,3), an empty one where there are not as many, with headings over the columns."""
    places = places[:SHEET_ROWS]
    height, width = images.shape[1:3]
    figure = figure_of(5.4, 0.4 + len(places) * (1.7 * height / width + 0.2))
    for axes, place in zip(figure.subplots(len(places), 3, squeeze=False).flat, places.flat, strict=True):
        axes.set_axis_off()
        if place < len(images):
            axes.imshow(images[place])
            caption = _short(captions[place], 28) if len(captions) else ""
            axes.set_title(caption, fontsize=7, pad=2, parse_math=False, family=name_fonts())
    for axes, heading in zip(figure.axes, headings, strict=False):
        axes.set_title(f"{heading}\n{axes.get_title()}", fontsize=7, pad=2, parse_math=False, family=name_fonts())
    save_figure(figure, path)


def figure_of(width: float, height: float, title: str = "") -> Figure:
    """Returns an empty figure of `width` x `height` hundred pixels."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a figure in the style of all of them, whole or not at all."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    with warnings.catch_warnings(), written_whole(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph")  # names in a script that the font lacks: boxes, no warnings
        figure.savefig(temporary)


def _name(file: str) -> str:
    return _short(os.path.splitext(os.path.basename(file))[0], 26)


def _short(text: str, length: int) -> str:
    """Shortens a text in its middle: files of one person differ at the end."""
    text = printable(text)
    if len(text) <= length:
        return text
    tail = length // 2
    return f"{text[: length - tail - 1]}…{text[-tail:]}"
