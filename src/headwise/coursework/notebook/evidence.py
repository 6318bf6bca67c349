"""What the notebook's code and numbers say about the orientation of its tokens and matrices."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from headwise.coursework.notebook.candidates import role_of_expression
from headwise.shapes import Array

__all__ = ["equal_arrays", "votes"]

_PRODUCTS = ("dot", "matmul", "mm", "bmm")


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
    for left, right in _products(tree):
        (x_first, x_turned), (w_first, w_turned) = (_operand(node) for node in (left, right))
        if w_first and _is_matrix(w_first):  # X @ W
            in_out[not w_turned] += 1
            if x_first and role_of_expression(x_first)[0] == "X":
                columns[x_turned] += 1
        elif x_first and _is_matrix(x_first):  # W @ X
            in_out[x_turned] += 1
            if w_first and role_of_expression(w_first)[0] == "X":
                columns[not w_turned] += 1
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


def _products(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The two factors of every matrix product in the code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield node.left, node.right
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, args = node.func.attr, node.args
            if name in _PRODUCTS and len(args) == 2:
                yield args[0], args[1]
            elif name in _PRODUCTS and len(args) == 1:
                yield node.func.value, args[0]
            elif name == "linear" and len(args) >= 2:  # torch.nn.functional.linear takes (out, in)
                yield args[0], ast.Attribute(args[1], "T", ast.Load())
            elif name == "einsum" and len(args) == 3 and isinstance(args[0], ast.Constant):
                yield from _einsum(str(args[0].value), args[1], args[2])


def _einsum(equation: str, x: ast.expr, w: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """A product of tokens and a matrix as x @ w, with the factor transposed that the equation transposes."""
    left, _, right = equation.replace(" ", "").partition("->")[0].partition(",")
    shared = [letter for letter in left if letter in right]
    if len(shared) == 1 and len(right) == 2 and len(left) in (2, 3):
        turned = ast.Attribute(w, "T", ast.Load()) if right.index(shared[0]) == 1 else w
        yield (x if left[-1] == shared[0] else ast.Attribute(x, "T", ast.Load())), turned


def _operand(node: ast.expr) -> tuple[str, bool]:
    """The name of a factor, without its index, and whether it is transposed; no name for anything else."""
    turned = False
    while True:
        match node:
            case ast.Attribute(value=inner, attr="T" | "mT"):
                node, turned = inner, not turned
            case ast.Call(func=ast.Attribute(value=inner, attr="transpose" | "t" | "swapaxes")):
                node, turned = inner, not turned
            case ast.Call(func=ast.Attribute(attr="transpose"), args=[inner, *_]):
                node, turned = inner, not turned
            case ast.Subscript(value=inner, slice=ast.Name() | ast.Constant(value=int())):
                node = inner
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name, turned
            case ast.Subscript(slice=ast.Constant(value=str(name))):
                return name, turned
            case _:
                return "", turned


def _is_matrix(name: str) -> bool:
    return role_of_expression(name)[0] in ("Wq", "Wk", "Wv")
