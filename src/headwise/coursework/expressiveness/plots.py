"""Losses of one family of functions fitted to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from headwise.figures import fix_layout, style
from headwise.shapes import Array

__all__ = ["draw_losses"]

_START, _BEST = "#7a9cc6", "#c2571a"
_FLOOR = 1e-16  # below this a loss is rounding


def draw_losses(names: Sequence[str], losses: Sequence[Array]) -> Figure:
    """The loss that every random start ended with, and the best for each function that was fitted.

    Parameters
    ----------
    names : sequence of str
        What was fitted to what.
    losses : sequence of ndarray of shape (targets, starts)
        Relative losses.

    Returns
    -------
    Figure
    """
    with style():
        figure = Figure(figsize=(7.2, 0.6 + 0.42 * len(names)), layout="constrained")
        axes = figure.subplots()
        for row, found in enumerate(losses):
            targets, starts = found.shape
            heights = row + np.linspace(-0.22, 0.22, targets)[:, None] + np.zeros(starts)
            axes.plot(np.maximum(found, _FLOOR).ravel(), heights.ravel(), "o", color=_START, ms=3.5, mew=0, alpha=0.7)
            axes.plot(np.maximum(found.min(axis=1), _FLOOR), heights[:, 0], "|", color=_BEST, ms=8, mew=1.6)
        axes.set(xscale="log", yticks=range(len(names)), yticklabels=names, xlim=(_FLOOR / 3, 3))
        axes.set_xlabel("mean squared error on fresh inputs, over the outputs' variance")
        axes.invert_yaxis()
        axes.grid(axis="x", linewidth=0.3, color="#dddddd")
        fix_layout(figure)
    return figure
