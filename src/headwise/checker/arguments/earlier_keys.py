"""Arguments that may be left out and hold keys of earlier tokens: what the code puts before the keys, or updates.

What is only written, such as an array for the output or a list of weights, holds none.
"""

from __future__ import annotations

import ast
import re

from headwise.checker.arguments.products import gives_queries
from headwise.checker.user_code.source import last_name, nodes_of

_JOINS = re.compile(r"concat\w*|cat|[vhd]?stack|append|column_stack|row_stack|dynamic_update\w*")
_OF_SIZE = {"shape", "size", "ndim", "dtype", "device"}


def holds_earlier_keys(argument: str, code: str) -> bool:
    """Whether what an argument holds is joined with other arrays, or is updated."""
    nodes, parts = nodes_of(code), {argument}
    for _ in range(2):  # a loop may use a name above the line that binds it
        for node in nodes:
            if isinstance(node, ast.Assign) and _is_part(node.value, parts):
                parts |= {name for target in node.targets for name in _names(target)}
            elif isinstance(node, ast.For | ast.comprehension) and _goes_through(node.iter, parts):
                parts |= _names(node.target)
    read = (node for node in nodes if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load))
    reads = any(_is_part(node, parts) for node in read)
    return any(_joins(node, parts) or (reads and _writes(node, parts)) for node in nodes)


def is_joined_with_queries(argument: str, tokens: object, code: str) -> bool:
    """Whether an argument is joined with the tokens before these are projected, so that it gives queries too."""
    for node in nodes_of(code):
        if isinstance(node, ast.Assign) and _joins(node.value, {argument}) and tokens in _names(node.value):
            return any(gives_queries(name, code, node.lineno) for target in node.targets for name in _names(target))
    return False


def _writes(node: ast.AST, parts: set[str]) -> bool:
    """Whether an assignment writes into parts."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Subscript) and _is_part(target, parts) for target in targets)


def _names(target: ast.expr) -> set[str]:
    return {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}


def _goes_through(values: ast.expr, parts: set[str]) -> bool:
    """Whether a loop goes through parts, perhaps together with others."""
    return any(_is_part(one, parts) for one in (values.args if isinstance(values, ast.Call) else [values]))


def _is_part(node: ast.AST, parts: set[str]) -> bool:
    """Whether an expression is a part of the argument, and not for example a number of tokens in it."""
    if isinstance(node, ast.Name):
        return node.id in parts
    if isinstance(node, ast.Attribute):
        return node.attr not in _OF_SIZE and _is_part(node.value, parts)
    if isinstance(node, ast.Subscript | ast.Starred):
        return _is_part(node.value, parts)
    if isinstance(node, ast.IfExp):
        return _is_part(node.body, parts) or _is_part(node.orelse, parts)
    if isinstance(node, ast.Tuple | ast.List):
        return any(_is_part(one, parts) for one in node.elts)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_part(node.func.value, parts)


def _joins(node: ast.AST, parts: set[str]) -> bool:
    """Whether a call joins parts with other arrays, or what an update of them returns is used."""
    if isinstance(node, ast.Assign):
        called = node.value.func if isinstance(node.value, ast.Call) else None
        return isinstance(called, ast.Attribute) and "update" in called.attr and _is_part(called.value, parts)
    if isinstance(node, ast.Subscript):  # np.r_[old, new]
        return getattr(node.value, "attr", "") in ("r_", "c_") and _is_part(node.slice, parts)
    if not isinstance(node, ast.Call):
        return False
    return bool(_JOINS.fullmatch(last_name(node.func))) and any(_is_part(one, parts) for one in node.args)
