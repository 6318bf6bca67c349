"""``headwise report``: answer the exercise sheet on self-attention, with every number measured, in one page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from headwise.cli.console import output, progress_bars
from headwise.cli.options import Data, Out, Processes, Seed, Threads
from headwise.cli.paths import check_writable
from headwise.cli.runner import resumable
from headwise.coursework.report import BUDGETS, PARTS, build
from headwise.data.array_files import read_arrays
from headwise.errors import DataError
from headwise.experiments.tokenizers.plan import load_digits
from headwise.files import lock_folder
from headwise.parallel.threads import num_threads
from headwise.shapes import Array, bind
from headwise.text import as_text
from headwise.validation import check_counts

__all__ = ["report"]


def report(
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(PARTS)}; repeat for more.", show_default="all"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: a preview, not a result.")] = False,
    full: Annotated[bool, typer.Option("--full", help="As many seeds as a paper would have: hours.")] = False,
    arrays: Annotated[
        Path | None,
        typer.Option(help="Arrays of the coursework: .npz, or a folder of .csv.", show_default="random arrays"),
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns", help="In --arrays, tokens are the columns of X, not its rows.")
    ] = False,
    data: Data = None,
    seed: Seed = 0,
    out: Out = Path("report"),
    threads: Threads = None,
    processes: Processes = 2,
) -> None:
    """Answer the exercise sheet: run every experiment, and write the answers with figures and captions into one page.

    About seven minutes on two cores. Results that are in the folder already are reused.

    Example: `headwise report --out report`
    """
    if quick and full:
        raise DataError("--quick, --full: expected at most one of them.")
    if columns and not arrays:
        raise DataError("--columns: applies to the X in --arrays, which is missing.")
    check_counts(threads=num_threads() if threads is None else threads, processes=processes)
    check_writable(out)
    inputs: dict[str, Any] = {}
    if arrays:
        inputs = {"arrays": _read(arrays, columns), "arrays_name": _describe(arrays, columns)}
    options = {"--arrays": arrays, "--data": data, "--seed": seed or None}
    switches = {"--quick": quick, "--full": full, "--columns": columns}
    with resumable(folder=out), lock_folder(out), progress_bars() as progress:
        built = build(
            out,
            parts=tuple(part) if part else tuple(PARTS),
            budget=BUDGETS["quick" if quick else "full" if full else "default"].with_seed(seed),
            load=partial(load_digits, data),
            command=_command(part or [], switches, options),
            threads=num_threads() if threads is None else threads,
            processes=processes,
            progress=progress,
            **inputs,
        )
    for headline in built.headlines:
        output.print(f"- {as_text(headline)}", markup=False)
    printed = f", and as PDF in {built.pdf}" if built.pdf else "; no browser was found to print it as PDF"
    output.print(f"\nThe report is in {built.page}{printed}.", soft_wrap=True, markup=False)


def _read(path: Path, columns: bool) -> dict[str, Array]:
    arrays = read_arrays([path])
    if columns:
        bind("... D N", X=arrays["X"])
    return {**arrays, "X": np.ascontiguousarray(arrays["X"].mT)} if columns else arrays


def _describe(path: Path, columns: bool) -> str:
    transposed = ", whose X has a token in each column and is printed with one in each row"
    return f"those of {path.name}{transposed if columns else ''}"


def _command(parts: list[str], switches: dict[str, bool], options: Mapping[str, object]) -> str:
    """The command line without the output folder and the numbers of threads and processes."""
    words = ["headwise", "report", *(name for name, on in switches.items() if on)]
    words += [word for name in parts for word in ("--part", name)]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(words)
