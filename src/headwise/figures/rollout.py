"""Attention rollout: what reaches the class token through all layers up to each."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from headwise.figures.panels import PAGE, add_bar, draw_input, draw_map, scale_from_zero
from headwise.figures.record import AttentionRecord
from headwise.figures.save import fix_layout, style
from headwise.metrics.rollout import rollout
from headwise.shapes import Array

__all__ = ["draw_rollout", "last_rollout_map", "rollout_map"]

_ACROSS = 6  # panels beside the input, and then another row


def rollout_map(drawn: AttentionRecord) -> Array:
    """(L, T): the rollout through the first layer, the first two … all, read for the class token.

    Without a class token, the mean over all rows.
    """
    weights = drawn.weights.astype(np.float64)
    through = np.stack([rollout(weights[: last + 1]) for last in range(len(weights))])  # (L, T, T)
    return through[:, 0] if drawn.classed else through.mean(axis=1)


def last_rollout_map(drawn: AttentionRecord) -> Array:
    """(N,): the rollout through all layers, without what the class token keeps of itself."""
    return rollout_map(drawn)[-1, int(drawn.classed) :]


def draw_rollout(drawn: AttentionRecord) -> Figure:
    """The input with its tokens, and the rollout up to each layer, on one scale with a bar.

    Parameters
    ----------
    drawn : Drawn

    Returns
    -------
    Figure
        At most as wide as two columns of a paper (7.2 inches).
    """
    through = rollout_map(drawn)
    maps = through[:, int(drawn.classed) :]
    across = min(_ACROSS, len(maps))
    rows = -(-len(maps) // across)
    panel = min(1.3, 5.2 / (across + 0.8))
    with style():
        size = (
            min(PAGE, 2.6 + across * (panel + 0.1)),
            max(1.9, rows * (panel * min(1.5, drawn.size[0] / drawn.size[1]) + 0.4)),
        )
        figure = Figure(figsize=size, layout="constrained")
        sides = figure.subfigures(1, 2, width_ratios=(1.6, 0.7 + across * panel), squeeze=False)
        draw_input(sides[0, 0].subplots(), drawn)
        grid = sides[0, 1].subplots(rows, across, squeeze=False).ravel().tolist()
        scale = scale_from_zero(maps)
        for layer, axes in enumerate(grid[: len(maps)]):
            draw_map(axes, maps[layer], drawn, scale)
            axes.set_title("layer 0" if layer == 0 else f"layers 0–{layer}")
            if drawn.classed:
                axes.set_xlabel(f"cls {through[layer, 0]:.2f}", fontsize=6.5, labelpad=1.5)
        for axes in grid[len(maps) :]:
            axes.axis("off")
        add_bar(sides[0, 1], grid, "rollout weight")
        fix_layout(figure)
    return figure
