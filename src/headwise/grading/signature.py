"""Functions of a source text and their signatures, read without running it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from typing import Any


def statements(source: str) -> Iterator[ast.stmt]:
    """The statements that define names of a file, those in its branches, loops and other blocks included, in order."""
    remaining: list[ast.AST] = [ast.parse(source)]
    while remaining:
        node = remaining.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            remaining += reversed([*ast.iter_child_nodes(node)])


def signature_of(source: str, name: str) -> inspect.Signature | None:
    """The signature of a function, read from its source; None where no plain definition of that name is in it."""
    arguments = None
    for node in statements(source):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            arguments = None if node.decorator_list else node.args
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            arguments = node.value.args if isinstance(node.value, ast.Lambda) else None
    return None if arguments is None else signature_from(arguments)


def signature_from(args: ast.arguments) -> inspect.Signature:
    """The signature that a definition's arguments make."""
    kinds = inspect.Parameter
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    parameters = [
        _parameter(arg, kinds.POSITIONAL_ONLY if arg in args.posonlyargs else kinds.POSITIONAL_OR_KEYWORD, default)
        for arg, default in zip(positional, defaults, strict=True)
    ]
    if args.vararg:
        parameters.append(_parameter(args.vararg, kinds.VAR_POSITIONAL, None))
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        parameters.append(_parameter(arg, kinds.KEYWORD_ONLY, default))
    if args.kwarg:
        parameters.append(_parameter(args.kwarg, kinds.VAR_KEYWORD, None))
    return inspect.Signature(parameters)


def _parameter(arg: ast.arg, kind: Any, default: ast.expr | None) -> inspect.Parameter:
    value: Any = inspect.Parameter.empty
    if default is not None:
        try:
            value = ast.literal_eval(default)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = ...  # it has a default; only running the submission would give its value
    return inspect.Parameter(arg.arg, kind, default=value)


def names_from_outside(node: ast.FunctionDef, functions: Mapping[str, ast.FunctionDef]) -> list[str]:
    """Names that a function, and those of `functions` that it calls, read without defining them."""
    names: dict[str, None] = {}
    waiting, visited = [node], {node.name}
    while waiting:
        read = list(_names_read(waiting.pop()))
        names.update(dict.fromkeys(read))
        called = [name for name in read if name in functions and name not in visited]
        waiting += [functions[name] for name in called]
        visited.update(called)
    return list(names)


def _names_read(node: ast.FunctionDef) -> Iterator[str]:
    names = [item for item in ast.walk(node) if isinstance(item, ast.Name)]
    local = {item.id for item in names if isinstance(item.ctx, ast.Store)}
    local |= {item.arg for item in ast.walk(node) if isinstance(item, ast.arg)}
    yield from dict.fromkeys(item.id for item in names if item.id not in local)
