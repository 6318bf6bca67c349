"""``headwise diff``: which mistake takes one implementation to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from headwise.checker.diff import diff as compare
from headwise.checker.loading import load_function
from headwise.cli.check import Kind
from headwise.data.array_files import load_npz
from headwise.recorder.compare import compare_arrays

__all__ = ["diff"]


def diff(
    first: Annotated[
        str,
        typer.Argument(help="FILE.py or FILE.py:NAME; or arrays extracted elsewhere, as .npz.", show_default=False),
    ],
    second: Annotated[
        str,
        typer.Argument(
            help="What to compare it with: code; or for arrays, the .npz of `headwise capture`.", show_default=False
        ),
    ],
    kind: Annotated[Kind, typer.Option(help="What both are meant to be.")] = Kind.auto,
) -> None:
    """Say which mistakes take one implementation to another.

    Both files are imported and run in this process. Status 0 if they give the same answers, 1 if not, 2 if one of them
    could not be run.

    Arrays that were extracted elsewhere are judged against those of `headwise capture`.

    Example: `headwise diff mine.py:f theirs.py:g`
    """
    if Path(first).suffix in (".npz", ".npy"):
        _diff_arrays(Path(first), Path(second))
    (a, source_of_a), (b, source_of_b) = load_function(first, kind.value), load_function(second, kind.value)
    found = compare(a, b, kind.value, sources=(source_of_a, source_of_b))
    print(found.report().rstrip("\n"))
    raise typer.Exit(0 if found.same else 1)


def _diff_arrays(theirs: Path, ours: Path) -> NoReturn:
    """Judge extracted arrays against a capture; status 0 if they are the weights, 1 if not."""
    found = compare_arrays(load_npz(theirs, alone="weights"), load_npz(ours))
    print(f"{theirs}: {found.text}" + (f"\n{found.code}: see docs/mistakes.md" if found.code else ""))
    raise typer.Exit(0 if found.same else 1)
