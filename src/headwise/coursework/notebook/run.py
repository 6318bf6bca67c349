"""Run a course notebook in the grader's sandbox, and read the arrays and functions that it defines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headwise.checker.user_code.notebooks import notebook_code, place_in_cells
from headwise.checker.user_code.source import read_source
from headwise.errors import DataError
from headwise.files import check_file
from headwise.grading import Limits, Sandbox, SubmissionError, uses_torch

LIMITS = Limits(
    seconds_per_call=120.0, seconds_in_all=300.0, memory_mb=16384, answer_mb=256, seconds_per_statement=30.0
)
_RANDOM = re.compile(r"\brand|\bnormal_?\(|\bsample\(|\bshuffle\(|\bdefault_rng\(|\bPRNGKey\(")


@dataclass(frozen=True)
class Failure:
    """A statement of the notebook that raised an error: its cell, its source line and the error."""

    cell: int
    line: str
    error: str


@dataclass(frozen=True)
class NotebookRun:
    """A notebook whose statements have run."""

    path: Path
    source: str  # the code of all cells, each under a line with its number
    values: dict[str, Any]  # arrays, tuples of arrays and whole numbers, by the expression that gives each
    failures: tuple[Failure, ...]  # statements that failed; the others ran
    # cells that were left out, names that are assigned in several cells, numbers drawn without a seed
    notes: tuple[str, ...]
    sandbox: Sandbox  # the process, for calls of the notebook's functions

    @property
    def tree(self) -> ast.Module:
        """The code as a syntax tree."""
        return ast.parse(self.source)

    @property
    def uses_torch(self) -> bool:
        """Whether its functions may take torch's tensors."""
        return uses_torch(self.source)

    def first_failure(self) -> str:
        """The first failure in words, for messages about what is missing; empty if nothing failed."""
        if not self.failures:
            return ""
        first = self.failures[0]
        return f" Cell {first.cell} failed at “{first.line}” with {first.error}."


@contextmanager
def run_notebook(path: Path) -> Iterator[NotebookRun]:
    """Run the statements of a notebook, or of a Python file, in a sandbox that ends with the block.

    It may read the files in its folder. A statement that fails or takes too long costs only itself.

    Raises DataError if there is no such file, it is not a notebook, or its process ends early.
    """
    source, notes = _read(path)
    try:
        with Sandbox({path.name: source}, path.name, LIMITS, folder=path.parent, module="__main__") as sandbox:
            values = sandbox.values()
            failures = tuple(_failure(source, line, error) for line, error in sandbox.failed)
            notes += _assigned_again(source, values)
            notes += _unseeded(path, source, values, {line for line, _ in sandbox.failed})
            notes += [f"not confined on this system: {item}" for item in sandbox.unconfined]
            yield NotebookRun(path, source, values, failures, tuple(notes), sandbox)
    except SubmissionError as error:
        raise DataError(f"{path}: the notebook could not be run: {error}.") from None


def _read(path: Path) -> tuple[str, list[str]]:
    check_file(path)
    if path.suffix not in (".ipynb", ".py"):
        raise DataError(f"{path}: expected a notebook (.ipynb) or a Python file (.py).")
    text = read_source(path)
    try:
        if path.suffix == ".ipynb":
            return notebook_code(text)
        ast.parse(text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected a notebook; got something else ({error}).") from None
    except SyntaxError as error:
        raise DataError(f"{path}: line {error.lineno} is not Python ({error.msg}).") from None
    return text, []


def _failure(source: str, line: int, error: str) -> Failure:
    text = source.splitlines()[line - 1].strip()[:80] if line else ""
    return Failure(place_in_cells(source, line)[0], text, error)


def _assigned_again(source: str, values: dict[str, Any]) -> Iterator[str]:
    """Names of arrays that different cells assign, since only the last value counts."""
    cells: dict[str, list[int]] = {}
    for node in ast.parse(source).body:
        number, _ = place_in_cells(source, node.lineno)
        targets = node.targets if isinstance(node, ast.Assign) else []
        for name in {item.id for target in targets for item in ast.walk(target) if isinstance(item, ast.Name)}:
            if isinstance(values.get(name), np.ndarray) and number not in cells.setdefault(name, []):
                cells[name].append(number)
    for name, where in cells.items():
        if len(where) > 1:
            places = ", ".join(map(str, where[:-1]))
            yield f"{name} is assigned in cells {places} and {where[-1]}: its last value is used"


def _unseeded(path: Path, source: str, values: dict[str, Any], failed: set[int]) -> Iterator[str]:
    """Names of arrays that are others when the notebook runs again, without the lines that failed."""
    if not _RANDOM.search(source):
        return
    tree = ast.parse(source)
    source = ast.unparse(ast.Module([node for node in tree.body if node.lineno not in failed], []))
    try:
        with Sandbox({path.name: source}, path.name, LIMITS, folder=path.parent, module="__main__") as again:
            other = again.values()
    except SubmissionError:
        return
    changed = [
        name
        for name, value in values.items()
        if isinstance(value, np.ndarray) and not np.array_equal(value, other.get(name, ()), equal_nan=True)
    ]
    if changed:
        names = ", ".join(changed[:8]) + (" …" if len(changed) > 8 else "")
        yield f"drawn at random without a seed, and different each time the notebook runs: {names}"
