"""Figures that several experiments share: accuracy of every run, and training loss by epoch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from headwise.experiments.statistics import Interval, t_interval
from headwise.figures import new_figure
from headwise.figures.colors import ACCENT, GRID, MARK, PALE_ACCENT, REFERENCE
from headwise.shapes import Array

PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.4g}%")
POINTS = FuncFormatter(lambda share, _: f"{100 * share:+.4g}".replace("-", "−") if share else "0")


def draw_accuracies(
    accuracies: Mapping[str, Array],
    differences: Mapping[str, Interval] | None = None,
    *,
    highlight: Collection[str] | None = None,
) -> Figure:
    """Every run's accuracy, (runs,) by method, above its mean and interval; at the right, differences between methods.

    The means of the methods in `highlight`, by default of all, are drawn in colour.
    """
    with new_figure(7.2, 0.8 + 0.34 * len(accuracies)) as figure:
        panels = figure.subplots(1, 2 if differences else 1, squeeze=False)[0]
        for row, (name, values) in enumerate(accuracies.items()):
            panels[0].plot(values, np.full(len(values), row - 0.17), "o", color=PALE_ACCENT, ms=3.5, mew=0, alpha=0.8)
            color = MARK if highlight is None or name in highlight else REFERENCE
            _draw_interval(panels[0], row + 0.14, t_interval(values).within(0, 1), color)
        _label_rows(panels[0], list(accuracies), "accuracy")
        panels[0].xaxis.set_major_formatter(PERCENT)
        if differences:
            for row, interval in enumerate(differences.values()):
                _draw_interval(panels[1], row, interval, MARK)
            panels[1].axvline(0, color=REFERENCE, linewidth=0.6)
            _label_rows(panels[1], list(differences), "difference in points, within seeds")
            panels[1].xaxis.set_major_formatter(POINTS)
    return figure


def draw_losses(
    classification: Mapping[str, Sequence[Sequence[float]]], pretraining: Sequence[Sequence[float]]
) -> Figure:
    """Training loss by epoch, a thin line for each run: for the classes by method, and of any pre-training."""
    with new_figure(7.2, 2.4) as figure:
        panels = figure.subplots(1, 2 if pretraining else 1, squeeze=False)[0]
        for color, (name, runs) in zip((MARK, ACCENT, REFERENCE), classification.items(), strict=False):
            for i, losses in enumerate(runs):
                epochs = range(1, len(losses) + 1)
                panels[-1].plot(epochs, losses, color=color, linewidth=0.7, label=None if i else name)
        panels[-1].set(xlabel="epoch", ylabel="cross-entropy (nats)", yscale="log", title="training for the classes")
        panels[-1].yaxis.set_minor_formatter(NullFormatter())
        panels[-1].legend()
        for losses in pretraining:
            panels[0].plot(range(1, len(losses) + 1), losses, color=ACCENT, linewidth=0.7)
        if pretraining:
            panels[0].set(xlabel="epoch", ylabel="mean squared error", ylim=(0, None), title="pre-training")
        for axes in panels:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y", linewidth=0.3, color=GRID)
    return figure


def _draw_interval(axes: Axes, row: float, interval: Interval, color: str) -> None:
    mean, low, high = interval
    if low is not None and high is not None:
        axes.plot([low, high], [row, row], color=color, linewidth=1.2)
    axes.plot(mean, row, "D", color=color, ms=3.5, mew=0)


def _label_rows(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set(xlabel=label, yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.grid(axis="x", linewidth=0.3, color=GRID)
