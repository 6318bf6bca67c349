"""Figure of attention weights as matrices with their values written in the cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from headwise.figures import new_figure
from headwise.shapes import Array

_COLORMAP = "Blues"
_MAX_LABELLED = 8  # tokens; the numbers of more would not be readable


def draw_matrices(weights: Sequence[Array], titles: Sequence[str]) -> Figure:
    """Matrices (N, N) of attention weights side by side, a row for each output, on one colour scale from 0 to 1."""
    columns = min(4, len(weights))
    rows = -(-len(weights) // columns)
    with new_figure(0.8 + 1.75 * columns, 0.25 + 1.95 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, matrix, title in zip(grid.flat, weights, titles, strict=False):
            _draw_matrix(axes, matrix)
            axes.set_title(title)
        for axes in grid.flat[len(weights) :]:
            axes.axis("off")
        for axes in grid[-1]:
            axes.set_xlabel("input")
        for axes in grid[:, 0]:
            axes.set_ylabel("output")
        bar = figure.colorbar(grid[0, 0].images[0], ax=grid, aspect=30, shrink=0.85)
        bar.set_label("attention weight")
        bar.outline.set_linewidth(0.4)
    return figure


def _draw_matrix(axes: Axes, matrix: Array) -> None:
    n = len(matrix)
    axes.imshow(matrix, cmap=_COLORMAP, norm=Normalize(0, 1), interpolation="nearest")
    if n <= _MAX_LABELLED:
        for (row, column), weight in np.ndenumerate(matrix):
            color = "white" if weight > 0.55 else "#222222"
            axes.text(column, row, f"{weight:.2f}", ha="center", va="center", fontsize=6, color=color)
        axes.set(xticks=range(n), yticks=range(n))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4)
