"""The parts of attention figures: the input with its tokens, a map over the image, labels and colour bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from headwise.figures.colors import HEATMAP, MARK, OUTLINE
from headwise.figures.record import AttentionRecord
from headwise.metrics.spatial import to_pixels
from headwise.shapes import Array, IntArray
from headwise.text import format_number
from headwise.thresholds import INK

COLUMN, PAGE = 3.5, 7.2  # inches: one column of a paper, and two
NARROW = 8  # with more heads than this, panels are too small for words
_MAX_LINES = 100  # with more tokens than this, their boundaries are not drawn over the image
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
_SHADE = 0.55  # opacity of black where a photograph is black
_MAX_THICK_LINES = 40  # with more tokens than this, thick boundaries would hide the image


def draw_input(axes: Axes, record: AttentionRecord) -> None:
    """Draw the image as the model sees it, with its token boundaries and the predicted class."""
    height, width = record.size
    cmap = "gray_r" if record.ink.any() or not record.image.any() else "gray"
    axes.imshow(record.image, cmap=cmap, vmin=0, vmax=1, extent=(0, width, height, 0))
    line = 0.5 if record.num_tokens <= _MAX_THICK_LINES else 0.3
    for box in record.boxes if record.num_tokens <= _MAX_LINES else ():
        axes.add_patch(_rectangle(box, line))
    description = ", divided into tokens" if record.num_tokens <= _MAX_LINES else f", {record.num_tokens} tokens"
    axes.set_title("input" + description)
    if len(record.probabilities):
        predicted = int(record.probabilities.argmax())
        name = record.top_names[0] if record.top_names else predicted
        text = f"predicted: {name} ({format_number(float(record.probabilities[predicted]), '.1%')})"
        axes.set_xlabel(text if record.label < 0 else f"{text}; label: {record.label}", labelpad=6)
    hide_axes(axes, record)


def draw_map(axes: Axes, values: Array, record: AttentionRecord, scale: Normalize, colors: str = HEATMAP) -> None:
    """Draw (N,) values over the pixels of their tokens, with the outline of the ink."""
    height, width = record.size
    pixels = to_pixels(values, record.boxes, record.size)
    axes.imshow(pixels, cmap=colors, norm=scale, interpolation="nearest", extent=(0, width, height, 0))
    if record.image.any() and not record.ink.any():
        axes.imshow(_shade(record.image), interpolation="bilinear", extent=(0, width, height, 0), zorder=1)
    if record.ink.any() and not record.ink.all():
        across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
        outline = axes.contour(across, down, record.image, levels=[INK], colors=OUTLINE, linewidths=0.6)
        outline.set(path_effects=[withStroke(linewidth=1.5, foreground="white", alpha=0.7)])
    hide_axes(axes, record)


def _shade(image: Array) -> Array:
    """(Y, X, 4): black, the more opaque the darker the photograph, so that it shows through the colours of a map."""
    grey = image @ np.array(LUMINANCE, image.dtype) if image.ndim == 3 else image
    shade = np.zeros((*grey.shape, 4), np.float32)
    shade[..., 3] = _SHADE * (1 - grey)
    return shade


def label_panel(axes: Axes, record: AttentionRecord, token: int) -> None:
    """Frame one token, 1 to N; the class token has no box."""
    if token > 0:
        axes.add_patch(_rectangle(record.boxes[token - 1], 1.4))


def scale_from_zero(weights: Array) -> Normalize:
    """A scale from zero to the largest weight, or to one if all weights are zero."""
    return Normalize(0, float(weights.max()) or 1)


def name_panels(
    figure: Figure | SubFigure, panels: npt.NDArray[Any], row_label: str = "", column_label: str = ""
) -> None:
    """Label the layers and heads of an (L, H) grid of panels, and the panels' axes; many heads get only numbers."""
    numbers_only = panels.shape[1] > NARROW
    for layer, axes in enumerate(panels[:, 0]):
        axes.set_ylabel(str(layer) if numbers_only else "\n".join(filter(None, [f"layer {layer}", row_label])))
    for head, axes in enumerate(panels[0]):
        axes.set_title(str(head) if numbers_only else f"head {head}")
    if numbers_only:
        figure.suptitle("head", fontsize=8)
        figure.supylabel(", ".join(filter(None, ["layer", row_label])), fontsize=8)
        if column_label:
            figure.supxlabel(column_label, fontsize=8)
    elif column_label:
        for axes in panels[-1]:
            axes.set_xlabel(column_label)


def hide_axes(axes: Axes, record: AttentionRecord) -> None:
    """Remove the ticks, and draw a thin frame at the edge of the image."""
    height, width = record.size
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    frame(axes)


def frame(axes: Axes) -> None:
    """Draw a thin frame on all four sides."""
    axes.spines[:].set(visible=True, linewidth=0.4)


def add_bar(
    figure: Figure | SubFigure, axes: Sequence[Axes], label: str, *, image: Axes | None = None, below: bool = False
) -> None:
    """Add a colour bar for the scale that these panels share, on their right or below them."""
    aspect = 40 if len(axes) > 1 else 20
    where = "bottom" if below else "right"
    bar = figure.colorbar(
        (image or axes[0]).images[0], ax=list(axes), location=where, shrink=0.9, aspect=aspect, pad=0.02
    )
    bar.set_label(label)
    bar.outline.set_linewidth(0.4)


def add_panel_bar(axes: Axes, end: float, *, visible: bool = True) -> None:
    """A colour bar below one panel, from 0 to the end of its scale; if it is not visible, the room for one."""
    bar = axes.figure.colorbar(
        ScalarMappable(Normalize(0, end), HEATMAP), ax=axes, location="bottom", fraction=0.06, pad=0.03, aspect=22
    )
    bar.set_ticks([0, end], labels=["0", f"{end:.2g}"])
    bar.ax.tick_params(length=0, pad=1, labelsize=6)
    bar.outline.set_linewidth(0.4)
    first, last = bar.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    if not visible:
        bar.ax.axis("off")
        for part in bar.ax.get_children():
            part.set_visible(False)


def _rectangle(box: IntArray, line: float) -> Rectangle:
    y, x, h, w = (float(side) for side in box)
    return Rectangle((x, y), w, h, fill=False, edgecolor=MARK, linewidth=line, clip_on=False, zorder=2 + line)
