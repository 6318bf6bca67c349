"""Weights and outputs for each number of heads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.coursework.matrices_figure import draw_matrices
from headwise.coursework.report.context import ReportContext
from headwise.coursework.results import Coursework, HeadRun
from headwise.document import Block, Section, Table
from headwise.text import Statement

__all__ = ["outputs_section"]


def outputs_section(study: Coursework, desk: ReportContext) -> Section:
    """Every matrix of weights, as a picture and in numbers, and every output."""
    blocks = [block for run in study.runs for block in _run(run, study, desk)]
    return Section("runs", "Attention weights and outputs", tuple(blocks), number="1.3")


def _run(run: HeadRun, study: Coursework, desk: ReportContext) -> Iterator[Block]:
    n, heads = study.tokens, run.heads
    yield desk.figure(
        draw_matrices(list(run.given.weights), [f"head {h}" for h in range(heads)]),
        f"attention-{heads}-{'head' if heads == 1 else 'heads'}",
        Statement("Attention weights with H = {heads}", {"heads": heads}),
        shown=(
            Statement(
                "Row n of a matrix is how output n shares its attention out to the {n} inputs; every row sums to one. "
                "One colour scale holds for all.",
                {"n": n},
            ),
        ),
        says=(_heaviest(run, study.rounding),),
        behind=Statement("One run on the arrays above; nothing is left to chance in it."),
        arrays={"weights": run.given.weights, "output": run.given.output},
    )
    for h, matrix in enumerate(run.given.weights):
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
        run.given.output,
        [f"output {i}" for i in range(n)],
        [str(i) for i in range(run.given.output.shape[1])],
    )


def _heaviest(run: HeadRun, rounding: float) -> Statement:
    weights = run.given.weights
    h, row, column = (int(i) for i in np.unravel_index(int(weights.argmax()), weights.shape))
    values = {"weight": float(weights[h, row, column]), "h": h, "n": row, "m": column}
    as_heavy = int((weights >= weights.max() - rounding).sum())
    if as_heavy == weights.size:
        return Statement("All weights are {weight:.3f}: no input is told from another.", values)
    if as_heavy > 1:
        return Statement("The heaviest weight is {weight:.3f}, which {count} pairs have.", values | {"count": as_heavy})
    return Statement("The heaviest weight is {weight:.3f}: in head {h}, output {n} takes it from input {m}.", values)
