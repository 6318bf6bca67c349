"""The report's part on multi-head self-attention: weights, outputs, swapped inputs, and why the head counts differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headwise.files import replacing
from headwise.picture.document import Block, Figured, Paragraph, Section, Table
from headwise.picture.matrices import draw_matrices
from headwise.picture.save import inline, save_figure
from headwise.picture.text import Statement
from headwise.studies.coursework import Coursework, HeadRun

__all__ = ["attention_section"]

_ROUNDING = 1e-9  # a deviation below this is rounding, above it a difference


def attention_section(study: Coursework, folder: Path, arrays_name: str) -> Section:
    """Write the part's figures and arrays into the folder, and return its section."""
    with replacing(folder / "arrays" / "coursework.npz") as beside:
        np.savez(beside, allow_pickle=False, **study.arrays)
    blocks: list[Block] = [_introduction(study, arrays_name), *_given(study)]
    for run in study.runs:
        blocks += _run(run, study, folder)
    blocks += [_swapping(study), *_swapped_tables(study), _breaking(study), *_difference(study)]
    return Section("attention", "Multi-head self-attention", tuple(blocks))


def _introduction(study: Coursework, arrays_name: str) -> Paragraph:
    return Paragraph(
        (
            Statement(
                "The arrays are {name}: N = {n} tokens, one a row of <X>, and matrices of {d} rows.",
                {"name": arrays_name, "n": study.tokens, "d": study.width},
            ),
            Statement(
                "Nothing is added to scaled dot-product attention, <sa> for one head: no positions, no residual, no "
                "mask."
            ),
            Statement(
                "With H heads, head <h> (counted from <from 0>) owns <D/H> consecutive rows of each matrix, which must "
                "be a whole number; the heads' outputs are put side by side."
            ),
        )
    )


def _given(study: Coursework) -> Iterator[Table]:
    for name, array in study.arrays.items():
        matrix = np.atleast_2d(array)
        rows = [f"x{i}" for i in range(len(matrix))] if name == "X" else [str(i) for i in range(len(matrix))]
        what = "the tokens, one a row" if name == "X" else "a row is an output feature"
        columns = [str(i) for i in range(matrix.shape[1])]
        yield Table.of_matrix(Statement(f"{name}: {what}."), name, matrix, rows, columns, "g")


def _run(run: HeadRun, study: Coursework, folder: Path) -> Iterator[Block]:
    n, heads = study.tokens, run.heads
    figure = draw_matrices(list(run.given.weights), [f"head {h}" for h in range(heads)])
    stem = f"attention-{heads}-{'head' if heads == 1 else 'heads'}"
    paths = save_figure(figure, folder / "figures" / stem)
    with replacing(folder / "figures" / f"{stem}.npz") as beside:
        np.savez(beside, allow_pickle=False, weights=run.given.weights, output=run.given.output)
    yield Figured(
        inline(figure),
        Statement("Attention weights with H = {heads}", {"heads": heads}),
        {
            "What is shown": (
                Statement(
                    "Row n of a matrix is how output n shares its attention out to the {n} inputs; every row sums to "
                    "one. One colour scale holds for all.",
                    {"n": n},
                ),
            ),
            "What it says": (_heaviest(run),),
        },
        tuple(str((folder / "figures" / path.name).relative_to(folder)) for path in paths),
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


def _heaviest(run: HeadRun) -> Statement:
    h, row, column = (int(i) for i in np.unravel_index(int(run.given.weights.argmax()), run.given.weights.shape))
    return Statement(
        "The heaviest weight is {weight:.3f}: in head {h}, output {n} takes it from input {m}.",
        {"weight": float(run.given.weights[h, row, column]), "h": h, "n": row, "m": column},
    )


def _swapping(study: Coursework) -> Paragraph:
    a, b = study.swap
    largest = max(run.largest_deviation for run in study.runs)
    verdict = (
        "Nothing else changes: <equivariance> for every permutation matrix <P>, whatever the number of heads."
        if largest < _ROUNDING
        else "This is more than rounding, so something in these arrays breaks the symmetry."
    )
    return Paragraph(
        (
            Statement(
                "When inputs {a} and {b} change places, outputs {a} and {b} change places, and so do their rows and "
                "columns in every head's weights: <weights move>.",
                {"a": a, "b": b},
            ),
            Statement(
                "Each output is a sum over all inputs, and a sum does not know in which order it is taken; which "
                "output is which is decided by its own query alone.",
            ),
            Statement(
                "Over {permutations} permutations of the inputs the largest deviation from this is {largest:.1e}.",
                {"permutations": study.permutations, "largest": largest},
            ),
            Statement(verdict),
        )
    )


def _swapped_tables(study: Coursework) -> Iterator[Table]:
    order = list(range(study.tokens))
    a, b = study.swap
    order[a], order[b] = order[b], order[a]
    for run in study.runs:
        yield Table.of_matrix(
            Statement(
                "Output after the swap, H = {heads}; rows are named by the input they belong to.", {"heads": run.heads}
            ),
            f"output-{run.heads}-swapped",
            run.swapped.output,
            [f"output {i}" for i in order],
            [str(i) for i in range(run.swapped.output.shape[1])],
        )


def _breaking(study: Coursework) -> Paragraph:
    return Paragraph(
        (
            Statement(
                "It takes something that tells places apart to break this: with a causal mask the largest deviation is "
                "{causal:.2f}, with a vector added to each position {position:.2f}.",
                {"causal": study.causal_deviation, "position": study.position_deviation},
            ),
        )
    )


def _difference(study: Coursework) -> Iterator[Block]:
    if len(study.runs) < 2:
        return
    few, many = study.runs[0], study.runs[-1]
    apart = float(np.abs(few.given.output - many.given.output).max())
    values = {"few": few.heads, "many": many.heads, "apart": apart}
    yield Paragraph(
        (
            Statement(
                "With the same matrices, the outputs for H = {few} and H = {many} differ by up to {apart:.3f}.", values
            ),
            Statement(
                "One head takes its logits over all coordinates, <one head>, and has one softmax for all outputs."
            ),
            Statement("Each of several takes them over its own coordinates, <many heads>, and has its own softmax."),
            Statement(
                "Before the scale the logits are only shared out: <sum of logits>, here to within {deviation:.1e}.",
                {"deviation": study.logits_deviation},
            ),
            Statement(
                "The softmax does not share out like this: each head normalises its own exponentials over the inputs, "
                "and weighs its own coordinates of the values with the result."
            ),
        )
    )
