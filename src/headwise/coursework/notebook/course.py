"""Everything that the report and the commands need of a course notebook, from one run of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from headwise.coursework.notebook.arrays import ArrayOptions, NotebookArrays, find_arrays
from headwise.coursework.notebook.functions import CheckedFunction, OwnArrays, check_functions, compare_on_arrays
from headwise.coursework.notebook.run import Failure, run_notebook

__all__ = ["CourseNotebook", "FunctionResult", "read_course"]


class FunctionResult(NamedTuple):
    """A function's verdict, and the comparison on the notebook's own arrays."""

    checked: CheckedFunction
    own: OwnArrays


@dataclass(frozen=True)
class CourseNotebook:
    """A notebook's arrays and functions.

    Attributes
    ----------
    path : Path
    found : NotebookArrays
    functions : tuple of FunctionResult
    failures : tuple of Failure
    notes : tuple of str
    """

    path: Path
    found: NotebookArrays
    functions: tuple[FunctionResult, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]


def read_course(path: Path, options: ArrayOptions | None = None) -> CourseNotebook:
    """Run a notebook, find its arrays, and check its functions.

    Raises
    ------
    DataError, ShapeError
        As `run_notebook` and `find_arrays`.
    """
    with run_notebook(path) as run:
        checked = check_functions(run)
        multi = sorted(checked, key=lambda item: item.verdict.kind != "multi_head")
        usable = [item for item in multi if item.verdict.kind in ("self_attention", "multi_head")]
        found = find_arrays(run, options or ArrayOptions(), [(item.name, item.verdict.conventions) for item in usable])
        functions = tuple(FunctionResult(item, compare_on_arrays(run, item, found)) for item in checked)
        return CourseNotebook(path, found, functions, run.failures, run.notes)
