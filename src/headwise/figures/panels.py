"""What pictures of attention are put together from: the input with its tokens, a map painted over it, a scale's bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from headwise.figures.record import AttentionRecord
from headwise.metrics.spatial import to_pixels
from headwise.shapes import Array, IntArray
from headwise.thresholds import INK

__all__ = [
    "COLOURS",
    "COLUMN",
    "MARK",
    "NARROW",
    "PAGE",
    "add_bar",
    "draw_input",
    "draw_map",
    "frame",
    "hide_axes",
    "label_panel",
    "name_panels",
    "scale_from_zero",
]

COLOURS = "Blues"  # from white to dark blue: even in grey, and the same to colour-blind readers
MARK = "#c2571a"  # lines between tokens, and around a chosen one
COLUMN, PAGE = 3.5, 7.2  # inches: one column of a paper, and two

NARROW = 8  # heads; of more, the panels have no room for words
_OUTLINE = 40  # tokens; of more, their lines would hide the image, and are drawn thinner


def draw_input(axes: Axes, drawn: AttentionRecord) -> None:
    """The image as it is cut, with the lines between its tokens, and what the model reads."""
    height, width = drawn.size
    colours = "gray_r" if drawn.ink.any() or not drawn.image.any() else "gray"
    axes.imshow(drawn.image, cmap=colours, vmin=0, vmax=1, extent=(0, width, height, 0))
    line = 0.5 if drawn.tokens <= _OUTLINE else 0.3
    for box in drawn.boxes:
        axes.add_patch(_around(box, line))
    axes.set_title("input, cut into tokens")
    if len(drawn.probabilities):
        predicted = int(drawn.probabilities.argmax())
        read = f"read as {predicted} ({drawn.probabilities[predicted]:.1%})"
        axes.set_xlabel(read if drawn.label < 0 else f"{read}; label {drawn.label}", labelpad=6)
    hide_axes(axes, drawn)


def draw_map(axes: Axes, values: Array, drawn: AttentionRecord, scale: Normalize) -> None:
    """(N,) values painted over their tokens, and the ink's outline."""
    height, width = drawn.size
    painted = to_pixels(values, drawn.boxes, drawn.size)
    axes.imshow(painted, cmap=COLOURS, norm=scale, interpolation="nearest", extent=(0, width, height, 0))
    if drawn.ink.any() and not drawn.ink.all():
        across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
        outline = axes.contour(across, down, drawn.image, levels=[INK], colors="#333333", linewidths=0.6)
        outline.set(path_effects=[withStroke(linewidth=1.5, foreground="white", alpha=0.7)])
    hide_axes(axes, drawn)


def label_panel(axes: Axes, drawn: AttentionRecord, token: int) -> None:
    """A frame around one token, 1 to N; none for the class token."""
    if token > 0:
        axes.add_patch(_around(drawn.boxes[token - 1], 1.4))


def scale_from_zero(weights: Array) -> Normalize:
    """From none, white, to the largest weight drawn; to one if all are zero."""
    return Normalize(0, float(weights.max()) or 1)


def name_panels(figure: Figure | SubFigure, panels: npt.NDArray[Any], beside: str = "", below: str = "") -> None:
    """Layers and heads at the edges of an (L, H) grid, and what its axes are; of many heads their numbers alone.

    Parameters
    ----------
    figure : Figure or SubFigure
    panels : ndarray of Axes of shape (L, H)
    beside, below : str
        What the rows and the columns of each panel are, where there is something to say.
    """
    many = panels.shape[1] > NARROW
    for layer, axes in enumerate(panels[:, 0]):
        axes.set_ylabel(str(layer) if many else "\n".join(filter(None, [f"layer {layer}", beside])))
    for head, axes in enumerate(panels[0]):
        axes.set_title(str(head) if many else f"head {head}")
    if many:
        figure.suptitle("head", fontsize=8)
        figure.supylabel(", ".join(filter(None, ["layer", beside])), fontsize=8)
        if below:
            figure.supxlabel(below, fontsize=8)
    elif below:
        for axes in panels[-1]:
            axes.set_xlabel(below)


def hide_axes(axes: Axes, drawn: AttentionRecord) -> None:
    """No ticks, and a thin frame at the image's edge."""
    height, width = drawn.size
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    frame(axes)


def frame(axes: Axes) -> None:
    """A thin frame on all four sides."""
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4)


def add_bar(figure: Figure | SubFigure, axes: Sequence[Axes], label: str, *, image: Axes | None = None) -> None:
    """The bar of the one scale that these panels share."""
    aspect = 40 if len(axes) > 1 else 20
    bar = figure.colorbar((image or axes[0]).images[0], ax=list(axes), shrink=0.9, aspect=aspect, pad=0.02)
    bar.set_label(label)
    bar.outline.set_linewidth(0.4)


def _around(box: IntArray, line: float) -> Rectangle:
    y, x, h, w = (float(side) for side in box)
    return Rectangle((x, y), w, h, fill=False, edgecolor=MARK, linewidth=line, clip_on=False, zorder=2 + line)
