"""How a notebook's tokens and matrices are oriented: by shapes, by the numbers it computes, by its code."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from headwise.attention import multi_head_attention
from headwise.coursework.notebook.candidates import Candidate, head_counts, role_of_expression
from headwise.coursework.notebook.matrices import PARTS, MatrixSet, Orientation, convert, is_column_list
from headwise.coursework.notebook.projections import factor, products, scope_roles
from headwise.coursework.notebook.run import NotebookRun
from headwise.errors import ShapeError
from headwise.shapes import Array

_MATRICES = ("Wq", "Wk", "Wv")
Conventions = Sequence[tuple[str, Sequence[str]]]


def fitting_orientations(
    tokens: Candidate, matrices: MatrixSet, columns: bool | None, in_out: bool | None
) -> tuple[list[Orientation], list[str]]:
    """The orientations in which the shapes fit, among those that the options allow; and why the others do not."""
    possible, problems = [], []
    for orientation in (Orientation(*pair) for pair in product((False, True), repeat=2)):
        if columns not in (None, orientation.columns) or in_out not in (None, orientation.in_out):
            continue
        if is_column_list(tokens) and not orientation.columns:
            continue
        if orientation.in_out and in_out is None and _belongs_to_torch(matrices):
            continue
        try:
            convert(tokens, matrices, orientation)
            possible.append(orientation)
        except ShapeError as error:
            problems.append(f"with {orientation}: {error}")
    return possible, problems


def choose_orientation(
    run: NotebookRun,
    tokens: Candidate,
    matrices: MatrixSet,
    possible: Sequence[Orientation],
    conventions: Conventions,
    assumptions: list[str],
) -> tuple[Orientation, str]:
    """The orientation, and what shows it; an orientation that nothing shows is added to the assumptions."""
    if len(possible) == 1:
        return possible[0], "no other orientation fits the shapes and the options"
    inputs = {c.expression for items in (*matrices.members.values(), [tokens]) for c in items}
    supported = [(o, name) for o in possible if (name := _computed(run, convert(tokens, matrices, o), inputs))]
    if len(supported) == 1:
        return supported[0][0], f"{supported[0][1]} in the notebook has the numbers that follow from it"
    possible = [orientation for orientation, _ in supported] or possible
    for index, counter in enumerate(votes(run.tree)):
        if len(counter) == 1:
            possible = [o for o in possible if o[index] == next(iter(counter))] or possible
    if len(possible) == 1:
        return possible[0], "the products in the notebook's code"
    for name, codes in conventions:
        detected = Orientation("tokens-as-columns" in codes, "weights-in-out" in codes)
        if detected in possible:
            return detected, f"the convention of its function {name}"
    first, second = possible[:2]
    option = "--weights in-out" if first.columns == second.columns else "--columns"
    assumptions.append(f"Nothing in the notebook shows the orientation; assumed are {first}, {option} takes {second}.")
    return first, ""


def _belongs_to_torch(matrices: MatrixSet) -> bool:
    """Whether the matrices are weights of torch's layers, which are (out, in)."""
    names = [c.expression for role in ("Wq", "Wk", "Wv", "Wqkv") for c in matrices.members.get(role, ())]
    return all(name.endswith((".weight", ".in_proj_weight")) for name in names)


def _computed(run: NotebookRun, arrays: Mapping[str, Array], inputs: set[str]) -> str:
    """The name of an array of the notebook that these arrays explain: queries, keys, values or an output."""
    for part in PARTS:
        projected = arrays["X"] @ arrays[f"W{part}"].T + arrays.get(f"b{part}", 0)
        if name := equal_arrays(run.values, projected, inputs):
            return name
    keywords: dict[str, Any] = dict(arrays)
    for heads, scale in product(sorted({1, *head_counts(run.values).values()}), (None, 1.0)):
        if len(arrays["Wq"]) % heads == 0 == len(arrays["Wv"]) % heads:
            output = multi_head_attention(**keywords, heads=heads, scale=scale).output
            if name := equal_arrays(run.values, np.asarray(output), inputs):
                return name
    return ""


def votes(tree: ast.Module) -> tuple[Counter[bool], Counter[bool]]:
    """How often products in the code have tokens as columns, or not, and matrices (in, out), or not.

    Examples
    --------
    >>> columns, in_out = votes(ast.parse("Q = X @ Wq; K = np.matmul(X, Wk); V = X @ Wv.T"))
    >>> dict(columns), dict(in_out)
    ({False: 3}, {True: 2, False: 1})
    """
    columns: Counter[bool] = Counter()
    in_out: Counter[bool] = Counter()
    roles = scope_roles(tree)
    for left, right in products(tree):
        first, second = factor(left), factor(right)
        first_role, second_role = (role_of_expression(f.name)[0] or roles.get(f.name) for f in (first, second))
        if second_role in _MATRICES:  # X @ W
            in_out[not second.transposed] += 1
            if first_role == "X" and not first.indexed:
                columns[first.transposed] += 1
        elif first_role in _MATRICES:  # W @ X
            in_out[first.transposed] += 1
            if second_role == "X" and not second.indexed:
                columns[not second.transposed] += 1
    return columns, in_out


def equal_arrays(values: Mapping[str, Any], expected: Array, inputs: set[str]) -> str:
    """The name of an array of the notebook that has these numbers, also transposed or as a list of vectors."""
    scale = max(float(np.abs(expected).max(initial=0)), 1e-12)
    for name, value in values.items():
        if name in inputs or isinstance(value, int):
            continue
        try:
            array = np.squeeze(np.asarray(value, np.float64))
        except (ValueError, TypeError):
            continue
        for candidate in (array, array.T):
            if candidate.shape == expected.shape and np.abs(candidate - expected).max() < 1e-4 * scale:
                return name
    return ""
