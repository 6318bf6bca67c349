"""The attention functions and classes of a notebook, and the checker's verdict on each."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headwise.checker import UncallableError, Verdict, check
from headwise.coursework.notebook.adapters import (
    adapter_code,
    container_adapter_code,
    names_from_outside,
    renamed_parameters,
    weight_parameter,
)
from headwise.coursework.notebook.classes import check_classes
from headwise.coursework.notebook.run import NotebookRun, name_cells
from headwise.errors import HeadwiseError
from headwise.grading.column_lists import define_column_list_adapter


@dataclass(frozen=True)
class CheckedFunction:
    """A function or class of the notebook with the checker's verdict."""

    name: str
    verdict: Verdict | None  # none for a function that the checker cannot call
    # whole numbers of the notebook that it uses without having them as arguments, so that it fits these sizes only
    sizes: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()  # matrices and biases of the notebook that it uses without having them as arguments
    is_class: bool = False  # whether it is a class, whose instances hold their weights
    source: str = ""  # the code of all cells

    def report(self, format: Literal["text", "markdown", "json"] = "text") -> str:
        """The verdict in words, with the cells of the lines that it names; nothing without one."""
        text = self.verdict.report(format).rstrip("\n") if self.verdict else ""
        return text if format == "json" else name_cells(self.source, text)


def check_functions(run: NotebookRun) -> tuple[tuple[CheckedFunction, ...], tuple[str, ...]]:
    """Check everything in a notebook that can be called as attention, in its sandbox.

    Returns the checked functions and notes on classes that could not be checked.
    """
    functions = {node.name: node for node in run.tree.body if isinstance(node, ast.FunctionDef)}
    checked = [item for node in functions.values() if (item := _check_function(run, node, functions)) is not None]
    notes = []
    for name, verdict, problem in check_classes(run):
        if verdict is None:
            notes.append(f"the class {name} was not checked: {problem.removeprefix(f'{name}: ').rstrip('.')}")
        else:
            checked.append(CheckedFunction(name, verdict, is_class=True, source=run.source))
    return tuple(checked), tuple(notes)


def _check_function(
    run: NotebookRun, node: ast.FunctionDef, functions: Mapping[str, ast.FunctionDef]
) -> CheckedFunction | None:
    """The verdict on a function; None if it cannot be called as attention."""
    read = names_from_outside(node, functions)
    weights = {name: parameter for name in read if (parameter := weight_parameter(name, run.values))}
    renamed = renamed_parameters(node, run.tree)
    if len(node.args.args) + len(node.args.posonlyargs) + len(weights) < 2:
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
