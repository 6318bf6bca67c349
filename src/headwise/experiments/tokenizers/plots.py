"""The figures of the tokenizer experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from headwise.experiments.plots import PERCENT, POINTS, draw_accuracies
from headwise.experiments.tokenizers.result import TokenizersResult
from headwise.experiments.tokenizers.training import DIRECTIONS, SHIFTS
from headwise.figures import new_figure
from headwise.figures.colors import BAND, CATEGORIES, GRID
from headwise.shapes import Array

_MARKERS = "osD^vPX*"


def figures(result: TokenizersResult) -> dict[str, Figure]:
    """Every figure by its name; that of training set sizes only if there are several."""
    names, n_test = result.names, result.n_test
    loss = np.stack([result.shift_loss(name).mean(axis=0) for name in names]) / n_test
    drawings = {
        "accuracy": draw_accuracies(
            {entry.name: entry.n_correct / n_test for entry in result.entries},
            {f"{pair.name} − {pair.base}": result.difference(pair) for pair in result.pairs},
        ),
        "shifted": draw_shifts(names, -loss, result.recipe.max_shift),
        "positions": draw_similarities(names, [entry.similarity for entry in result.entries]),
    }
    if len(result.sizes) > 1:
        drawings["sizes"] = draw_sizes(names, result.sizes, result.n_correct_by_size / n_test)
    return drawings


def draw_shifts(names: Sequence[str], changes: Array, trained: float) -> Figure:
    """The mean change in accuracy (T, directions, shifts) when all digits are shifted, a panel for each direction.

    In training the digits were shifted by up to `trained` pixels.
    """
    with new_figure(7.2, 2.6) as figure:
        panels = figure.subplots(1, len(DIRECTIONS), sharey=True)
        for axes, direction, change in zip(panels, DIRECTIONS, changes.swapaxes(0, 1), strict=True):
            axes.axvspan(0, trained, color=BAND, alpha=0.4, linewidth=0)
            for line, name, values in zip(_lines(len(names)), names, change, strict=True):
                axes.plot((0, *SHIFTS), (0, *values), label=name, clip_on=False, zorder=3, **line)
            axes.set(title=f"shifted {direction}", xlabel="pixels", xlim=(0, max(SHIFTS)))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_formatter(POINTS)
            axes.grid(axis="y", linewidth=0.3, color=GRID)
        panels[0].set_ylabel("change in points")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def draw_similarities(names: Sequence[str], similarities: Sequence[Array]) -> Figure:
    """Cosines between position embeddings, an (N, N) matrix for each tokenizer, on one scale from −1 to 1."""
    rows = -(-len(names) // 4)
    columns = -(-len(names) // rows)
    with new_figure(7.2, 0.3 + rows * (0.4 + 5.6 / columns)) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.axis("off")
        for axes, name, cosines in zip(grid.flat, names, similarities, strict=False):
            image = axes.imshow(cosines, cmap="RdBu_r", norm=Normalize(-1, 1), interpolation="nearest")
            first_and_last = [0, len(cosines) - 1]
            axes.set(title=name, xticks=first_and_last, yticks=first_and_last)
            axes.set_xticklabels([1, len(cosines)])
            axes.set_yticklabels([1, len(cosines)])
            axes.tick_params(length=0)
            axes.spines[:].set(visible=True, linewidth=0.4)
        bar = figure.colorbar(image, ax=grid, aspect=30, shrink=0.85)
        bar.set_label("cosine")
        bar.outline.set_linewidth(0.4)
    return figure


def draw_sizes(names: Sequence[str], sizes: Sequence[int], accuracy: Array) -> Figure:
    """Accuracy (T, sizes, seeds) against the number of training digits: every run, and a line through the means."""
    with new_figure(7.2, 2.8) as figure:
        axes = figure.subplots()
        for line, name, values in zip(_lines(len(names)), names, accuracy, strict=True):
            axes.plot(sizes, values.mean(axis=1), label=name, **line)
            axes.plot(sizes, values, "o", color=line["color"], ms=2.2, mew=0, alpha=0.45)
        axes.set(xscale="log", xlabel="training digits", ylabel="accuracy")
        axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
        axes.yaxis.set_major_formatter(PERCENT)
        axes.grid(axis="y", linewidth=0.3, color=GRID)
        figure.legend(loc="outside right center")
    return figure


def _lines(count: int) -> list[dict[str, Any]]:
    """A colour and a marker for each line; neither alone is needed to distinguish them."""
    pairs = [(CATEGORIES[i % len(CATEGORIES)], _MARKERS[i % len(_MARKERS)]) for i in range(count)]
    return [{"color": color, "marker": marker, "ms": 3.5, "mew": 0, "linewidth": 1} for color, marker in pairs]
