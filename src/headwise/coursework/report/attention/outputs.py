"""Weights and outputs for each number of heads, and a figure of the weights with their values in the cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from headwise.coursework.report.context import ReportContext
from headwise.coursework.results import Coursework, HeadRun
from headwise.document import Block, Section, Table
from headwise.figures import new_figure
from headwise.shapes import Array
from headwise.text import Statement

_COLORMAP = "Blues"
_MAX_LABELLED = 8  # tokens; the numbers of more would not be readable


def outputs_section(study: Coursework, context: ReportContext) -> Section:
    """Every matrix of weights, as a figure and in numbers, and every output."""
    blocks = [block for run in study.runs for block in _run(run, study, context)]
    return Section("runs", "Attention weights and outputs", tuple(blocks), number="1.3")


def _run(run: HeadRun, study: Coursework, context: ReportContext) -> Iterator[Block]:
    n, heads = study.tokens, run.heads
    yield context.figure(
        draw_matrices(list(run.result.weights), [f"head {h}" for h in range(heads)]),
        f"attention-{heads}-{'head' if heads == 1 else 'heads'}",
        Statement("Attention weights with H = {heads}", {"heads": heads}),
        shown=(
            Statement(
                "Row n of a matrix contains the weights of output n over the {n} inputs; every row sums to one. One "
                "colour scale holds for all.",
                {"n": n},
            ),
        ),
        findings=(describe_largest_weight(run, study.rounding),),
        basis=Statement("One run on the arrays above; nothing in it is random."),
        arrays={"weights": run.result.weights, "output": run.result.output},
    )
    for h, matrix in enumerate(run.result.weights):
        yield Table.of_matrix(
            Statement("Attention weights, H = {heads}, head {h}.", {"heads": heads, "h": h}),
            f"weights-{heads}-head-{h}",
            matrix,
            [f"output {i}" for i in range(n)],
            [f"input {i}" for i in range(n)],
        )
    yield Table.of_matrix(
        Statement("Output, H = {heads}.", {"heads": heads}),
        f"output-{heads}",
        run.result.output,
        [f"output {i}" for i in range(n)],
        [str(i) for i in range(run.result.output.shape[1])],
    )


def describe_largest_weight(run: HeadRun, rounding: float) -> Statement:
    """The largest attention weight, and where it is."""
    weights = run.result.weights
    h, row, column = (int(i) for i in np.unravel_index(int(weights.argmax()), weights.shape))
    values = {"weight": float(weights[h, row, column]), "h": h, "n": row, "m": column}
    ties = int((weights >= weights.max() - rounding).sum())
    if ties == weights.size:
        return Statement("All weights are {weight:.3f}: no input is preferred.", values)
    if ties > 1:
        return Statement("The largest weight is {weight:.3f}, for {count} pairs.", values | {"count": ties})
    return Statement("The largest weight is {weight:.3f}: in head {h}, of output {n} for input {m}.", values)


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
    axes.spines[:].set(visible=True, linewidth=0.4)
