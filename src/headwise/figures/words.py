"""A text whose words are shaded by attention weights, once for each head."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from headwise.figures.colors import HEATMAP, MARK
from headwise.figures.panels import LUMINANCE, PAGE
from headwise.figures.record import AttentionRecord
from headwise.figures.save import FONTS, new_figure, placeholders
from headwise.figures.view import Head, Scale, head_title
from headwise.shapes import Array

_SIZE = 7.5  # points
LINE = 12.5  # points from line to line
_MAX_TOKENS = 160  # of a panel; of a longer text, the part with the most weight is shown
_DARK = 0.575  # on words of less luminance than this the letters are white


class PlacedWord(NamedTuple):
    """A token with its text, its line, and its left end and width in points."""

    token: int
    text: str
    x: float
    line: int
    width: float


def shown_window(record: AttentionRecord, maps: Array) -> tuple[int, int]:
    """The tokens that are shown: all, or the run of them that receives the most weight in all heads."""
    n = record.num_tokens
    if n <= _MAX_TOKENS:
        return 0, n
    received = np.concatenate([[0], np.cumsum(maps.sum(axis=(0, 1)))])
    start = int((received[_MAX_TOKENS:] - received[:-_MAX_TOKENS]).argmax())
    return start, start + _MAX_TOKENS


def draw_words(
    record: AttentionRecord, maps: Array, heads: list[Head], scale: Scale, label: str, token: int = 0
) -> Figure:
    """Draw the words of a text, shaded by the maps (L, H, N) of these heads; one token, 1 to N, may be framed."""
    columns = 2 if len(heads) > 1 else 1
    rows = -(-len(heads) // columns)
    width = (PAGE - 0.9) / columns - 0.15
    start, stop = shown_window(record, maps)
    placed = lay_out(record, start, stop, 72 * width)
    lines = 1 + placed[-1].line
    panel = (lines * LINE + 8) / 72
    with new_figure(PAGE, min(9.0, rows * (panel + 0.42) + 0.25)) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for axes, head in zip(grid, heads, strict=False):
            draw_panel(axes, placed, maps[head], scale.norm(head), token - 1, 72 * width, lines)
            title = head_title(record, head).replace("\n", " · ")
            end = "" if scale.mode == "shared" else f"  (to {float(scale.ends[head]):.2g})"
            axes.set_title(title + end, loc="left", fontsize=7.5, pad=3)
        for axes in grid[len(heads) :]:
            axes.axis("off")
        shared = scale.mode == "shared"
        norm = scale.norm(heads[0]) if shared else Normalize(0, 1)
        bar = figure.colorbar(ScalarMappable(norm, HEATMAP), ax=grid, shrink=0.8, aspect=25, pad=0.02)
        bar.set_label(label)
        if not shared:
            bar.set_ticks([0, 1], labels=["0", "end of\nscale"])
        bar.outline.set_linewidth(0.4)
    return figure


def draw_panel(
    axes: Axes,
    placed: list[PlacedWord],
    values: Array,
    norm: Normalize,
    framed: int,
    width: float,
    lines: int,
    colors: str = HEATMAP,
) -> None:
    """Draw these words of a text, each shaded by its value of (N,)."""
    cmap = colormaps[colors]
    for word in placed:
        shade = cmap(float(norm(values[word.token])))
        top = word.line * LINE
        edge = MARK if word.token == framed else "none"
        axes.add_patch(Rectangle((word.x, top), word.width, LINE - 1.5, facecolor=shade, edgecolor=edge, lw=1.2))
        color = "white" if np.dot(shade[:3], LUMINANCE) < _DARK else "#111111"
        axes.text(word.x + word.width / 2, top + (LINE - 1.5) / 2, word.text, fontsize=_SIZE, color=color,
                  ha="center", va="center_baseline")  # fmt: skip
    axes.set(xlim=(0, width), ylim=(lines * LINE, -1), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def lay_out(record: AttentionRecord, start: int, stop: int, width: float) -> list[PlacedWord]:
    """Places of the tokens in lines of this width in points; pieces of one word touch."""
    placed: list[PlacedWord] = []
    x, line = 0.0, 0
    for token in range(start, stop):
        text, begins, breaks = _written(record, token)
        size = word_width(text, _SIZE) + 3
        gap = 2.5 if begins and x > 0 else 0.0
        if x + gap + size > width or (breaks and x > 0):
            x, gap, line = 0.0, 0.0, line + 1
        placed.append(PlacedWord(token, text, x + gap, line, size))
        x += gap + size
    return placed


def _written(record: AttentionRecord, token: int) -> tuple[str, bool, bool]:
    """A token as the text has it, whether a gap precedes it, and whether a line break does."""
    begin, end = record.boxes[token].tolist()
    text = record.text[begin:end]
    if not text.strip():
        text = record.word(int(record.content[token]))
    previous = int(record.boxes[token - 1, 1]) if token else 0
    between = record.text[previous:begin] + text[: len(text) - len(text.lstrip())]
    gap = token == 0 or bool(between) or not record.text
    return text.strip().replace("\n", "⏎") or "␣", gap, "\n" in between


@lru_cache(maxsize=4096)
def word_width(text: str, size: float) -> float:
    """Width in points of a text in the figures' font."""
    font = FontProperties(family=FONTS)
    with placeholders():
        path = TextPath((0, 0), text.replace("$", r"\$"), size=size, prop=font)
    return float(path.get_extents().width) + 0.12 * size if len(path.vertices) else 0.5 * size
