"""The full N × N matrices of attention weights, for every layer and head."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from headwise.figures.panels import COLOURS, COLUMN, MARK, NARROW, PAGE, add_bar, frame, name_panels, scale_from_zero
from headwise.figures.record import AttentionRecord
from headwise.figures.save import fix_layout, style

__all__ = ["draw_heads"]


def draw_heads(drawn: AttentionRecord) -> Figure:
    """A matrix for each layer and head, rows who attends and columns to whom, on one scale with a bar.

    Parameters
    ----------
    drawn : Drawn

    Returns
    -------
    Figure
        From one column of a paper wide (3.5 inches) to two (7.2), by the number of heads.
    """
    layers, heads = drawn.weights.shape[:2]
    width = max(COLUMN, min(PAGE, 1.2 + 1.5 * heads))
    panel = min(1.5, (width - 1.2) / heads)
    with style():
        figure = Figure(figsize=(width, max(2.0, 0.55 + layers * (panel + 0.08))), layout="constrained")
        grid = figure.subplots(layers, heads, squeeze=False)
        scale = scale_from_zero(drawn.weights)
        for layer in range(layers):
            for head in range(heads):
                _draw_matrix(grid[layer, head], drawn, layer, head, scale)
        name_panels(figure, grid, beside="from token", below="to token")
        few = heads <= NARROW  # of many, one panel's ticks must do for all
        for axes in grid[-1, : None if few else 1]:
            axes.tick_params(labelbottom=True)
        for axes in grid[None if few else -1 :, 0]:
            axes.tick_params(labelleft=True)
        if not few:
            figure.align_ylabels(grid[:, 0])
        add_bar(figure, grid.ravel().tolist(), "attention weight")
        fix_layout(figure)
    return figure


def _draw_matrix(axes: Axes, drawn: AttentionRecord, layer: int, head: int, scale: Normalize) -> None:
    first = int(not drawn.classed)  # tokens of the image count from 1
    last = drawn.tokens + 0.5
    extent = (first - 0.5, last, last, first - 0.5)
    axes.imshow(drawn.weights[layer, head], cmap=COLOURS, norm=scale, interpolation="nearest", extent=extent)
    if drawn.classed:  # lines between the class token and the image's
        axes.axhline(0.5, color=MARK, linewidth=0.5)
        axes.axvline(0.5, color=MARK, linewidth=0.5)
    ticks = [first, drawn.tokens]
    axes.set(xticks=ticks, yticks=ticks)
    axes.tick_params(length=0, pad=1.5, labelsize=6, labelbottom=False, labelleft=False)
    frame(axes)
