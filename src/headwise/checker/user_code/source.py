"""The source of code that is checked, and its syntax trees: each is made once, and must not be changed."""

from __future__ import annotations

import ast
import inspect
import textwrap
import tokenize
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from headwise.errors import DataError


def decode_source(content: bytes) -> tuple[str, str]:
    """The text of a file, and its encoding if that is one in which Python would not read it, as some editors write.

    Raises UnicodeDecodeError if it is in none of the usual encodings.
    """
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return content.decode("utf-16"), "UTF-16"
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        with suppress(SyntaxError):  # of a file that declares nothing
            return content.decode(tokenize.detect_encoding(BytesIO(content).readline)[0]), ""
        return content.decode("cp1252"), "Windows-1252"


def read_source(path: Path) -> str:
    """The text of a file of code; raises DataError if it is in none of the usual encodings."""
    try:
        return decode_source(path.read_bytes())[0]
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected text; it is in no encoding that is known.") from None


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


def assigned_pairs(statement: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[tuple[ast.expr, ast.expr]]:
    """Each target of an assignment, with what it is computed from."""
    assert statement.value is not None
    value = statement.value
    pairs: list[tuple[ast.expr, ast.expr]] = []
    for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
        targets, values = getattr(target, "elts", None), _items(value)
        if targets and values and len(targets) == len(values):
            pairs += zip(targets, values, strict=True)
        else:
            pairs += [(single, value) for single in single_targets(target)]
    return pairs


def _items(value: ast.expr) -> list[ast.expr]:
    """The items of a tuple or list; those of a comprehension over one, each as what it is computed from."""
    if isinstance(value, ast.GeneratorExp | ast.ListComp) and len(value.generators) == 1:
        return [ast.Tuple([value.elt, item], ast.Load()) for item in _items(value.generators[0].iter)]
    return getattr(value, "elts", [])


def single_targets(target: ast.expr) -> Iterator[ast.expr]:
    """What is assigned, item by item."""
    if isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from single_targets(item)
    else:
        yield target.value if isinstance(target, ast.Starred) else target
