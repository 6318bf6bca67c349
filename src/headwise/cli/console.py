"""Terminal output that commands share: consoles, tables, progress bars, and what Ctrl-C prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from headwise.progress import show_progress
from headwise.shapes import Array

if TYPE_CHECKING:
    from headwise import document  # imports Matplotlib, which most commands do not need

output = Console(highlight=False, markup=False)
messages = Console(stderr=True, highlight=False, markup=False)  # must not end up in a pipe


progress_bars = partial(show_progress, messages)  # in a ``with`` statement


def running(what: str) -> Status:
    """A sign on the terminal, in a ``with`` statement, that something runs; also while the streams are redirected."""
    return Console(file=sys.stderr).status(Text(f"{what} …"))


def line_width() -> int:
    """Characters of a line of text: 96, or what a narrower terminal has."""
    return min(96, output.width) if output.is_terminal else 96


@contextmanager
def resumable(advice: str = "Run the same command again to resume", folder: Path | None = None) -> Iterator[None]:
    """On Ctrl-C inside the block, print how to resume and exit with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        results = f" (results so far are in {folder})" if folder else ""
        messages.print(f"Interrupted. {advice}{results}.", soft_wrap=True)
        raise typer.Exit(130) from None


def print_table(table: document.Table) -> None:
    """Print a table of a document without its title, as many columns at a time as fit the terminal.

    The first column is repeated; numbers are aligned to the right.
    """
    names, *others = zip(table.columns, *table.rows, strict=True)
    fit = output.width - _cell_width(names)
    parts: list[list[tuple[str, ...]]] = [[]]
    for column in others:
        if parts[-1] and sum(map(_cell_width, [*parts[-1], column])) > fit:
            parts.append([])
        parts[-1].append(column)
    for part in parts:
        rich_table = Table(box=None, padding=(0, 2, 0, 0))
        for i, (name, *_) in enumerate([names, *part]):
            rich_table.add_column(name, justify="right" if i else "left", header_style="dim", overflow="fold")
        for row in list(zip(names, *part, strict=True))[1:]:
            rich_table.add_row(*row)
        output.print(rich_table)


def _cell_width(column: Sequence[str]) -> int:
    return max(map(cell_len, column)) + 2


def print_matrix(title: str, matrix: Array, row: str, columns: Sequence[str]) -> None:
    """Print a matrix whose rows are named ``row 0``, ``row 1`` …, as many columns at a time as fit the terminal."""
    cells = [[f"{value: .4f}" for value in values] for values in matrix.tolist()]
    widest = max(len(cell) for cell in (*columns, *(cell for values in cells for cell in values)))
    fit = max(1, (output.width - len(f" {row} {len(cells)} ")) // (widest + 2))
    for start in range(0, len(columns), fit):
        table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
        table.add_column("", style="dim", no_wrap=True)
        for name in columns[start : start + fit]:
            table.add_column(name, justify="right", header_style="dim", no_wrap=True)
        for i, values in enumerate(cells):
            table.add_row(f"{row} {i}", *values[start : start + fit])
        output.print(table)
        output.print()
        title = ""
