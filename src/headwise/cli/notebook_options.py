"""Options of the commands that read a course notebook."""

from __future__ import annotations

import ast
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headwise.checker.diff import Difference, diff
from headwise.cli.console import messages
from headwise.coursework.notebook import ArrayOptions, CourseNotebook, check_functions, read_functions, run_notebook
from headwise.errors import DataError, HeadwiseError
from headwise.text import capitalize_first

ReportFormat = Literal["text", "markdown", "json"]


class Orientation(enum.StrEnum):
    """The orientation of the matrices."""

    out_in = "out-in"
    in_out = "in-out"


NotebookFile = Annotated[
    Path | None,
    typer.Option(
        "--notebook",
        help="A course notebook (.ipynb), whose code runs in a sandbox and whose arrays and functions are used.",
    ),
]
Columns = Annotated[
    bool | None, typer.Option("--columns/--rows", help="Tokens are the columns of X, or its rows.", show_default="rows")
]
Matrices = Annotated[
    Orientation | None,
    typer.Option("--weights", help="Orientation of the matrices: q = W x is out-in.", show_default="out-in"),
]
Heads = Annotated[
    int | None, typer.Option("--heads", "-H", min=1, help="Number of heads; must divide the rows of the matrices.")
]
Take = Annotated[
    list[str] | None,
    typer.Option(
        "--take",
        help="Which array of the notebook to take: X=all_x, or Wq=omega_q1,omega_q2 for one per head. Repeatable.",
    ),
]


def array_options(
    heads: int | None, columns: bool | None, weights: Orientation | None, take: Sequence[str] | None
) -> ArrayOptions:
    """The options as the coursework takes them; raises DataError if ``--take`` has another form than ROLE=NAME."""
    expressions = {}
    for text in take or ():
        role, equals, names = text.partition("=")
        try:
            items = ast.parse(f"({names.strip()},)", mode="eval").body if equals and names.strip() else None
        except (SyntaxError, ValueError):
            items = None
        if not isinstance(items, ast.Tuple):
            raise DataError(f"--take: expected ROLE=NAME, such as X=all_x; got {text}.")
        expressions[role.strip()] = tuple(ast.unparse(item) for item in items.elts)
    return ArrayOptions(heads, columns, None if weights is None else weights is Orientation.in_out, expressions)


def report_format(*, json: bool, markdown: bool) -> ReportFormat:
    """The format of a report by the options --json and --markdown, which exclude each other."""
    if json and markdown:
        raise DataError("--json, --markdown: expected one of them; got both.")
    return "json" if json else "markdown" if markdown else "text"


def check_notebook(path: Path, format: ReportFormat) -> bool:
    """Print the verdict on each attention function of a notebook, and how it does on the notebook's own arrays.

    Returns whether all are right.
    """
    functions, notes = read_functions(path)
    for checked, comparison in functions:
        if checked.verdict is not None:
            print(checked.report(format))
        if format != "json":
            if checked.verdict is None:
                print(f"{checked.name}: not checked, since its arguments are of no known form.")
            call = f"{comparison.call} " if comparison.call else ""
            print(f"\nOn the notebook's arrays: {call}{comparison.description}.\n")
    for note in notes:
        messages.print(f"{capitalize_first(note)}.", soft_wrap=True)
    return all(
        comparison.agrees if checked.verdict is None else checked.verdict.ok for checked, comparison in functions
    )


def diff_notebook(
    function: Callable[..., Any], source: str, path: Path, options: Mapping[str, Any]
) -> Iterator[Difference]:
    """Compare a function with each attention function of a notebook that is of its kind."""
    problem = "none can be called as attention."
    compared = False
    with run_notebook(path) as run:
        names = [item.name for item in check_functions(run)[0] if item.form == "function" and not item.weights]
        for name in names:
            for tensors in (False, True) if run.uses_torch else (False,):
                other = run.sandbox.function(name, tensors=tensors)
                try:
                    result = diff(function, other, sources=(source, run.source), **options)
                except HeadwiseError as error:
                    problem = f"{name}: {error}"
                    continue
                yield result
                compared = True
                break
    if not compared:
        raise DataError(f"{path}: no function of it can be compared; {problem}")


def notebook_lines(course: CourseNotebook) -> list[str]:
    """What was found in a notebook, what was assumed, and what failed, one sentence a line."""
    inputs = course.inputs
    lines = [
        f"{item.name} {'×'.join(map(str, item.shape))}: {item.role}, {item.orientation}" for item in inputs.findings
    ]
    lines += [f"Orientation: {inputs.reason}."] if inputs.reason else []
    lines += [f"Assumed: {text}" for text in inputs.assumptions]
    lines += [f"Cell {item.cell} failed at “{item.line}”: {item.error}" for item in course.failures]
    return lines + [f"{capitalize_first(note)}." for note in course.notes]
