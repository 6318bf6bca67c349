"""Terminal output that commands share: consoles, tables and progress bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from headwise.progress import ProgressBars, show_progress
from headwise.shapes import Array

if TYPE_CHECKING:
    from headwise import document  # imports Matplotlib, which most commands do not need

__all__ = ["document_table", "matrix_table", "messages", "output", "progress_bars"]

output = Console(highlight=False)
messages = Console(stderr=True, highlight=False, markup=False)  # must not end up in a pipe


@contextmanager
def progress_bars() -> Iterator[ProgressBars]:
    """Show progress bars on standard error while the block runs."""
    with show_progress(messages) as bars:
        yield bars


def document_table(table: document.Table) -> Table:
    """A table of a document for the terminal, without its title; numbers are aligned to the right."""
    rich_table = Table(box=None, padding=(0, 2, 0, 0))
    for i, name in enumerate(table.columns):
        rich_table.add_column(name, justify="right" if i else "left", header_style="dim", overflow="fold")
    for row in table.rows:
        rich_table.add_row(*row)
    return rich_table


def matrix_table(title: str, matrix: Array, row: str, columns: Sequence[str]) -> Table:
    """A matrix of numbers whose rows are named ``row 0``, ``row 1`` …"""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    table.add_column("", style="dim")
    for name in columns:
        table.add_column(name, justify="right", header_style="dim", no_wrap=True)
    for i, values in enumerate(matrix.tolist()):
        table.add_row(f"{row} {i}", *(f"{value: .4f}" for value in values))
    return table
