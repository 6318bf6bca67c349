"""The numbers in a function's code, of which some may be sizes of blocks: larger inputs may be treated apart."""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterator
from types import CodeType

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.user_code.source import nodes_of

_SMALL = "LOAD_SMALL_INT"
_LEAST, _MOST = 128, 16384  # numbers that are worth an input of their own
MANY_QUERIES = 1024  # that are worth an input with so many queries


def numbers_in_code(documentation: Documentation) -> tuple[int, ...]:
    """Numbers that may be sizes of blocks: the smallest and the largest up to `MANY_QUERIES`, and the largest of all.

    They are those of the function and of what it uses: literals, defaults of arguments, and the variables of its file
    that are numbers; products and powers of numbers count as one.
    """
    numbers = {number for number in values_in_code(documentation) if isinstance(number, int)}
    likely = sorted(number for number in numbers if _LEAST <= number <= _MOST)
    few, many = ([number for number in likely if (number > MANY_QUERIES) == beyond] for beyond in (False, True))
    return tuple(dict.fromkeys((*few[:1], *few[-1:], *many[-1:])))


def values_in_code(documentation: Documentation) -> tuple[int | float, ...]:
    """All of these numbers, of whatever size and with fractions."""
    code = documentation.code_with_helpers
    numbers: dict[int | float, None] = {}
    for text in (code, *_variables(documentation.source, code)):
        try:
            numbers |= dict.fromkeys(_numbers(compile(text, "", "exec")))
        except (SyntaxError, ValueError):
            continue
    return tuple(numbers)


def _variables(source: str, code: str) -> Iterator[str]:
    """The assignments of a file to variables that some code mentions."""
    mentioned = {node.id for node in nodes_of(code) if isinstance(node, ast.Name)}
    file = next(iter(nodes_of(source)), None)
    statements = file.body if isinstance(file, ast.Module) else []
    for statement in (node for node in statements if isinstance(node, ast.Assign | ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if mentioned & {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}:
            yield ast.unparse(statement)


def _numbers(code: CodeType) -> Iterator[int | float]:
    waiting: list[object] = [code]
    while waiting:
        value = waiting.pop()
        if isinstance(value, CodeType):  # since Python 3.14 its constants lack the small numbers
            waiting += [i.argval for i in dis.get_instructions(value) if i.opcode in dis.hasconst or i.opname == _SMALL]
        elif isinstance(value, tuple):
            waiting += value
        elif isinstance(value, slice):  # a constant since Python 3.14
            waiting += (value.start, value.stop)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield value
