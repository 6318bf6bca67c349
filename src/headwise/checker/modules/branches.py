"""Which optional arguments the code of a layer reads only in branches that its own attributes leave out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from headwise.checker.modules.layer import Layer
from headwise.checker.user_code.source import class_members, parse


def arguments_of_other_forms(layer: Layer) -> list[str]:
    """The arguments that are None by default and belong to another form of the layer, such as relative positions."""
    try:
        _, methods = class_members(parse(layer.source), layer.function)
    except (SyntaxError, ValueError):
        return []
    forward = methods.get(layer.function.rpartition(".")[2])
    attributes = {**layer.attributes, **layer.numbers}
    attributes.pop("training", None)  # which is no form
    read = dict(_names(forward.body, SimpleNamespace(**attributes), True)) if forward is not None else {}
    return [p.name for p in layer.arguments.values() if p.default is None and read.get(p.name) is False]


def _names(nodes: list[Any], own: Any, is_reached: bool) -> Iterator[tuple[str, bool]]:
    """The names that are read, and whether in what is reached: those that are come last."""
    names = [pair for node in nodes for pair in _names_in(node, own, is_reached)]
    yield from sorted(names, key=lambda pair: pair[1])


def _names_in(node: ast.AST, own: Any, is_reached: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id, is_reached
    if not isinstance(node, ast.If):
        yield from _names(list(ast.iter_child_nodes(node)), own, is_reached)
        return
    value = _value(node.test, own)
    yield from _names([node.test], own, is_reached)
    yield from _names(node.body, own, is_reached and value is not False)
    yield from _names(node.orelse, own, is_reached and value is not True)


def _value(test: ast.expr, own: Any) -> bool | None:
    """What a condition on attributes of a layer is; None for others."""
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    if names != {"self"} or any(isinstance(node, ast.Call) for node in ast.walk(test)):
        return None
    try:
        return bool(eval(compile(ast.Expression(test), "", "eval"), {"__builtins__": {}}, {"self": own}))
    except Exception:  # it may read an attribute that is not known
        return None
