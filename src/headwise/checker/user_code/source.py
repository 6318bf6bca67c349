"""The source of code that is checked, and its syntax trees: each is made once, and must not be changed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import lru_cache
from typing import Any


def source_of(function: Callable[..., Any]) -> str:
    """Return the text of the file that a function is from, or nothing where it has none."""
    try:
        return inspect.getsource(inspect.getmodule(inspect.unwrap(function)) or function)
    except (OSError, TypeError):
        try:
            return inspect.getsource(function)
        except (OSError, TypeError):
            return ""


@lru_cache(maxsize=32)
def parse(code: str) -> ast.Module:
    """The tree of some code; raises SyntaxError or ValueError as `ast.parse` does."""
    return ast.parse(code)


@lru_cache(maxsize=32)
def nodes_in(node: ast.AST) -> tuple[ast.AST, ...]:
    """The node and everything in it, outer nodes first."""
    return tuple(ast.walk(node))


def nodes_of(code: str) -> tuple[ast.AST, ...]:
    """The nodes of some code, which may be indented, outer ones first; none if it is not Python."""
    try:
        return nodes_in(parse(textwrap.dedent(code)))
    except (SyntaxError, ValueError):
        return ()


def last_name(node: ast.expr) -> str:
    """The name that a function is called by, or an attribute; empty for other expressions."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def class_members(tree: ast.AST, name: str) -> tuple[list[str], dict[str, ast.FunctionDef]]:
    """Return the docstrings and the methods of the class of a method such as ``Net.forward``, its bases' last."""
    classes = {n.name: n for n in nodes_in(tree) if isinstance(n, ast.ClassDef)}
    docstrings: list[str] = []
    methods: dict[str, ast.FunctionDef] = {}
    waiting, visited = [name.rpartition(".")[0].rpartition(".")[2]], set[str]()
    while waiting:
        owner = waiting.pop(0)
        if owner in classes and owner not in visited:
            visited.add(owner)
            docstrings.append(ast.get_docstring(classes[owner]) or "")
            methods = {n.name: n for n in classes[owner].body if isinstance(n, ast.FunctionDef)} | methods
            waiting += [base.id for base in classes[owner].bases if isinstance(base, ast.Name)]
    return [text for text in docstrings if text], methods
