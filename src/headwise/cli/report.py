"""``headwise report``: answer the exercise sheet on self-attention, with every number measured, in one page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from headwise.cli.console import output, progress_bars, resumable
from headwise.cli.notebook_options import Columns, Heads, Matrices, NotebookFile, Take, array_options
from headwise.cli.options import Data, Out, Processes, Seed, Threads
from headwise.cli.paths import check_outside, check_writable
from headwise.coursework.notebook import ArrayOptions, read_course
from headwise.coursework.report import BUDGETS, PARTS, build, write_hints
from headwise.data.array_files import read_arrays
from headwise.errors import DataError
from headwise.experiments.tokenizers.plan import load_digits
from headwise.files import lock_folder
from headwise.grading import read_class
from headwise.parallel.threads import num_threads
from headwise.shapes import Array, bind
from headwise.text import as_text
from headwise.validation import check_counts


def report(
    part: Annotated[
        list[str] | None, typer.Option(help=f"Only this part: {', '.join(PARTS)}. Repeatable.", show_default="all")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: a preview, not a result.")] = False,
    full: Annotated[bool, typer.Option("--full", help="As many seeds as a paper would have: hours.")] = False,
    arrays: Annotated[
        Path | None,
        typer.Option(help="Arrays of the coursework: .npz, or a folder of .csv.", show_default="random arrays"),
    ] = None,
    notebook: NotebookFile = None,
    heads: Heads = None,
    columns: Columns = None,
    weights: Matrices = None,
    take: Take = None,
    hints: Annotated[
        bool, typer.Option("--hints", help="Only write the questions with methods and checks, without answers.")
    ] = False,
    solutions: Annotated[
        Path | None, typer.Option(help="Folder of submissions, whose answers are shown next to the right ones.")
    ] = None,
    data: Data = None,
    seed: Seed = 0,
    out: Out = Path("report"),
    threads: Threads = None,
    processes: Processes = 2,
) -> None:
    """Answer the exercise sheet: run every experiment, and write the answers with figures and captions into one page.

    This takes minutes; the page can be read while it grows. Results already in the folder are reused.

    Example: `headwise report --out report`

    Example: `headwise report --notebook course.ipynb`
    """
    if quick and full:
        raise DataError("--quick, --full: expected at most one of them.")
    if arrays and notebook:
        raise DataError("--arrays, --notebook: expected at most one of them.")
    if (columns is not None or weights is not None) and not (arrays or notebook):
        raise DataError("--columns, --weights: apply to the arrays of --arrays or --notebook, which is missing.")
    if take and not notebook:
        raise DataError("--take: applies to a notebook; name one with --notebook.")
    check_counts(threads=num_threads() if threads is None else threads, processes=processes)
    if solutions is not None:
        read_class(solutions)
        check_outside(out, solutions)
    check_writable(out)
    if data is not None:
        load_digits(data)  # what cannot be read is reported before anything is computed
    inputs = _inputs(arrays, notebook, array_options(heads, columns, weights, take))
    options = {"--arrays": arrays, "--notebook": notebook, "--heads": heads, "--weights": weights, "--data": data}
    options |= {"--seed": seed or None, "--solutions": solutions}
    switches = {"--quick": quick, "--full": full, "--columns": bool(columns)}
    if hints:
        for path in write_hints(out, tuple(part) if part else tuple(PARTS), inputs.get("course")):
            output.print(f"Wrote {path}", soft_wrap=True)
        return
    with resumable(folder=out), lock_folder(out), progress_bars() as progress:
        built = build(
            out,
            parts=tuple(part) if part else tuple(PARTS),
            budget=BUDGETS["quick" if quick else "full" if full else "default"].with_seed(seed),
            load=partial(load_digits, data),
            solutions=solutions,
            command=_command(part or [], switches, options, take or []),
            threads=num_threads() if threads is None else threads,
            processes=processes,
            progress=progress,
            **inputs,
        )
    for headline in built.headlines:
        output.print(f"- {as_text(headline)}")
    pdf_text = f", and as PDF in {built.pdf}" if built.pdf else "; no browser was found to print it as PDF"
    output.print(f"\nThe worked solution is in {', '.join(map(str, built.solution))}.", soft_wrap=True)
    output.print(f"\nThe report is in {built.page}{pdf_text}.", soft_wrap=True)


def _inputs(arrays: Path | None, notebook: Path | None, options: ArrayOptions) -> dict[str, Any]:
    """The arrays of files or of a notebook, as `build` takes them."""
    if notebook is not None:
        return {"course": read_course(notebook, options)}
    heads = {"heads": options.heads} if options.heads else {}
    if arrays is None:
        return dict(heads)
    values: dict[str, Array] = read_arrays([arrays], in_out=bool(options.in_out))
    if options.columns:
        bind("... D N", X=values["X"])
        values["X"] = np.ascontiguousarray(values["X"].mT)
    return {"arrays": values, "arrays_name": _describe(arrays, bool(options.columns)), **heads}


def _describe(path: Path, columns: bool) -> str:
    transposed = ", whose X has a token in each column and is printed with one in each row"
    return f"those of {path.name}{transposed if columns else ''}"


def _command(parts: list[str], switches: dict[str, bool], options: Mapping[str, object], take: Sequence[str]) -> str:
    """The command line without the output folder and the numbers of threads and processes."""
    words = ["headwise", "report", *(name for name, on in switches.items() if on)]
    words += [word for name in parts for word in ("--part", name)]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += [word for expression in take for word in ("--take", expression)]
    return shlex.join(words)
