"""What the notebook's code and numbers say about the orientation of its tokens and matrices."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from headwise.coursework.notebook.candidates import role_of_expression
from headwise.coursework.notebook.projections import factor, products, scope_roles
from headwise.shapes import Array

_MATRICES = ("Wq", "Wk", "Wv")


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
