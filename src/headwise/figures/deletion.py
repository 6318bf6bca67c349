"""Deletion and insertion curves of one image: the picture's own ranking beside chance and the ink."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headwise.errors import DataError
from headwise.figures.panels import MARK, PAGE
from headwise.figures.record import AttentionRecord
from headwise.figures.save import fix_layout, style
from headwise.metrics.faithfulness import CONFIDENCE_BAND
from headwise.shapes import Array

__all__ = ["draw_deletion", "probabilities"]


def probabilities(drawn: AttentionRecord) -> Array:
    """(2, 5, N + 1): the curves that were measured for the last layer's maps.

    Raises
    ------
    DataError
        If none were.
    """
    if not drawn.was_tested(drawn.last) or not drawn.curves.size:
        raise DataError(
            "curves: expected those of a test; none came with these arrays. That takes the model, which `headwise "
            "explain` has and arrays alone do not."
        )
    return drawn.curves


def draw_deletion(drawn: AttentionRecord) -> Figure:
    """Left, the probability while tokens are taken away in the map's order; right, while they are put in.

    Parameters
    ----------
    drawn : Drawn

    Returns
    -------
    Figure
        As wide as two columns of a paper (7.2 inches).

    Raises
    ------
    DataError
        If no curves were measured.
    """
    curves = probabilities(drawn)
    with style():
        figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for panel, measured, way in zip(axes, curves, ("taken away", "put in"), strict=True):
            _draw_curves(panel, measured)
            panel.set_xlabel(f"tokens {way}")
        axes[0].set_ylabel("probability of the class read")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
        fix_layout(figure)
    return figure


def _draw_curves(axes: Axes, curves: Array) -> None:
    own, ink, chance, low, high = curves
    steps = np.arange(len(own))
    axes.fill_between(steps, low, high, color="#d5d9de", linewidth=0, label=f"random, middle {CONFIDENCE_BAND:.0%}")
    axes.plot(steps, chance, color="#7a828c", linewidth=1, linestyle=(0, (1, 1)), label="random, mean")
    axes.plot(steps, ink, color=MARK, linewidth=1.2, linestyle=(0, (4, 2)), label="by ink")
    axes.plot(steps, own, color="#1f4e8c", linewidth=1.6, label="by the map")
    axes.set(xlim=(0, len(own) - 1), ylim=(0, 1.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
