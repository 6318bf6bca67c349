"""Scripts that compute the output of one token only: the function of all tokens, each in the place of that one."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from headwise.checker.calling.responses import bare
from headwise.checker.script.flow import Flow, loaded
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import nodes_in

_STACK = {"torch": '__import__("torch")', "jax": '__import__("jax").numpy', "jaxlib": '__import__("jax").numpy'}


def of_one(name: str) -> str:
    """The name of the function of one token."""
    return f"{name}_of_one"


def is_of_one_in(output: Any, others: Iterable[Any]) -> bool:
    """Whether an output is a row or a column of another."""
    if not hasattr(output, "shape") or np.ndim(bare(output)) != 1:
        return False
    rows = [bare(other) for other in others if hasattr(other, "shape") and np.ndim(bare(other)) == 2]
    lines = [line for array in rows for some in (array, array.T) for line in some if line.shape == output.shape]
    return any(np.allclose(line, bare(output)) for line in lines)


def for_each_token(flow: Flow, name: str, tokens: list[str], statements: Iterable[ast.stmt]) -> str:
    """A function that calls that of one token for each; empty if the output is not that of one token.

    The tokens are rotated, since what a token attends to does not depend on where it is.
    """
    output, shape = flow.values[name], np.shape(bare(flow.values[tokens[0]]))
    if len(tokens) > 1 or len(shape) != 2 or np.ndim(bare(output)) != 1:
        return ""
    places = [*_places(flow, tokens[0], statements)]
    if len({(axis, place % shape[axis]) for axis, place in places}) != 1:
        return ""
    axis, place = places[0]
    order = f'__import__("numpy").roll(range(x.shape[{axis}]), {place} - n)'
    outputs = f"[{of_one(name)}(x[{':, ' * axis}{order}]) for n in range(x.shape[{axis}])]"
    stack = _STACK.get(type(output).__module__.partition(".")[0], '__import__("numpy")')
    head = f"def {name}({tokens[0]}):  # tokens of shape {shape}"
    return f"{head}\n x = {tokens[0]}\n return {stack}.stack({outputs}, {axis})\n"


def _places(flow: Flow, tokens: str, statements: Iterable[ast.stmt]) -> Iterator[tuple[int, int]]:
    """The axes and the places at which the statements look up one token, or one of what is computed from all."""
    for node in (node for statement in statements for node in nodes_in(statement)):
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        names = {name for name in loaded(node.value, sizes=False) if name == tokens or name not in flow.sources}
        *before, last = getattr(node.slice, "elts", [node.slice])
        number = _number(flow, last)
        all_before = all(isinstance(item, ast.Slice) and not (item.lower or item.upper) for item in before)
        if any(tokens in (n, *flow.ancestors.get(n, ())) for n in names) and all_before and number is not None:
            yield len(before), number


def _number(flow: Flow, node: ast.expr) -> int | None:
    """The whole number that an index is, unless a loop counts it."""
    value: Any = None
    if isinstance(node, ast.Name):
        value = flow.values.get(node.id) if node.id in flow.outside else None
    else:
        with suppress(ValueError, TypeError, SyntaxError):
            value = ast.literal_eval(node)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
