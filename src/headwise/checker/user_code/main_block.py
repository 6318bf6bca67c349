"""What a script computes only when it is run: its main block, and the functions without arguments that it calls."""

from __future__ import annotations

import ast
import re

from headwise.checker.user_code.source import last_name, nodes_in, parse


def without_main(text: str) -> str:
    """The text with the statements of its main block, and of functions called without arguments, outside both.

    Each stays in its line. It is the same text if there are no such statements.
    """
    lines = text.splitlines()
    for node in parse(text).body:
        if isinstance(node, ast.If) and _is_main(node.test):
            _move_out(lines, node, "")
    while movable := _movable(parse("\n".join(lines)).body):
        for node in movable:
            value = _move_out(lines, node, _defaults(node))
            lines = [re.sub(rf"(?<![\w.]){node.name}\(\)", value, line) for line in lines]
    return text if lines == text.splitlines() else "\n".join(lines) + "\n"


def _movable(body: list[ast.stmt]) -> list[ast.FunctionDef]:
    """The functions that statements outside functions call without arguments, and that can be moved out."""
    outside = [node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    calls = [node for statement in outside for node in nodes_in(statement) if isinstance(node, ast.Call)]
    called = {last_name(call.func) for call in calls if not call.args and not call.keywords}
    return [node for node in body if isinstance(node, ast.FunctionDef) and node.name in called and _is_movable(node)]


def _is_main(test: ast.expr) -> bool:
    """Whether a condition is ``__name__ == "__main__"``."""
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in nodes_in(test))


def _is_movable(function: ast.FunctionDef) -> bool:
    """Whether statements of a function do the same outside it: it has no arguments to pass, and returns at its end."""
    arguments = function.args
    required = len(arguments.posonlyargs + arguments.args) - len(arguments.defaults) or None in arguments.kw_defaults
    inner = [node for node in nodes_in(function)[1:] if isinstance(node, ast.FunctionDef)]
    others = {node for one in inner for node in nodes_in(one)}
    leaves = [
        n for n in nodes_in(function) if n not in others and isinstance(n, ast.Return | ast.Yield | ast.YieldFrom)
    ]
    in_one_line = function.body[0].lineno == function.lineno
    return not (required or in_one_line or function.decorator_list) and leaves in ([], [function.body[-1]])


def _defaults(function: ast.FunctionDef) -> str:
    """The assignments of a function's arguments by default."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    named = [
        *zip(positional, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return "; ".join(f"{name.arg} = {ast.unparse(value)}" for name, value in named if value is not None)


def _move_out(lines: list[str], node: ast.If | ast.FunctionDef, head: str) -> str:
    """Move the statements of a block out of it, which leaves `head` in place of its head; what it returns."""
    first, last = node.body[0], node.body[-1]
    if first.lineno == node.lineno:  # in the line of its head
        head = lines[node.lineno - 1][first.col_offset :]
    for i in range(node.lineno - 1, _end(node)):
        indent = min(first.col_offset, len(lines[i]) - len(lines[i].lstrip()))
        lines[i] = lines[i][indent:] if first.lineno - 1 <= i < _end(last) else ""
    lines[node.lineno - 1] = head
    if not isinstance(last, ast.Return) or last.value is None or not isinstance(node, ast.FunctionDef):
        return "None"
    result = f"{node.name}_result"
    if all(isinstance(value, ast.Name) for value in getattr(last.value, "elts", [last.value])):
        result = ast.unparse(last.value)
        lines[last.lineno - 1 : _end(last)] = [""] * (_end(last) - last.lineno + 1)
    else:
        lines[last.lineno - 1] = f"{result} ={lines[last.lineno - 1].removeprefix('return')}"
    return result


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
