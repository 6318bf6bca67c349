"""Functions that take the tokens as a list of columns, such as Prince's ``all_x``, for the checker."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from headwise.checker.arguments.roles import role_of
from headwise.grading.sandbox import Sandbox

_ADAPTER = """
def {adapter}({parameters}):
    X = [X[:, n : n + 1] for n in range(X.shape[1])]
    result = {name}({arguments})
    return __import__("numpy").column_stack(result) if isinstance(result, list) else result
"""


def define_column_list_adapter(sandbox: Sandbox, node: ast.FunctionDef) -> str:
    """Define a function of tokens as columns that calls another one with a list of these columns; returns its name.

    The name is empty if no parameter of the other function is named like tokens.
    """
    usual = {"H": "heads", "h": "heads"}
    names = [usual.get(arg.arg, arg.arg) for arg in (*node.args.posonlyargs, *node.args.args)]
    tokens = next((i for i, name in enumerate(names) if role_of(name) == "X"), None)
    if tokens is None:
        return ""
    names[tokens] = "X"
    if len(set(names)) < len(names):
        return ""
    adapter = f"_adapter_of_{node.name}"
    parameters = ", ".join(parameters_text(names, node.args.defaults))
    code = _ADAPTER.format(adapter=adapter, parameters=parameters, name=node.name, arguments=", ".join(names))
    try:
        sandbox.define(code)
    except Exception:  # whatever a default raises when it is evaluated again
        return ""
    return adapter


def parameters_text(names: Sequence[str], defaults: Sequence[ast.expr], more: Sequence[str] = ()) -> list[str]:
    """Parameters of a definition: names, `more` after those without a default, and the defaults of the last."""
    required = len(names) - len(defaults)
    optional = zip(names[required:], defaults, strict=True)
    return [*names[:required], *more, *(f"{name}={ast.unparse(default)}" for name, default in optional)]
