"""Tokenisations side by side: accuracy, shifted digits, position embeddings, sizes of the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from headwise.figures import fix_layout, style
from headwise.shapes import Array

__all__ = ["draw_accuracies", "draw_shifts", "draw_similarities", "draw_sizes"]

_RUN, _MEAN, _GRID = "#7a9cc6", "#c2571a", "#dddddd"
_COSINES = "RdBu_r"
_COLOURS = ("#1b4f8a", "#c2571a", "#3f8f5b", "#8a5aa8", "#b8860b", "#5f6b76", "#c44e7a", "#2f9aa0")
_MARKS = "osD^vPX*"

_PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.4g}%")
_POINTS = FuncFormatter(lambda share, _: f"{100 * share:+.4g}".replace("-", "−") if share else "0")

Bounds = tuple[float, float | None, float | None]  # mean, and an interval where there is one


def draw_accuracies(
    names: Sequence[str], accuracy: Array, means: Sequence[Bounds], differences: Mapping[tuple[str, str], Bounds]
) -> Figure:
    """Left, every run's accuracy above its mean with the interval; right, the differences within seeds.

    Parameters
    ----------
    names : sequence of str
        T tokenisations.
    accuracy : ndarray of shape (T, seeds)
    means : sequence of (mean, low, high)
        One a tokenisation; low and high are None where there is no interval.
    differences : mapping of (name, base) to (mean, low, high)

    Returns
    -------
    Figure
    """
    with style():
        figure = Figure(figsize=(7.2, 0.8 + 0.34 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2)
        for row, (found, bounds) in enumerate(zip(accuracy, means, strict=True)):
            left.plot(found, np.full(len(found), row - 0.17), "o", color=_RUN, ms=3.5, mew=0, alpha=0.8)
            _interval(left, row + 0.14, _possible(bounds))
        for row, bounds in enumerate(differences.values()):
            _interval(right, row, bounds)
        right.axvline(0, color="#555555", linewidth=0.6)
        _rows(left, names, "digits read correctly")
        _rows(right, [f"{name} − {base}" for name, base in differences], "difference in points, within seeds")
        left.xaxis.set_major_formatter(_PERCENT)
        right.xaxis.set_major_formatter(_POINTS)
        fix_layout(figure)
    return figure


def draw_shifts(names: Sequence[str], changes: Mapping[str, Array], shifts: Sequence[int], trained: float) -> Figure:
    """What moving all digits does to the accuracy, a panel for each direction.

    Parameters
    ----------
    names : sequence of str
        T tokenisations.
    changes : mapping of str to ndarray of shape (T, shifts)
        By direction: mean change in accuracy, as a share.
    shifts : sequence of int
        Pixels.
    trained : float
        Up to how many pixels the digits were moved in training.

    Returns
    -------
    Figure
    """
    with style():
        figure = Figure(figsize=(7.2, 2.6), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(changes), sharey=True))
        for axes, (direction, change) in zip(panels, changes.items(), strict=True):
            axes.axvspan(0, trained, color="#f0f0f0", linewidth=0)
            for line, name, values in zip(_styles(names), names, change, strict=True):
                axes.plot((0, *shifts), (0, *values), label=name, clip_on=False, zorder=3, **line)
            axes.set(title=f"moved {direction}", xlabel="pixels", xlim=(0, max(shifts)))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_formatter(_POINTS)
            axes.grid(axis="y", linewidth=0.3, color=_GRID)
        panels[0].set_ylabel("change in points")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
        fix_layout(figure)
    return figure


def draw_similarities(names: Sequence[str], similarities: Sequence[Array]) -> Figure:
    """Cosines between the tokens' position embeddings, a matrix for each tokenisation, on one scale from −1 to 1.

    Parameters
    ----------
    names : sequence of str
    similarities : sequence of ndarray of shape (N, N)
        N may differ from one to the next.

    Returns
    -------
    Figure
    """
    rows = -(-len(names) // 4)
    columns = -(-len(names) // rows)
    with style():
        figure = Figure(figsize=(7.2, 0.3 + rows * (0.4 + 5.6 / columns)), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.axis("off")
        for axes, name, cosines in zip(grid.flat, names, similarities, strict=False):
            drawn = axes.imshow(cosines, cmap=_COSINES, norm=Normalize(-1, 1), interpolation="nearest")
            first_and_last = [0, len(cosines) - 1]
            axes.set(title=name, xticks=first_and_last, yticks=first_and_last)
            axes.set_xticklabels([1, len(cosines)])
            axes.set_yticklabels([1, len(cosines)])
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set(visible=True, linewidth=0.4)
        bar = figure.colorbar(drawn, ax=grid, aspect=30, shrink=0.85)
        bar.set_label("cosine")
        bar.outline.set_linewidth(0.4)
        fix_layout(figure)
    return figure


def draw_sizes(names: Sequence[str], sizes: Sequence[int], accuracy: Array) -> Figure:
    """Accuracy against the number of training digits: every run, and a line through the means.

    Parameters
    ----------
    names : sequence of str
        T tokenisations.
    sizes : sequence of int
    accuracy : ndarray of shape (T, sizes, seeds)

    Returns
    -------
    Figure
    """
    with style():
        figure = Figure(figsize=(7.2, 2.8), layout="constrained")
        axes = figure.subplots()
        for line, name, found in zip(_styles(names), names, accuracy, strict=True):
            axes.plot(sizes, found.mean(axis=1), label=name, **line)
            axes.plot(sizes, found, "o", color=line["color"], ms=2.2, mew=0, alpha=0.45)
        axes.set(xscale="log", xlabel="training digits", ylabel="digits read correctly")
        axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
        axes.yaxis.set_major_formatter(_PERCENT)
        axes.grid(axis="y", linewidth=0.3, color=_GRID)
        figure.legend(loc="outside right center")
        fix_layout(figure)
    return figure


def _possible(bounds: Bounds) -> Bounds:
    """An interval for a share, cut at what can be."""
    mean, low, high = bounds
    return mean, None if low is None else max(0, low), None if high is None else min(1, high)


def _interval(axes: Axes, row: float, bounds: Bounds) -> None:
    mean, low, high = bounds
    if low is not None and high is not None:
        axes.plot([low, high], [row, row], color=_MEAN, linewidth=1.2)
    axes.plot(mean, row, "D", color=_MEAN, ms=3.5, mew=0)


def _rows(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set(xlabel=label, yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.grid(axis="x", linewidth=0.3, color=_GRID)


def _styles(names: Sequence[str]) -> list[dict[str, Any]]:
    """A colour and a mark for each, so that neither is needed to tell them apart."""
    chosen = [(_COLOURS[i % len(_COLOURS)], _MARKS[i % len(_MARKS)]) for i in range(len(names))]
    return [{"color": colour, "marker": mark, "ms": 3.5, "mew": 0, "linewidth": 1} for colour, mark in chosen]
