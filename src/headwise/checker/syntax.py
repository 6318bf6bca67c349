"""The syntax trees of code that is checked: each is made once, and must not be changed."""

from __future__ import annotations

import ast
from functools import lru_cache


@lru_cache(maxsize=32)
def parse(code: str) -> ast.Module:
    """The tree of some code; raises SyntaxError or ValueError as `ast.parse` does."""
    return ast.parse(code)


@lru_cache(maxsize=32)
def nodes_in(node: ast.AST) -> tuple[ast.AST, ...]:
    """The node and everything in it, outer nodes first."""
    return tuple(ast.walk(node))
