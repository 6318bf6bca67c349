"""An audit's pictures: kinds of map against chance, their curves, and what is left of them with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headwise.figures import COLUMN, PAGE, fix_layout, style
from headwise.shapes import Array

__all__ = ["draw_curves", "draw_gains", "draw_sanity"]

_GRID, _RULE = "#e4e4e4", "#777777"
_MISSING = (("#1b4f8a", "o"), ("#c2571a", "s"), ("#3f8f5b", "D"), ("#8a5aa8", "^"))
_KINDS = ("#1b4f8a", "#5b9bd5", "#2f9aa0", "#3f8f5b", "#b8860b", "#c2571a", "#c44e7a")
_MARKS = "osD^vph"
_REFERENCES = (("#777777", (0, (4, 2))), ("#bbbbbb", (0, (1, 1))), ("#000000", "-"), ("#999999", (0, (3, 1, 1, 1))))

_SIGNED = FuncFormatter(lambda value, _: f"{value:+.2g}".replace("-", "−") if value else "0")


def draw_gains(kinds: Sequence[str], missing: Sequence[str], gains: Mapping[str, Array], ranks: Array) -> Figure:
    """How much better than chance every kind is by every measure, a row a kind, a mark a way to be missing.

    Parameters
    ----------
    kinds : sequence of str
    missing : sequence of str
    gains : mapping of str to ndarray of shape (3, kinds, missing)
        By measure: mean, low and high; more is better.
    ranks : ndarray of shape (3, kinds)
        Rank correlation with the Shapley values: mean, low and high.

    Returns
    -------
    Figure
        As wide as one column of a paper.
    """
    with style():
        figure = Figure(figsize=(COLUMN, 6.2), layout="constrained")
        grid = figure.subplots(3, 2, sharey=True)
        for axes, (measure, found) in zip(grid.flat, gains.items(), strict=False):
            for way, (colour, mark) in enumerate(_MISSING):
                rows = np.arange(len(kinds)) + 0.17 * (way - (len(missing) - 1) / 2)
                _bounds(axes, rows, found[:, :, way], colour, mark)
            axes.set_title(measure)
        last, legend = grid.flat[len(gains)], grid.flat[len(gains) + 1]
        _bounds(last, np.arange(float(len(kinds))), ranks, *_MISSING[0])
        last.set(title="Shapley values", xlabel="rank correlation")
        for axes in grid.flat[: len(gains) + 1]:
            _rows(axes, kinds)
        for axes in grid[1]:
            axes.set_xlabel("better than chance by")
        legend.axis("off")
        for (colour, mark), name in zip(_MISSING, missing, strict=True):
            legend.plot([], [], color=colour, marker=mark, ms=3.5, linewidth=1, label=name)
        legend.legend(loc="center", title="missing tokens", title_fontsize=7)
        fix_layout(figure)
    return figure


def draw_curves(kinds: Sequence[str], missing: Sequence[str], curves: Array) -> Figure:
    """Mean deletion curves above, mean insertion curves below, a column a way to be missing.

    Parameters
    ----------
    kinds : sequence of str
        The last four are the references: ink, uniform, Shapley values, chance.
    missing : sequence of str
    curves : ndarray of shape (kinds, missing, 2, N + 1)

    Returns
    -------
    Figure
        As wide as two columns of a paper.
    """
    steps = np.arange(curves.shape[-1])
    with style():
        figure = Figure(figsize=(PAGE, 4.2), layout="constrained")
        grid = figure.subplots(2, len(missing), sharex=True, sharey=True)
        for column, name in enumerate(missing):
            for row, way in enumerate(("taken away", "put in")):
                axes = grid[row, column]
                for i, (line, kind) in enumerate(zip(_lines(len(kinds)), kinds, strict=True)):
                    every = (i % 4, 4)  # marks of one line beside those of the next
                    axes.plot(steps, curves[i, column, row], label=kind, markevery=every, **line)
                axes.set(xlim=(0, steps[-1]), ylim=(0, 1.02))
                axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
                axes.grid(linewidth=0.3, color=_GRID)
                axes.set_xlabel(f"tokens {way}")
            grid[0, column].set_title(name)
        for axes in grid[:, 0]:
            axes.set_ylabel("probability, mean")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
        fix_layout(figure)
    return figure


def draw_sanity(kinds: Sequence[str], stages: Sequence[str], correlations: Array) -> Figure:
    """Rank correlation of each kind of map with the trained model's, as its weights are made anew from the top.

    Parameters
    ----------
    kinds : sequence of str
    stages : sequence of str
        The first is the trained model itself.
    correlations : ndarray of shape (3, stages - 1, kinds)
        Mean, low and high.

    Returns
    -------
    Figure
        As wide as one column of a paper.
    """
    with style():
        figure = Figure(figsize=(COLUMN, 3.2), layout="constrained")
        axes = figure.subplots()
        for i, (line, kind) in enumerate(zip(_lines(len(kinds) + len(_REFERENCES)), kinds, strict=False)):
            mean, low, high = np.insert(correlations[:, :, i], 0, 1.0, axis=1)
            places = np.arange(len(stages)) + 0.06 * (i - (len(kinds) - 1) / 2)
            axes.plot(places, mean, label=kind, **line)
            axes.vlines(places, low, high, color=line["color"], linewidth=0.8)
        axes.axhline(0, color=_RULE, linewidth=0.6)
        axes.xaxis.set_major_locator(FixedLocator(range(len(stages))))
        axes.set_xticklabels(stages, rotation=35, ha="right", rotation_mode="anchor")
        axes.set(ylabel="rank correlation", xlabel="weights made anew, down to")
        axes.grid(axis="y", linewidth=0.3, color=_GRID)
        figure.legend(loc="outside upper center", ncols=3)
        fix_layout(figure)
    return figure


def _bounds(axes: Axes, rows: Array, found: Array, colour: str, mark: str) -> None:
    mean, low, high = found
    axes.hlines(rows, low, high, color=colour, linewidth=0.9)
    axes.plot(mean, rows, mark, color=colour, ms=2.4, mew=0)


def _rows(axes: Axes, kinds: Sequence[str]) -> None:
    axes.axvline(0, color=_RULE, linewidth=0.6)
    axes.set(yticks=range(len(kinds)), yticklabels=kinds, ylim=(len(kinds) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(_SIGNED)
    axes.grid(axis="x", linewidth=0.3, color=_GRID)


def _lines(count: int) -> list[dict[str, Any]]:
    """A colour and a mark for each kind of map; for the four references after them a dash, in grey or black."""
    own = zip(_KINDS[: count - len(_REFERENCES)], _MARKS, strict=False)
    return [
        *({"color": colour, "linewidth": 1, "marker": mark, "ms": 3, "mew": 0} for colour, mark in own),
        *({"color": colour, "linewidth": 1.2, "linestyle": dash} for colour, dash in _REFERENCES),
    ]
