"""Figure of the benchmark: time relative to headwise for each workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from headwise.figures import PAGE, new_figure
from headwise.figures.colors import ACCENT, AVERAGE, CATEGORIES, GRID, MARK, RANDOM

_MARKS = (("D", RANDOM), ("o", MARK), ("s", CATEGORIES[2]), ("^", CATEGORIES[3]))


def draw_ratios(lines: Sequence[str], peers: Mapping[str, Sequence[float | None]], limit: Sequence[float]) -> Figure:
    """Time as a multiple of headwise's, for each workload: a marker for each peer that was measured.

    A bar shows the machine's limit: what it needs at least, as a fraction of headwise's time.
    """
    rows = range(len(lines))
    with new_figure(PAGE, 0.9 + 0.19 * len(lines)) as figure:
        axes = figure.subplots()
        axes.axvline(1, color=ACCENT, linewidth=0.9, label="headwise")
        axes.plot(limit, rows, "|", color=AVERAGE, ms=7, mew=1.4, label="the machine's limit")
        for (name, ratios), (mark, color) in zip(peers.items(), _MARKS, strict=False):
            measured = [(ratio, row) for row, ratio in enumerate(ratios) if ratio is not None]
            axes.plot(*zip(*measured, strict=True), mark, color=color, ms=4.5, mew=0, label=name)
        axes.set(xscale="log", yticks=rows, yticklabels=lines, ylim=(len(lines) - 0.4, -0.6))
        axes.set_ylabel("B×H×N×d")
        axes.set_xlabel("time as a multiple of headwise's; farther right is slower")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="y", length=0)
        axes.grid(linewidth=0.3, color=GRID)
        axes.set_axisbelow(True)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
