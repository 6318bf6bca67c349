"""The attention functions and classes of a notebook, and the checker's verdict on each.

Functions that take their weights from the notebook's variables, or under names that say nothing, get an adapter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headwise.checker import UncallableError, Verdict, check
from headwise.checker.user_code.notebooks import name_cells
from headwise.coursework.notebook.candidates import role_of_expression
from headwise.coursework.notebook.classes import check_cells, check_classes
from headwise.coursework.notebook.projections import projection_roles
from headwise.coursework.notebook.run import NotebookRun
from headwise.errors import HeadwiseError
from headwise.grading.column_lists import define_column_list_adapter, parameters_text
from headwise.grading.signature import names_from_outside

_ADAPTER = """
def {adapter}({parameters}):
    before = {{name: globals()[name] for name in {names}}}
    globals().update({values})
    try:
        return {name}({arguments})
    finally:
        globals().update(before)
"""

_CONTAINER_ADAPTER = """
def {adapter}({parameters}):
    {container} = __import__("copy").deepcopy(globals()[{passed!r}])
    {assignments}
    return {name}({arguments})
"""


@dataclass(frozen=True)
class CheckedFunction:
    """A function, a class or an array of the notebook with the checker's verdict."""

    name: str
    verdict: Verdict | None  # none for a function that the checker cannot call
    # whole numbers of the notebook that it uses without having them as arguments, so that it fits these sizes only
    sizes: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()  # arrays of the notebook that it uses without having them as arguments
    # what it is: a class has instances that hold their weights, an array is computed by the cells outside functions
    form: Literal["function", "class", "array"] = "function"
    source: str = ""  # the code of all cells

    def report(self, format: Literal["text", "markdown", "json"] = "text") -> str:
        """The verdict in words, with the cells of the lines that it names; nothing without one."""
        text = self.verdict.report(format).rstrip("\n") if self.verdict else ""
        return text if format == "json" else name_cells(self.source, text)


def check_functions(run: NotebookRun) -> tuple[tuple[CheckedFunction, ...], tuple[str, ...]]:
    """Check everything in a notebook that can be called as attention, in its sandbox, else what its cells compute.

    Returns the checked functions and notes on classes that could not be checked.
    """
    functions = {node.name: node for node in run.tree.body if isinstance(node, ast.FunctionDef)}
    checked = [item for node in functions.values() if (item := _check_function(run, node, functions)) is not None]
    notes = []
    for name, verdict, problem in check_classes(run):
        if verdict is None:
            notes.append(f"the class {name} was not checked: {problem.removeprefix(f'{name}: ').rstrip('.')}")
        else:
            checked.append(CheckedFunction(name, verdict, form="class", source=run.source))
    if not checked:
        cells = check_cells(run)
        checked = [CheckedFunction(item.name, item.verdict, form="array", source=run.source) for item in cells]
    return tuple(checked), tuple(notes)


def _check_function(
    run: NotebookRun, node: ast.FunctionDef, functions: Mapping[str, ast.FunctionDef]
) -> CheckedFunction | None:
    """The verdict on a function; None if it cannot be called as attention."""
    read = names_from_outside(node, functions)
    renamed = renamed_parameters(node, run.tree)
    own = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
    without_tokens = not any("X" in (renamed.get(name), role_of_expression(name)[0]) for name in own)
    weights = {name: role for name in read if (role := variable_parameter(name, run.values, without_tokens))}
    if len(own) + len(weights) < 2:
        return None
    called = node.name
    if weights or renamed:
        called = f"_adapter_of_{node.name}"
        run.sandbox.define(adapter_code(called, node, weights, renamed, run.values))
    verdict = _verdict(run, called, node.name)
    listed = called == node.name and any(map(_is_column_list, run.values.values()))
    if verdict is None and listed and (adapter := define_column_list_adapter(run.sandbox, node)):
        verdict = _verdict(run, adapter, node.name)
    if verdict is None and (code := container_adapter_code(f"_adapter_of_{node.name}", node, run.tree, run.values)):
        run.sandbox.define(code)
        verdict = _verdict(run, f"_adapter_of_{node.name}", node.name)
    if verdict is None:
        return None
    sizes = tuple(name for name in read if isinstance(run.values.get(name), int))
    return CheckedFunction(node.name, verdict, sizes, tuple(weights), source=run.source)


def _is_column_list(value: Any) -> bool:
    return isinstance(value, tuple) and all(array.ndim == 2 and array.shape[1] == 1 for array in value)


def _verdict(run: NotebookRun, called: str, title: str) -> Verdict | None:
    """The checker's verdict on a function in the sandbox; None if it cannot be called as attention."""
    for tensors in (False, True) if run.uses_torch else (False,):
        try:
            return check(run.sandbox.function(called, tensors=tensors, title=title), source=run.source)
        except (UncallableError, HeadwiseError):
            continue
    return None


def variable_parameter(name: str, values: Mapping[str, Any], tokens: bool) -> str:
    """The adapter's parameter for a matrix, bias or linear layer of the notebook, or for its `tokens`; else empty."""
    layer = _is_layer(name, values)
    role, head = role_of_expression(f"{name}.weight" if layer else name)
    array = values.get(name)
    if (
        role is None
        or (role == "X" and not tokens)
        or not (layer or (isinstance(array, np.ndarray) and array.ndim <= 2))
    ):
        return ""
    return f"{role}{'' if head is None else head}" if layer else name


def renamed_parameters(node: ast.FunctionDef, tree: ast.Module) -> dict[str, str]:
    """Parameters whose names say nothing, by the function's products and by what the notebook's calls pass."""
    names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
    renamed = {
        name: role
        for name, role in projection_roles(node.body).items()
        if name in names and role not in names and role_of_expression(name)[0] is None
    }
    for call in _calls(tree, node.name):
        for name, value in zip(names, call.args, strict=False):
            passed = value.value if isinstance(value, ast.Subscript) else value
            role = role_of_expression(passed.id)[0] if isinstance(passed, ast.Name) else None
            if role and role_of_expression(name)[0] is None and role not in names:
                renamed[name] = role
    return renamed if len(set(renamed.values())) == len(renamed) else {}


def adapter_code(
    adapter: str,
    node: ast.FunctionDef,
    weights: Mapping[str, str],
    renamed: Mapping[str, str],
    values: Mapping[str, Any],
) -> str:
    """A function that also takes the weights as arguments that another, `node`, reads from the notebook's variables.

    `weights` has its parameter for each variable, `renamed` new names of the function's own parameters.
    """
    parameters = [*node.args.posonlyargs, *node.args.args]
    names = [renamed.get(arg.arg, arg.arg) for arg in parameters]
    replaced = [
        f"{name}=lambda x: x @ {parameter}.T" if _is_layer(name, values) else f"{name}={parameter}"
        for name, parameter in weights.items()
    ]
    return _ADAPTER.format(
        adapter=adapter,
        parameters=", ".join(parameters_text(names, node.args.defaults, list(weights.values()))),
        names=list(weights),
        values=f"dict({', '.join(replaced)})",
        name=node.name,
        arguments=", ".join(names),
    )


def container_adapter_code(adapter: str, node: ast.FunctionDef, tree: ast.Module, values: Mapping[str, Any]) -> str:
    """A function of single matrices, for one of a dict, list or object of matrices; empty if it takes none.

    The container is a copy of the one that the notebook passes, with the matrices in their places.
    """
    parameters = [*node.args.posonlyargs, *node.args.args]
    for index, container in enumerate(arg.arg for arg in parameters):
        passed = [call.args[index] for call in _calls(tree, node.name) if index < len(call.args)]
        for variable in (argument.id for argument in passed if isinstance(argument, ast.Name)):
            places = _places(variable, values)
            if {"Wq", "Wk", "Wv"} <= set(places.values()):
                others = [arg.arg for arg in parameters if arg.arg != container]
                return _CONTAINER_ADAPTER.format(
                    adapter=adapter,
                    parameters=", ".join(parameters_text(others, node.args.defaults, list(places.values()))),
                    container=container,
                    passed=variable,
                    assignments="; ".join(f"{container}{place} = {role}" for place, role in places.items()),
                    name=node.name,
                    arguments=", ".join(arg.arg for arg in parameters),
                )
    return ""


def _places(name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Where the matrices and biases are in a container, with their roles; empty if two have the same role."""
    roles = {
        expression.removeprefix(name): role_of_expression(expression)
        for expression, value in values.items()
        if expression.startswith((f"{name}[", f"{name}.")) and isinstance(value, np.ndarray) and value.ndim <= 2
    }
    places = {place: role for place, (role, head) in roles.items() if role not in (None, "X") and head is None}
    return places if len(set(places.values())) == len(places) else {}


def _calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _is_layer(name: str, values: Mapping[str, Any]) -> bool:
    weight = values.get(f"{name}.weight")
    return isinstance(weight, np.ndarray) and weight.ndim == 2
