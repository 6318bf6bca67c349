"""The figures of the faithfulness experiment: gains over chance, curves, and similarity after randomization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.per_image import CHANCE, RANKINGS
from headwise.experiments.faithfulness.randomization import randomization_stages
from headwise.experiments.faithfulness.result import MEASURES, FaithfulnessResult
from headwise.figures import COLUMN, PAGE, fix_layout, style
from headwise.models.token_ablation import ABLATIONS
from headwise.shapes import Array

__all__ = ["draw_curves", "draw_gains", "draw_randomization", "figures"]

_GRID, _RULE = "#e4e4e4", "#777777"
_ABLATION_STYLES = (("#1b4f8a", "o"), ("#c2571a", "s"), ("#3f8f5b", "D"), ("#8a5aa8", "^"))
_COLORS = ("#1b4f8a", "#5b9bd5", "#2f9aa0", "#3f8f5b", "#b8860b", "#c2571a", "#c44e7a")
_MARKERS = "osD^vph"
_REFERENCES = (("#777777", (0, (4, 2))), ("#bbbbbb", (0, (1, 1))), ("#000000", "-"), ("#999999", (0, (3, 1, 1, 1))))

_SIGNED = FuncFormatter(lambda value, _: f"{value:+.2g}".replace("-", "−") if value else "0")


def figures(result: FaithfulnessResult) -> dict[str, Figure]:
    """Every figure by its name."""
    return {
        "gains": draw_gains(result.gains),
        "curves": draw_curves(result.curves.mean(axis=0)),
        "randomization": draw_randomization(
            ("trained", *randomization_stages(result.model)), result.randomized_similarity
        ),
    }


def draw_gains(gains: Array) -> Figure:
    """The gain over chance of every ranking by every measure: a row for each ranking, a marker for each ablation.

    Parameters
    ----------
    gains : ndarray of shape (3, rankings, criteria)
        Mean, low and high; the last criterion is the rank correlation with the Shapley values.

    Returns
    -------
    Figure
        As wide as one column of a paper.
    """
    areas = gains[..., :-1].reshape(3, len(RANKINGS), len(ABLATIONS), len(MEASURES))
    with style():
        figure = Figure(figsize=(COLUMN, 6.2), layout="constrained")
        grid = figure.subplots(3, 2, sharey=True)
        for j, measure in enumerate(MEASURES):
            for i in range(len(ABLATIONS)):
                rows = np.arange(len(RANKINGS)) + 0.17 * (i - (len(ABLATIONS) - 1) / 2)
                _draw_intervals(grid.flat[j], rows, areas[:, :, i, j], *_ablation_style(i))
            grid.flat[j].set_title(measure)
        shapley, legend = grid.flat[len(MEASURES)], grid.flat[len(MEASURES) + 1]
        _draw_intervals(shapley, np.arange(float(len(RANKINGS))), gains[..., -1], *_ablation_style(0))
        shapley.set(title="Shapley values", xlabel="rank correlation")
        for axes in grid.flat[: len(MEASURES) + 1]:
            _label_rows(axes, RANKINGS)
        for axes in grid[1]:
            axes.set_xlabel("better than chance by")
        legend.axis("off")
        for i, name in enumerate(ABLATIONS):
            color, marker = _ablation_style(i)
            legend.plot([], [], color=color, marker=marker, ms=3.5, linewidth=1, label=name)
        legend.legend(loc="center", title="missing tokens", title_fontsize=7)
        fix_layout(figure)
    return figure


def draw_curves(curves: Array) -> Figure:
    """Mean deletion curves above, mean insertion curves below, a column for each ablation.

    Parameters
    ----------
    curves : ndarray of shape (rankings + 1, ablations, 2, N + 1)
        The last ranking is chance.

    Returns
    -------
    Figure
        As wide as two columns of a paper.
    """
    steps = np.arange(curves.shape[-1])
    with style():
        figure = Figure(figsize=(PAGE, 4.2), layout="constrained")
        grid = figure.subplots(2, len(ABLATIONS), sharex=True, sharey=True)
        for column, ablation in enumerate(ABLATIONS):
            for row, change in enumerate(("taken away", "put in")):
                axes = grid[row, column]
                for i, (line, name) in enumerate(zip(_lines(), (*RANKINGS, CHANCE), strict=True)):
                    staggered = (i % 4, 4)  # so that the markers of two lines do not coincide
                    axes.plot(steps, curves[i, column, row], label=name, markevery=staggered, **line)
                axes.set(xlim=(0, steps[-1]), ylim=(0, 1.02))
                axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
                axes.grid(linewidth=0.3, color=_GRID)
                axes.set_xlabel(f"tokens {change}")
            grid[0, column].set_title(ablation)
        for axes in grid[:, 0]:
            axes.set_ylabel("probability, mean")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
        fix_layout(figure)
    return figure


def draw_randomization(stages: Sequence[str], correlations: Array) -> Figure:
    """Rank correlation of each map with the trained model's, as the weights are randomized from the top.

    Parameters
    ----------
    stages : sequence of str
        The first is the trained model itself.
    correlations : ndarray of shape (3, stages - 1, maps)
        Mean, low and high.

    Returns
    -------
    Figure
        As wide as one column of a paper.
    """
    with style():
        figure = Figure(figsize=(COLUMN, 3.2), layout="constrained")
        axes = figure.subplots()
        for i, (line, name) in enumerate(zip(_lines(), MAPS, strict=False)):
            mean, low, high = np.insert(correlations[:, :, i], 0, 1.0, axis=1)
            x = np.arange(len(stages)) + 0.06 * (i - (len(MAPS) - 1) / 2)
            axes.plot(x, mean, label=name, **line)
            axes.vlines(x, low, high, color=line["color"], linewidth=0.8)
        axes.axhline(0, color=_RULE, linewidth=0.6)
        axes.xaxis.set_major_locator(FixedLocator(range(len(stages))))
        axes.set_xticklabels(stages, rotation=35, ha="right", rotation_mode="anchor")
        axes.set(ylabel="rank correlation", xlabel="weights randomized, down to")
        axes.grid(axis="y", linewidth=0.3, color=_GRID)
        figure.legend(loc="outside upper center", ncols=3)
        fix_layout(figure)
    return figure


def _ablation_style(i: int) -> tuple[str, str]:
    """Colour and marker of an ablation."""
    return _ABLATION_STYLES[i % len(_ABLATION_STYLES)]


def _draw_intervals(axes: Axes, rows: Array, bounds: Array, color: str, marker: str) -> None:
    mean, low, high = bounds
    axes.hlines(rows, low, high, color=color, linewidth=0.9)
    axes.plot(mean, rows, marker, color=color, ms=2.4, mew=0)


def _label_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.axvline(0, color=_RULE, linewidth=0.6)
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(_SIGNED)
    axes.grid(axis="x", linewidth=0.3, color=_GRID)


def _lines() -> list[dict[str, Any]]:
    """A colour and a marker for each map, then a grey or black dash for each reference and chance."""
    colored = [(_COLORS[i % len(_COLORS)], _MARKERS[i % len(_MARKERS)]) for i in range(len(MAPS))]
    return [
        *({"color": color, "linewidth": 1, "marker": marker, "ms": 3, "mew": 0} for color, marker in colored),
        *({"color": color, "linewidth": 1.2, "linestyle": dash} for color, dash in _REFERENCES),
    ]
