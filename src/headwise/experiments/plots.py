"""Two pictures of a comparison of classifiers: accuracy by method, and the course of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from headwise.figures import fix_layout, style
from headwise.shapes import Array

__all__ = ["draw_accuracies", "draw_losses"]

_COLOURS = ("#c2571a", "#3a6ea5", "#555555")


def draw_accuracies(
    accuracies: Mapping[str, Array], intervals: Mapping[str, tuple[float | None, float | None]], ours: Sequence[str]
) -> Figure:
    """A row a method: every run as a ring, the mean as a bar, and its interval as a line where there is one.

    Parameters
    ----------
    accuracies : mapping
        The runs' accuracies (S,) by the method's name.
    intervals : mapping
        The ends of each mean's interval.
    ours : sequence of str
        Methods drawn in another colour.
    """
    with style():
        figure = Figure(figsize=(7.2, 0.6 + 0.36 * len(accuracies)), layout="constrained")
        axes = figure.subplots()
        for row, (name, values) in enumerate(accuracies.items()):
            colour, (low, high) = _COLOURS[0] if name in ours else _COLOURS[2], intervals[name]
            if low is not None and high is not None:
                axes.plot([low, min(1, high)], [row, row], color=colour, linewidth=1.2, solid_capstyle="butt")
            axes.plot(values.mean(), row, color=colour, marker="|", ms=11, mew=2)
            spread = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(values, row + spread, color=colour, marker="o", ms=3, mfc="white", mew=0.7, linestyle="")
        axes.set(xlabel="accuracy", yticks=range(len(accuracies)), yticklabels=list(accuracies))
        axes.set_ylim(len(accuracies) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.grid(axis="x", linewidth=0.3, color="#dddddd")
        fix_layout(figure)
    return figure


def draw_losses(classes: Mapping[str, Sequence[Sequence[float]]], imputing: Sequence[Sequence[float]]) -> Figure:
    """Training loss epoch by epoch, a thin line a run: for the classes by method, and before that of pre-training."""
    with style():
        figure = Figure(figsize=(7.2, 2.4), layout="constrained")
        panels = figure.subplots(1, 2 if imputing else 1, squeeze=False)[0]
        for colour, (name, runs) in zip(_COLOURS, classes.items(), strict=False):
            for i, run in enumerate(runs):
                panels[-1].plot(range(1, len(run) + 1), run, color=colour, linewidth=0.7, label=None if i else name)
        panels[-1].set(xlabel="epoch", ylabel="cross-entropy (nats)", yscale="log", title="training for the classes")
        panels[-1].yaxis.set_minor_formatter(NullFormatter())
        panels[-1].legend()
        for run in imputing:
            panels[0].plot(range(1, len(run) + 1), run, color=_COLOURS[1], linewidth=0.7)
        if imputing:
            panels[0].set(xlabel="epoch", ylabel="mean squared error", ylim=(0, None), title="pre-training")
        for axes in panels:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y", linewidth=0.3, color="#dddddd")
        fix_layout(figure)
    return figure
