"""The lines of a function that no call has reached: what they do is not tested."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from types import CodeType, FrameType
from typing import Any

from headwise.checker.user_code.source import nodes_of


class Lines:
    """The lines of a function's file that run while calls are recorded, by the functions that they are part of."""

    def __init__(self, function: Callable[..., Any]) -> None:
        code = getattr(inspect.unwrap(function), "__code__", None)
        self.file = code.co_filename if isinstance(code, CodeType) else ""
        self.reached = set[int]()
        self.functions = set[str]()

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the lines that run in this block."""
        before = sys.gettrace()
        sys.settrace(self._trace if self.file and before is None else before)
        try:
            yield
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self.file:
            return None
        self.functions.add(frame.f_code.co_name)
        self.reached.add(frame.f_lineno)
        return self._trace

    def unreached(self, source: str, unused: Collection[str]) -> Iterator[str]:
        """In words, the branches that no call reached, but for those that raise, or that `unused` arguments decide."""
        listed = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in unused if name.isidentifier()) or r"(?!)")
        for function in (node for node in nodes_of(source) if isinstance(node, ast.FunctionDef)):
            if function.name in self.functions and self._runs(function.body):
                for first, last in self._in_block(function.body, listed):
                    yield f"line{'s' * (last > first)} {first}{f'–{last}' * (last > first)}, which no call reached"

    def _in_block(self, block: list[ast.stmt], listed: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        for statement in block:
            if isinstance(statement, ast.If):
                decided = bool(listed.search(ast.unparse(statement.test)))
                for branch in (statement.body, statement.orelse):
                    if branch and self._runs(branch):
                        yield from self._in_block(branch, listed)
                    elif branch and not decided and not all(map(_does_nothing, branch)) and self._runs([statement]):
                        yield branch[0].lineno, branch[-1].end_lineno or branch[-1].lineno
            elif isinstance(statement, ast.For | ast.While | ast.With):
                yield from self._in_block(statement.body, listed)

    def _runs(self, block: list[ast.stmt]) -> bool:
        return any(line in self.reached for line in range(block[0].lineno, (block[-1].end_lineno or 0) + 1))


def _does_nothing(statement: ast.stmt) -> bool:
    """Whether a statement only complains, or prints."""
    return isinstance(statement, ast.Raise | ast.Pass | ast.Expr | ast.Assert | ast.Import | ast.ImportFrom)
