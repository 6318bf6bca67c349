"""What the coursework is made of: the two functions, and the arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from headwise.attention import multi_head_attention, self_attention
from headwise.coursework.report.context import ReportContext
from headwise.coursework.results import Coursework
from headwise.coursework.solution import Notation, attention_lines, functions_code
from headwise.document import Block, Code, Paragraph, Section, Table
from headwise.shapes import Array
from headwise.text import Statement, pluralize, scientific

_PLACES = 5  # decimals of a number in a table of arrays, at most


def functions_section(study: Coursework, notation: Notation) -> Section:
    """Self-attention in six lines, and the multi-head version that uses it, in the course's notation."""
    a: dict[str, Any] = {name: array for name, array in study.arrays.items() if name not in ("Wo", "bo")}
    difference = np.abs(self_attention(**a).output - multi_head_attention(**a, heads=1).output).max()
    standard = Statement(
        "Standard self-attention with the dot-product scaling and nothing else added, <sa>: no positions, no residual, "
        "no mask. "
        + (
            "A token is a column of <X> in the code, and a row in the formulae."
            if notation.columns
            else "A token is a row of <X>."
        )
    )
    several = Statement(
        "The multi-head version uses it as a component. Head <h>, counted from <zero>, owns <D/H> consecutive rows of "
        "each matrix, so <D/H> must be a whole number; the outputs of the heads are concatenated, and a final "
        "transformation <W_o> may follow."
    )
    agreement = Statement(
        "With one head and the identity as final transformation the two functions of the library agree: their outputs "
        "on the arrays below differ by {difference}.",
        {"difference": scientific(float(difference))},
    )
    return Section(
        "functions",
        "The functions",
        (
            Paragraph(standard),
            Code(Statement("Self-attention"), attention_lines(notation)),
            Paragraph(several, *_rows_of_a_head(study.width, max(run.heads for run in study.runs))),
            Code(Statement("Both functions"), functions_code(notation)),
            Paragraph(agreement),
        ),
        number="1.1",
    )


def _rows_of_a_head(width: int, heads: int) -> tuple[Statement, ...]:
    if heads * heads == width:
        return ()
    return (
        Statement(
            "The sheet gives the first head the first <H> rows, which cannot be meant: {heads} heads of {heads} rows "
            "are {needed} rows, and there are {width}. What is meant is <D/H>, the first {own}.",
            {"heads": heads, "needed": heads * heads, "width": width, "own": pluralize(width // heads, "row")},
        ),
    )


def arrays_section(study: Coursework, context: ReportContext) -> Section:
    """Every array, printed in full."""
    blocks: list[Block] = [
        Paragraph(
            Statement(
                "The arrays are {name}: N = {n} tokens, one a row of <X>, and matrices of D = {d} rows.",
                {"name": context.arrays_name, "n": study.tokens, "d": study.width},
            ),
            *_others(study),
            Statement("They are printed in full.")
            if all(np.array_equal(array.round(_PLACES), array) for array in study.arrays.values())
            else Statement(
                "They are printed to {places} decimals, and kept in full in {file}.",
                {"places": _PLACES, "file": "arrays/coursework.npz"},
            ),
            Statement(
                "No final transformation is given, so it is the identity."
                if "Wo" not in study.arrays
                else "A final transformation <W_o> is given, and applied to the heads' outputs."
            ),
        )
    ]
    for name, array in study.arrays.items():
        matrix = np.atleast_2d(array)
        rows = [f"x{i}" for i in range(len(matrix))] if name == "X" else [str(i) for i in range(len(matrix))]
        what = "the tokens, one a row" if name == "X" else "a row is an output feature"
        if array.ndim == 1:
            what = "one number for each output feature"
        columns = [str(i) for i in range(matrix.shape[1])]
        blocks.append(Table.of_matrix(Statement(f"{name}: {what}."), name, matrix, rows, columns, _decimals(matrix)))
    return Section("arrays", "The arrays", tuple(blocks), number="1.2")


def _others(study: Coursework) -> tuple[Statement, ...]:
    """Describe the arrays other than the three matrices of D rows, if there are any."""
    statements = []
    values = len(study.arrays["Wv"])
    if values != study.width:
        statements.append(Statement("Only <W_v> has another number of rows, {rows}.", {"rows": values}))
    if any(name in study.arrays for name in ("bq", "bk", "bv")):
        statements.append(
            Statement("There are biases too, which are added to the queries, keys or values of every token.")
        )
    return tuple(statements)


def _decimals(matrix: Array) -> str:
    """A format with as few decimals as print the numbers in full, or with `_PLACES` where more would be needed."""
    places = next((k for k in range(_PLACES) if np.array_equal(matrix.round(k), matrix)), _PLACES)
    return f".{places}f"
