"""What the commands share: the terminal, its tables, its progress bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from headwise.shapes import Array

if TYPE_CHECKING:
    from headwise.document import blocks  # brings Matplotlib, which most commands do without

__all__ = ["ProgressBars", "document_table", "matrix_table", "messages", "output", "progress_bars"]

output = Console(highlight=False)
messages = Console(stderr=True, highlight=False, markup=False)  # what a pipe should not carry


class ProgressBars:
    """A bar for each stage of a study, on standard error."""

    def __init__(self, progress: RichProgress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def stage(self, title: str, total: int) -> None:
        """Finish the stage before, whose steps may have been kept from another time, and begin a new one."""
        if self._task is not None:
            before = next(task for task in self._progress.tasks if task.id == self._task)
            self._progress.update(self._task, completed=before.total)
        self._task = self._progress.add_task(title, total=total, note="")
        if not messages.is_terminal:
            messages.print(f"{title} …")

    def advance(self, note: str = "") -> None:
        """One step on."""
        if self._task is not None:
            self._progress.advance(self._task)
        if note:
            self.note(note)

    def note(self, note: str) -> None:
        """Say something beside the bar."""
        if self._task is not None:
            self._progress.update(self._task, note=note)


@contextmanager
def progress_bars() -> Iterator[ProgressBars]:
    """Progress bars while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with RichProgress(*columns, console=messages, disable=not messages.is_terminal) as progress:
        yield ProgressBars(progress)


def document_table(table: blocks.Table) -> Table:
    """A table of a document, numbers to the right; the title is not in it."""
    drawn = Table(box=None, padding=(0, 2, 0, 0))
    for i, name in enumerate(table.columns):
        drawn.add_column(name, justify="right" if i else "left", header_style="dim", overflow="fold")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn


def matrix_table(title: str, matrix: Array, row: str, columns: Sequence[str]) -> Table:
    """A matrix of numbers, its rows named ``row 0``, ``row 1`` …"""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    table.add_column("", style="dim")
    for name in columns:
        table.add_column(name, justify="right", header_style="dim", no_wrap=True)
    for i, values in enumerate(matrix.tolist()):
        table.add_row(f"{row} {i}", *(f"{value: .4f}" for value in values))
    return table
