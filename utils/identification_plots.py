"""Pictures of probabilities, of identification and of groups. Files only: no window, no state."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from utils.calibration import Calibration, Method, Numbers, even_weights
from utils.fonts import name_fonts
from utils.group_figures import GroupFigures
from utils.open_set import RANKS, Searches, cmc, dir_at
from utils.plots import DIFFERENT, NEUTRAL, SAME, figure_of, save_figure
from utils.reliability import PeoplePairs, Reliability, bins

COLOURS: dict[Method, str] = {"isotonic": SAME, "platt": DIFFERENT}


def reliability_figure(
    path: str | os.PathLike[str],
    calibration: Calibration,
    measured: Mapping[Method, Reliability],
    pairs: PeoplePairs,
) -> None:
    """Draws what was said against what was so, for each method, and the probability over the distances of all pairs."""
    figure = figure_of(10, 4.4)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle=":")
    for method, found in measured.items():
        mass, said, true = bins(found.predicted, found.pairs.same, even_weights(found.pairs.same))
        kept = ", kept" if method == calibration.method else ""
        label = f"{method}{kept}: ECE {found.ece:.4f} [{found.interval[0]:.4f} .. {found.interval[1]:.4f}]"
        left.plot(said, true, color=COLOURS[method], linewidth=1, alpha=0.6)
        left.scatter(said, true, s=10 + 400 * mass, color=COLOURS[method], alpha=0.6, label=label, linewidths=0)
    left.set(xlabel="probability said", ylabel="share that was one person", xlim=(-0.03, 1.03))
    left.set(ylim=(-0.03, 1.24), yticks=np.linspace(0, 1, 6))  # room for the legend above what the bins show
    left.set_title("reliability on people held back (area: share of pairs)", fontsize=10)
    legend = left.legend(loc="upper left", fontsize=8, frameon=False)
    for handle in legend.legend_handles:
        handle.set_sizes([30])  # type: ignore[union-attr]
    _draw_probability(right, calibration, pairs)
    save_figure(figure, path)


def _draw_probability(axes: Axes, calibration: Calibration, pairs: PeoplePairs) -> None:
    largest = float(np.quantile(pairs.distances, 0.9999)) * 1.05 or 1.0
    edges = np.linspace(0, largest, 61)
    for kind, label, colour in ((pairs.same, "same", SAME), (~pairs.same, "different", DIFFERENT)):
        shares = np.histogram(pairs.distances[kind], edges)[0] / max(1, np.count_nonzero(kind))
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.4, label=f"{label} ({np.count_nonzero(kind):,})")
    axes.set(xlabel="squared distance", ylabel="share of the pairs", xlim=(0, largest))
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)  # room for the legend
    at = np.linspace(0, largest, 400)
    probability = axes.twinx()
    probability.plot(at, calibration.probability(at), color=NEUTRAL, linewidth=1.6, label="probability of one person")
    probability.set_ylim(0, 1.3)
    probability.set_yticks(np.linspace(0, 1, 6))
    probability.yaxis.set_major_formatter(PercentFormatter(1.0))
    handles = [*axes.get_legend_handles_labels()[0], *probability.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="upper center", ncols=2, fontsize=8, frameon=False)
    axes.set_title("what a distance means, at even odds", fontsize=10)


def identification_figure(path: str | os.PathLike[str], found: Searches, threshold: float, enrolled: int) -> None:
    """Draws the CMC, DIR over FPIR, and how far the nearest of the enrolled people is from either kind of probe."""
    figure = figure_of(10, 3.9)
    ranks, rates, histogram = figure.subplots(1, 3)
    curve = cmc(found, ranks=min(RANKS, enrolled))
    ranks.plot(range(1, len(curve) + 1), curve, color=SAME, marker="o", markersize=3)
    ranks.set(xlabel="rank", ylabel="own person among so many", xlim=(0.5, len(curve) + 0.5))
    ranks.set_title("CMC (the enrolled)", fontsize=10)
    ranks.xaxis.set_major_locator(MaxNLocator(integer=True))
    ranks.set_ylim(min(0.9, float(curve[0]) - 0.05), 1.005)
    strangers = np.sort(found.distance[~found.known])
    places = np.unique(np.geomspace(1, len(strangers), 60).round().astype(int)) - 1  # so many strangers are below
    named = [dir_at(found, float(strangers[place])) for place in places.tolist()]
    rates.plot(np.maximum(places, 0.5) / len(strangers), named, color=SAME, linewidth=1.6)
    rates.axhline(float(curve[0]), color=NEUTRAL, linewidth=0.8, linestyle=":", label="rank-1")
    rates.set(xscale="log", xlabel="FPIR (strangers given a name)", ylabel="DIR (own name given)", ylim=(0, 1.02))
    rates.set_title("strangers among the probes", fontsize=10)
    rates.legend(loc="lower right", fontsize=8, frameon=False)
    edges = np.linspace(0, float(found.distance.max()) * 1.02 or 1.0, 61)
    right = found.known & (found.rank == 1)
    kinds = (
        (right, "own person", SAME),
        (~found.known, "stranger", DIFFERENT),
        (found.known & ~right, "another", NEUTRAL),
    )
    for kind, label, colour in kinds:
        shares = np.histogram(found.distance[kind], edges)[0]
        histogram.stairs(
            shares, edges, fill=True, color=colour, alpha=0.5, label=f"{label} ({np.count_nonzero(kind):,})"
        )
    histogram.axvline(threshold, color=NEUTRAL, linewidth=1, label=f"threshold {threshold:.3g}")
    histogram.set(xlabel="squared distance to the nearest", ylabel="probes", xlim=(0, edges[-1]))
    histogram.set_ylim(0, histogram.get_ylim()[1] * 1.4)  # room for the legend above the bars
    histogram.legend(loc="upper right", fontsize=8, frameon=False)
    save_figure(figure, path)


def search_errors(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.integer],
    rows: tuple[NDArray[np.integer], NDArray[np.integer]],
    found: Searches,
    threshold: float,
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.bool_], Numbers]:
    """Returns the errors as pairs of photos: probe (E,), photo of the gallery (E,), whether one person, distance (E,).

    A probe under another's name, below the threshold, beside that person's nearest photo; a probe not under its own
    name beside its own nearest one. Distances are those to the template. rows: those enrolled, those probed.
    """
    gallery, probes = rows
    enrolled = np.unique(labels[gallery])
    wrong = np.flatnonzero((found.nearest != found.person) & (found.distance < threshold))
    missed = np.flatnonzero(found.known & ~((found.rank == 1) & (found.distance < threshold)))
    # a probe that was confused was missed too; its own person is shown where that is far
    missed = missed[found.own[missed] >= threshold]
    who = np.concatenate((found.nearest[wrong], found.person[missed]))
    first, second = probes[np.concatenate((wrong, missed))], []
    for probe, person in zip(first.tolist(), enrolled[who].tolist(), strict=True):
        photos = gallery[labels[gallery] == person]
        second.append(int(photos[np.argmax(embeddings[photos] @ embeddings[probe])]))
    same = np.arange(len(first)) >= len(wrong)
    return first, np.array(second, np.int64), same, np.concatenate((found.distance[wrong], found.own[missed]))


def groups_figure(path: str | os.PathLike[str], columns: Mapping[str, list[GroupFigures]], far: float) -> None:
    """Draws VAL, and FAR within the group, of each group that is large enough, with their intervals."""
    rows = [
        (f"{column}: {row.name}" if len(columns) > 1 else row.name, row)
        for column in columns
        for row in columns[column]
    ]
    figure = figure_of(9, 1.6 + 0.32 * len(rows), "one threshold for all groups; bars are 95% intervals")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, (_, row) in enumerate(rows):
        for axes, share, colour in ((left, row.val, SAME), (right, row.far, DIFFERENT)):
            if not np.isnan(share.low):
                axes.plot((share.low, share.high), (place, place), color=colour, linewidth=2)
            if not np.isnan(share.value):
                axes.plot(share.value, place, "o", color=colour)
        if np.isnan(row.val.value):
            left.annotate(" too small to say", (0, place), xycoords=("axes fraction", "data"), fontsize=8, va="center")
    left.set(yticks=range(len(rows)), yticklabels=[f"{name} ({row.people})" for name, row in rows], xlabel="VAL")
    for text in left.get_yticklabels():
        text.set(parse_math=False, family=name_fonts())
    left.set_ylim(len(rows) - 0.5, -0.5)
    right.axvline(far, color=NEUTRAL, linewidth=0.8, linestyle=":", label=f"among everybody, {far:g}")
    right.set(xscale="log", xlabel="false-accept rate within the group")
    right.xaxis.set_minor_formatter(NullFormatter())  # less than a decade: they would run into each other
    right.legend(loc="lower right", fontsize=8, frameon=False)
    save_figure(figure, path)
