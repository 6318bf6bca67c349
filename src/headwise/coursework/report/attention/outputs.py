"""Weights and outputs for each number of heads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.coursework.matrices_figure import draw_matrices
from headwise.coursework.report.context import ReportContext
from headwise.coursework.results import Coursework, HeadRun
from headwise.document import Block, Section, Table
from headwise.text import Statement


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
