"""All heads of a large model in one picture: small tiles, a row for each layer and a column for each head."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from headwise.figures.colors import HEATMAP
from headwise.figures.panels import PAGE, draw_input
from headwise.figures.record import AttentionRecord
from headwise.figures.save import new_figure
from headwise.figures.view import Scale
from headwise.metrics.spatial import to_pixels
from headwise.shapes import Array

_GRID_WIDTH = 6.1  # inches
_MAX_HEIGHT = 8.2
_INPUT_WIDTH = 1.7  # inches: width of an input next to a mosaic
_NARROW = 0.55  # width by height of a mosaic that has room for an input
_BAR = 2.15  # inches: labels and the colour bar
_DPI = 200  # at which figures are saved
_GAP = 0.08  # of a tile
_FEW_LABELS = 16  # with more layers or heads, every fourth is numbered


def pooling_factor(keys: int, heads: int, layers: int) -> int:
    """How many cells of a matrix share one pixel, so that a picture of all heads fits a page."""
    tile = min(_GRID_WIDTH / heads, _MAX_HEIGHT / layers) / (1 + _GAP)
    return max(1, int(np.ceil(keys / max(1, tile * _DPI))))


def pool(matrices: Array, factor: int) -> Array:
    """(..., N, M): the largest of each factor × factor cells, so that no weight disappears.

    Examples
    --------
    >>> pool(np.arange(9.0).reshape(3, 3), 2)
    array([[4., 5.],
           [7., 8.]])
    """
    if factor == 1:
        return matrices
    n, m = matrices.shape[-2:]
    rows, columns = np.arange(0, n, factor), np.arange(0, m, factor)
    return np.asarray(np.maximum.reduceat(np.maximum.reduceat(matrices, rows, axis=-2), columns, axis=-1))


def draw_map_mosaic(record: AttentionRecord, maps: Array, scale: Scale, label: str) -> Figure:
    """Draw maps (L, H, N) of all heads at the resolution of the tokens, and the input above or next to them."""
    sides = record.boxes[:, 2:].min(axis=0)
    height, width = (-(-size // side) for size, side in zip(record.size, sides.tolist(), strict=True))
    tiles = np.zeros((*maps.shape[:2], height, width), maps.dtype)
    pixels = to_pixels(maps, record.boxes, record.size)
    tiles[:] = pixels[..., :: sides[0], :: sides[1]][..., :height, :width]
    return _draw(record, tiles, scale, label, with_input=True)


def draw_matrix_mosaic(record: AttentionRecord, scale: Scale) -> Figure:
    """Draw the matrices of all heads; cells that share a pixel are represented by the largest."""
    layers, heads, _, keys = record.weights.shape
    tiles = pool(record.weights, pooling_factor(keys, heads, layers))
    return _draw(record, tiles, scale, "attention weight", with_input=False)


def _draw(record: AttentionRecord, tiles: Array, scale: Scale, label: str, *, with_input: bool) -> Figure:
    layers, heads, height, width = tiles.shape
    ratio = heads * width / (layers * height)
    at_left = with_input and ratio <= _NARROW
    above = 1.3 if with_input and not at_left else 0.0
    tall = min((PAGE - _INPUT_WIDTH - _BAR if at_left else _GRID_WIDTH) / ratio, _MAX_HEIGHT - above)
    wide = min(PAGE, max(3.0, tall * ratio) + _BAR + _INPUT_WIDTH * at_left)
    with new_figure(wide, tall + 0.75 + above) as figure:
        lower: Figure | SubFigure = figure
        if with_input:
            parts = (
                figure.subfigures(1, 2, width_ratios=(_INPUT_WIDTH, wide - _INPUT_WIDTH), squeeze=False)
                if at_left
                else figure.subfigures(2, 1, height_ratios=(above, tall + 0.75), squeeze=False)
            )
            input_part, lower = parts.ravel()
            draw_input(input_part.subplots(), record)
        axes = lower.subplots()
        _draw_tiles(axes, tiles, scale)
        shared = scale.mode == "shared"
        norm = scale.norm((0, 0)) if shared else Normalize(0, 1)
        bar = lower.colorbar(ScalarMappable(norm, HEATMAP), ax=axes, shrink=0.6, aspect=30, pad=0.02)
        bar.set_label(label, labelpad=4 if shared else -18)
        bar.outline.set_linewidth(0.4)
        if not shared:
            bar.set_ticks([0, 1], labels=["0", f"end of the\n{scale.mode}’s scale"])
    return figure


def _draw_tiles(axes: Axes, tiles: Array, scale: Scale) -> None:
    layers, heads, height, width = tiles.shape
    gap = max(1, round(_GAP * max(height, width)))
    down, across = height + gap, width + gap
    canvas = np.ones((layers * down - gap, heads * across - gap, 4))
    cmap = colormaps[HEATMAP]
    for layer, head in np.ndindex(layers, heads):
        top, left = layer * down, head * across
        norm = scale.norm((layer, head))
        canvas[top : top + height, left : left + width] = cmap(norm(tiles[layer, head]))
    axes.set_facecolor("#c8ccd2")
    mask = np.ones(canvas.shape[:2], bool)
    for layer in range(layers):
        mask[layer * down + height : (layer + 1) * down] = False
    for head in range(heads):
        mask[:, head * across + width : (head + 1) * across] = False
    canvas[~mask] = (0.78, 0.8, 0.82, 1)
    axes.imshow(canvas, interpolation="nearest" if min(height, width) < 40 else "antialiased", aspect="equal")
    step = 1 if max(layers, heads) <= _FEW_LABELS else 4
    numbers = range(0, heads, step)
    axes.set_xticks([head * across + (width - 1) / 2 for head in numbers], [str(head) for head in numbers])
    ends = [
        f"{layer}" if scale.mode != "layer" else f"{layer}  (to {float(scale.ends[layer, 0]):.2g})"
        for layer in range(0, layers, step)
    ]
    axes.set_yticks([layer * down + (height - 1) / 2 for layer in range(0, layers, step)], ends)
    axes.tick_params(length=0, labelsize=6.5, pad=2)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="head", ylabel="layer")
    axes.spines[:].set_visible(False)
