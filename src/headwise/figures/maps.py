"""The picture of what the class token attends to, or any one token, in every layer and head."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headwise.figures.panels import (
    COLUMN,
    NARROW,
    PAGE,
    add_bar,
    draw_input,
    draw_map,
    label_panel,
    name_panels,
    scale_from_zero,
)
from headwise.figures.record import AttentionRecord
from headwise.figures.save import fix_layout, style
from headwise.metrics.concentration import self_weight
from headwise.shapes import Array
from headwise.thresholds import INK

__all__ = ["INK", "AttentionRecord", "draw_maps", "draw_token"]


def draw_maps(drawn: AttentionRecord) -> Figure:
    """The input with its tokens, and the class token's map for each layer and head, on one scale with a bar.

    Parameters
    ----------
    drawn : Drawn
        Without a class token the maps are what the tokens receive, the mean over all rows.

    Returns
    -------
    Figure
        From one column of a paper wide (3.5 inches) to two (7.2), by the number of heads.
    """
    if drawn.classed:
        return draw_token(drawn, 0)
    return _draw(drawn, drawn.maps, None, "mean attention weight received", None)


def draw_token(drawn: AttentionRecord, token: int) -> Figure:
    """The same for one token's row of every layer and head; the token itself is framed.

    Parameters
    ----------
    drawn : Drawn
    token : int
        From 1 to N in reading order, or 0 for the class token.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If there is no such token.
    """
    maps = drawn.row(token)
    beside = self_weight(drawn.weights)[:, :, 0] if token == 0 else drawn.weights[:, :, drawn.index(token), 0]
    whose = "the class token" if token == 0 else f"token {token}"
    return _draw(drawn, maps, beside if drawn.classed else None, f"attention weight of {whose}", token)


def _draw(drawn: AttentionRecord, maps: Array, on_class: Array | None, label: str, token: int | None) -> Figure:
    layers, heads, _ = maps.shape
    panel = min(1.05, 4.4 / heads)
    width = max(COLUMN, min(PAGE, 2.8 + heads * 1.1))
    tall = panel * min(1.5, drawn.size[0] / drawn.size[1])
    with style():
        figure = Figure(figsize=(width, max(2.2, 0.3 + layers * (tall + 0.1))), layout="constrained")
        sides = figure.subfigures(1, 2, width_ratios=(min(2.1, 0.4 * width), 0.55 + heads * panel), squeeze=False)
        left = sides[0, 0].subplots()
        draw_input(left, drawn)
        label_panel(left, drawn, token or 0)
        axes = sides[0, 1].subplots(layers, heads, squeeze=False)
        scale = scale_from_zero(maps)
        for layer in range(layers):
            for head in range(heads):
                draw_map(axes[layer, head], maps[layer, head], drawn, scale)
                label_panel(axes[layer, head], drawn, token or 0)
                if on_class is not None:
                    _write_below(axes[layer, head], on_class[layer, head], heads, panel)
        name_panels(sides[0, 1], axes, below="" if on_class is None or heads <= NARROW else "below each panel: cls")
        add_bar(sides[0, 1], axes.ravel().tolist(), label)
        fix_layout(figure)
    return figure


def _write_below(axes: Axes, weight: float, heads: int, panel: float) -> None:
    """The weight on the class token, in letters that the panel's width, in inches, has room for."""
    said = f"cls {weight:.2f}" if heads <= NARROW else f"{weight:.2f}"
    axes.set_xlabel(said, fontsize=min(6.5, 22 * panel), labelpad=1.5)
