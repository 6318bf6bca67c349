"""Everything that the report and the commands need of a course notebook, from one run of it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from headwise.coursework.notebook.arrays import ArrayOptions, NotebookArrays, find_arrays
from headwise.coursework.notebook.comparison import OutputComparison, compare_notebook_call, compare_on_arrays
from headwise.coursework.notebook.functions import CheckedFunction, check_functions
from headwise.coursework.notebook.run import Failure, NotebookRun, run_notebook
from headwise.errors import DataError, HeadwiseError
from headwise.text import capitalize_first

_ATTENTION = re.compile(r"attention|attn|mha|multi_?head", re.IGNORECASE)


class FunctionResult(NamedTuple):
    """A function's verdict, and the comparison on the notebook's own arrays."""

    checked: CheckedFunction
    comparison: OutputComparison


@dataclass(frozen=True)
class CourseNotebook:
    """A notebook's arrays and functions."""

    path: Path
    inputs: NotebookArrays
    functions: tuple[FunctionResult, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]


def read_course(path: Path, options: ArrayOptions | None = None) -> CourseNotebook:
    """Run a notebook, find its arrays, and check its functions and classes.

    Raises DataError, ShapeError as `run_notebook` and `find_arrays`.
    """
    with run_notebook(path) as run:
        checked, notes = check_functions(run)
        inputs = find_arrays(run, options or ArrayOptions(), _conventions(checked))
        functions = _compared(run, checked, inputs)
        return CourseNotebook(path, inputs, functions, run.failures, (*run.notes, *notes, *_unchecked(run, functions)))


def read_functions(path: Path) -> tuple[tuple[FunctionResult, ...], tuple[str, ...]]:
    """Run a notebook and check its functions and classes, on its own arrays too if it has them.

    Returns the functions and notes on classes that could not be checked.
    Raises DataError if the notebook cannot be run, or has nothing that can be called as attention.
    """
    with run_notebook(path) as run:
        checked, notes = check_functions(run)
        try:
            inputs = find_arrays(run, ArrayOptions(), _conventions(checked))
            functions = _compared(run, checked, inputs)
        except HeadwiseError as error:
            functions = tuple(FunctionResult(item, OutputComparison("", problem=str(error))) for item in checked)
        if not functions:
            reasons = "".join(f" {capitalize_first(note)}." for note in notes)
            raise DataError(
                f"{path}: it defines no function that can be called as attention.{run.first_failure()}{reasons}"
            )
        return functions, (*notes, *_unchecked(run, functions))


def _conventions(checked: tuple[CheckedFunction, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """The conventions that the checker detected, those of multi-head attention first."""
    verdicts = [(item.name, item.verdict) for item in checked if item.verdict is not None]
    verdicts.sort(key=lambda pair: pair[1].kind != "multi_head")
    return [(name, v.conventions) for name, v in verdicts if v.kind in ("self_attention", "multi_head")]


def _compared(
    run: NotebookRun, checked: tuple[CheckedFunction, ...], inputs: NotebookArrays
) -> tuple[FunctionResult, ...]:
    """Those that were checked, then those that the checker cannot call but the notebook calls with the tokens."""
    results = [FunctionResult(item, compare_on_arrays(run, item, inputs)) for item in checked]
    for name in _function_names(run):
        if (
            name not in {item.name for item in checked}
            and (comparison := compare_notebook_call(run, name, inputs)) is not None
        ):
            results.append(FunctionResult(CheckedFunction(name, None), comparison))
    return tuple(results)


def _unchecked(run: NotebookRun, functions: tuple[FunctionResult, ...]) -> tuple[str, ...]:
    """Notes on functions that are attention by their names and could neither be checked nor compared."""
    names = {item.checked.name for item in functions}
    others = [name for name in _function_names(run) if name not in names and _ATTENTION.search(name)]
    return tuple(f"the function {name} was not checked: its arguments are of no known form" for name in others)


def _function_names(run: NotebookRun) -> list[str]:
    return list(dict.fromkeys(node.name for node in run.tree.body if isinstance(node, ast.FunctionDef)))
