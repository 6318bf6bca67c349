"""Figure of the losses of one family of functions fitted to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from headwise.figures import new_figure
from headwise.shapes import Array

_START, _BEST = "#7a9cc6", "#c2571a"
_FLOOR = 1e-16  # a smaller loss is rounding


def draw_fits(names: Sequence[str], losses: Sequence[Array]) -> Figure:
    """The final loss of every random start, (targets, starts) for each name, and the best for each target function."""
    with new_figure(7.2, 0.6 + 0.42 * len(names)) as figure:
        axes = figure.subplots()
        for row, values in enumerate(losses):
            targets, starts = values.shape
            heights = row + np.linspace(-0.22, 0.22, targets)[:, None] + np.zeros(starts)
            axes.plot(np.maximum(values, _FLOOR).ravel(), heights.ravel(), "o", color=_START, ms=3.5, mew=0, alpha=0.7)
            axes.plot(np.maximum(values.min(axis=1), _FLOOR), heights[:, 0], "|", color=_BEST, ms=8, mew=1.6)
        axes.set(xscale="log", yticks=range(len(names)), yticklabels=names, xlim=(_FLOOR / 3, 3))
        axes.set_xlabel("mean squared error on new inputs, divided by the variance of the outputs")
        axes.invert_yaxis()
        axes.grid(axis="x", linewidth=0.3, color="#dddddd")
    return figure
