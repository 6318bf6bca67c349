"""Which tokens an argument holds, by the matrices that the code multiplies it with."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from headwise.checker.arguments.containers import role_at
from headwise.checker.user_code.source import last_name, nodes_of

_PRODUCT = re.compile(r"matmul|dot|mm|bmm|linear|einsum|tensordot|dense|affine|proj\w*")
_OF_QUERIES, _OF_KEYS = {"Wq"}, {"Wk", "Wv", "Wkv"}


def tokens_in_products(names: Collection[str], code: str) -> dict[str, str]:
    """Which of two arguments is X, and which the context: what is multiplied with Wq alone is X."""
    multiplied = {name: set(_matrices_of(name, code)) for name in names}
    queries = [name for name, matrices in multiplied.items() if matrices == _OF_QUERIES]
    keys = [name for name, matrices in multiplied.items() if matrices and matrices <= _OF_KEYS]
    return {queries[0]: "X", keys[0]: "context"} if len(queries) == len(keys) == 1 else {}


def gives_queries(argument: str, code: str, after: int) -> bool:
    """Whether an argument is multiplied with the matrix of the queries, below a line."""
    return "Wq" in _matrices_of(argument, code, after)


def _matrices_of(argument: str, code: str, after: int = 0) -> Iterator[str]:
    """The matrices with which an argument is multiplied as it stands, below a line."""
    for node in nodes_of(code):
        factors = factors_of(node)
        below = isinstance(node, ast.expr) and node.lineno > after
        if below and any(isinstance(factor, ast.Name) and factor.id == argument for factor in factors):
            yield from filter(None, map(_matrix, factors))


def factors_of(node: ast.AST) -> list[ast.expr]:
    """What a product of matrices multiplies; nothing for another expression."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return [node.left, node.right]
    if not isinstance(node, ast.Call) or not _PRODUCT.fullmatch(last_name(node.func)):
        return []
    return [node.func.value, *node.args] if isinstance(node.func, ast.Attribute) else node.args


def _path(node: ast.expr) -> tuple[str, ...]:
    """The name of a dictionary, and the keys under which something is looked up in it; else nothing."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)):
        return ()
    outer = (node.value.id,) if isinstance(node.value, ast.Name) else _path(node.value)
    return (*outer, node.slice.value) if outer and isinstance(node.slice.value, str) else ()


def _matrix(node: ast.expr) -> str | None:
    """The role of a matrix, perhaps transposed, or under a key."""
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        return _matrix(node.value)
    if path := _path(node):
        return role_at(path[1:]) or role_at(path)
    role = role_at((), last_name(node))
    return role if role and role[0] == "W" else None
