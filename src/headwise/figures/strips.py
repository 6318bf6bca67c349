"""Attention to the steps of a series: the curve, and below it a strip of colours for each head."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headwise.figures.colors import HEATMAP
from headwise.figures.panels import PAGE, add_bar, frame
from headwise.figures.record import AttentionRecord
from headwise.figures.save import new_figure
from headwise.figures.view import Head, Scale
from headwise.shapes import Array, IntArray

_STRIP = 0.2  # inches
_MAX_CURVES = 12  # with more variables, they are the rows of a heat map


def draw_strips(record: AttentionRecord, maps: Array, heads: list[Head], scale: Scale, label: str) -> Figure:
    """Draw the series and the maps (L, H, N) of these heads below it, on the same axis of steps."""
    height = 1.5 + _STRIP * len(heads) + 0.6
    with new_figure(PAGE, height) as figure:
        grid = figure.subplots(
            1 + len(heads), 1, sharex=True, height_ratios=[1.4, *[_STRIP] * len(heads)], gridspec_kw={"hspace": 0}
        )
        grid = np.atleast_1d(grid)
        edges = token_edges(record)
        draw_curves(grid[0], record)
        for axes, head in zip(grid[1:], heads, strict=True):
            extent = (edges[0], edges[-1], 0, 1)
            values = values_by_step(maps[head], record, edges)
            axes.imshow(values[None], cmap=HEATMAP, norm=scale.norm(head), aspect="auto", extent=extent,
                        interpolation="nearest")  # fmt: skip
            axes.set_yticks([0.5], [f"{head[0]}.{head[1]}"])
            axes.tick_params(length=0, labelsize=6.5, pad=2)
            role = record.role_phrase(head)
            end = "" if scale.mode == "shared" else f"  (to {float(scale.ends[head]):.2g})"
            axes.annotate((role + end).strip(), (1.005, 0.5), xycoords="axes fraction", va="center", fontsize=6.5)
            frame(axes)
        grid[-1].set_xlabel("step")
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.supylabel("layer.head", fontsize=7.5, y=0.42)
        if scale.mode == "shared":
            add_bar(figure, grid[1:].tolist(), label, image=grid[1])
        else:
            grid[-1].set_xlabel(f"step      (colour: {label})")
    return figure


def token_edges(record: AttentionRecord) -> IntArray:
    """(N + 1,): the first step of each token, and the end of the last."""
    return np.append(record.boxes[:, 0], record.boxes[-1, 1])


def draw_curves(axes: Axes, record: AttentionRecord) -> None:
    """Draw the variables of the series: as curves, or as rows of a heat map if they are many, as in a spectrogram."""
    steps, variables = record.image.shape
    edges = token_edges(record)
    if variables > _MAX_CURVES:
        extent = (0, steps, -0.5, variables - 0.5)
        axes.imshow(record.image.T, cmap="Greys", aspect="auto", extent=extent, origin="lower", interpolation="nearest")
        axes.set_ylabel("variable")
        frame(axes)
    else:
        axes.plot(np.arange(steps) + 0.5, record.image, linewidth=0.8)
        axes.set_ylabel("series")
    axes.set(xlim=(edges[0], edges[-1]))


def values_by_step(values: Array, record: AttentionRecord, edges: IntArray) -> Array:
    """(S,): the value of the token at each step; NaN between tokens."""
    steps = np.full(int(edges[-1] - edges[0]), np.nan)
    for value, (start, stop) in zip(values, record.boxes - edges[0], strict=True):
        steps[start:stop] = value
    return steps
