"""The figures of the faithfulness experiment: gains over chance, curves, and similarity after randomization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headwise.experiments.faithfulness.result import FaithfulnessResult
from headwise.experiments.faithfulness.scope import CHANCE, MEASURES, Scope
from headwise.figures import COLUMN, PAGE, new_figure
from headwise.figures.colors import CATEGORIES, GRID, RANDOM, REFERENCE
from headwise.shapes import Array

_MARKERS = "osD^vph"
_REFERENCE_LINES = ((REFERENCE, (0, (4, 2))), (GRID, (0, (1, 1))), (RANDOM, (0, (3, 1, 1, 1))))

_SIGNED = FuncFormatter(lambda value, _: f"{value:+.2g}".replace("-", "−") if value else "0")


def figures(result: FaithfulnessResult) -> dict[str, Figure]:
    """Every figure by its name."""
    drawings = {"gains": draw_gains(result.scope, result.gains), "curves": draw_curves(result.scope, result.curves)}
    if result.stages:
        drawings["randomization"] = draw_randomization(
            ("trained", *result.stages), result.randomized_maps, result.randomized_similarity
        )
    return drawings


def draw_gains(scope: Scope, gains: Array) -> Figure:
    """The gain over chance of every ranking by every measure: a row for each ranking, a marker for each ablation.

    Gains (3, rankings, criteria) are mean, low and high; the last criterion is the correlation with the Shapley values.
    """
    n = len(scope.rankings)
    areas = gains[..., :-1].reshape(3, n, len(scope.ablations), len(MEASURES))
    with new_figure(COLUMN, 1.4 + 0.48 * n) as figure:
        grid = figure.subplots(3, 2, sharey=True)
        for j, measure in enumerate(MEASURES):
            for i in range(len(scope.ablations)):
                rows = np.arange(n) + 0.17 * (i - (len(scope.ablations) - 1) / 2)
                _draw_intervals(grid.flat[j], rows, areas[:, :, i, j], *_color_and_marker(i))
            grid.flat[j].set_title(measure)
        shapley, legend = grid.flat[len(MEASURES)], grid.flat[len(MEASURES) + 1]
        _draw_intervals(shapley, np.arange(float(n)), gains[..., -1], *_color_and_marker(0))
        shapley.set(title="Shapley values", xlabel="rank correlation")
        for axes in grid.flat[: len(MEASURES) + 1]:
            _label_rows(axes, scope.rankings)
        for axes in grid[1]:
            axes.set_xlabel("better than chance by")
        legend.axis("off")
        for i, name in enumerate(scope.ablations):
            color, marker = _color_and_marker(i)
            legend.plot([], [], color=color, marker=marker, ms=3.5, linewidth=1, label=name)
        legend.legend(loc="center", title="missing tokens", title_fontsize=7)
    return figure


def draw_curves(scope: Scope, curves: Array) -> Figure:
    """Mean deletion curves above, mean insertion curves below, a column for each ablation.

    Curves are (rankings + 1, ablations, 2, P + 1); the last ranking is chance.
    """
    steps = np.arange(curves.shape[-1])
    with new_figure(PAGE, 4.6) as figure:
        grid = figure.subplots(2, len(scope.ablations), sharex=True, sharey=True, squeeze=False)
        for column, ablation in enumerate(scope.ablations):
            for row, change in enumerate(("taken away", "put in")):
                axes = grid[row, column]
                for i, (line, name) in enumerate(zip(_lines(len(scope.maps)), (*scope.rankings, CHANCE), strict=True)):
                    staggered = (i % 4, 4)  # so that the markers of two lines do not coincide
                    axes.plot(steps, curves[i, column, row], label=name, markevery=staggered, **line)
                axes.set(xlim=(0, steps[-1]), ylim=(0, 1.02))
                axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
                axes.grid(linewidth=0.3, color=GRID)
                axes.set_xlabel(f"tokens {change}")
            grid[0, column].set_title(ablation)
        for axes in grid[:, 0]:
            axes.set_ylabel("probability, mean")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def draw_randomization(stages: Sequence[str], maps: Sequence[str], correlations: Array) -> Figure:
    """Rank correlation of each map with the trained model's, as the weights are randomized from the top.

    The first stage is the trained model itself; correlations (3, stages - 1, maps) are mean, low and high.
    """
    with new_figure(COLUMN, 3.6) as figure:
        axes = figure.subplots()
        for i, (line, name) in enumerate(zip(_lines(len(maps)), maps, strict=False)):
            mean, low, high = np.insert(correlations[:, :, i], 0, 1.0, axis=1)
            x = np.arange(len(stages)) + 0.06 * (i - (len(maps) - 1) / 2)
            axes.plot(x, mean, label=name, **line)
            axes.vlines(x, low, high, color=line["color"], linewidth=0.8)
        axes.axhline(0, color=REFERENCE, linewidth=0.6)
        axes.xaxis.set_major_locator(FixedLocator(range(len(stages))))
        axes.set_xticklabels(stages, rotation=35, ha="right", rotation_mode="anchor")
        axes.set(ylabel="rank correlation", xlabel="weights randomized, down to")
        axes.grid(axis="y", linewidth=0.3, color=GRID)
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def _color_and_marker(i: int) -> tuple[str, str]:
    """Colour and marker of an ablation or a map."""
    return CATEGORIES[i % len(CATEGORIES)], _MARKERS[i % len(_MARKERS)]


def _draw_intervals(axes: Axes, rows: Array, bounds: Array, color: str, marker: str) -> None:
    mean, low, high = bounds
    axes.hlines(rows, low, high, color=color, linewidth=0.9)
    axes.plot(mean, rows, marker, color=color, ms=2.4, mew=0)


def _label_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.axvline(0, color=REFERENCE, linewidth=0.6)
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(_SIGNED)
    axes.grid(axis="x", linewidth=0.3, color=GRID)


def _lines(maps: int) -> list[dict[str, Any]]:
    """Colour, marker and dashes for each map, no two alike; grey dashes for baseline, control and chance."""
    styles: list[dict[str, Any]] = []
    for i in range(maps):
        color, marker = _color_and_marker(i)
        dashes = ("-", (0, (5, 1)), (0, (2, 1)))[i // len(CATEGORIES) % 3]
        styles.append({"color": color, "marker": marker, "linestyle": dashes, "linewidth": 1, "ms": 3, "mew": 0})
    return [*styles, *({"color": color, "linewidth": 1.2, "linestyle": dash} for color, dash in _REFERENCE_LINES)]
