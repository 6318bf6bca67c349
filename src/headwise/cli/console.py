"""Terminal output that commands share: consoles, tables and progress bars."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from headwise.shapes import Array

if TYPE_CHECKING:
    from headwise import document  # imports Matplotlib, which most commands do not need

__all__ = ["ProgressBars", "document_table", "matrix_table", "messages", "output", "progress_bars"]

_SECONDS_BETWEEN_LINES = 10.0

output = Console(highlight=False)
messages = Console(stderr=True, highlight=False, markup=False)  # must not end up in a pipe


class ProgressBars:
    """A progress bar for each stage of an experiment, on standard error; without a terminal, a line now and then."""

    def __init__(self, progress: RichProgress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._ended = threading.Event()

    def print_lines(self) -> None:
        """Until `end`, print the current step and the time that its stage still takes every ten seconds."""
        while not self._ended.wait(_SECONDS_BETWEEN_LINES):
            task = next((task for task in self._progress.tasks if task.id == self._task), None)
            if task is not None:
                left = task.time_remaining
                more = "" if left is None else f", {timedelta(seconds=round(left))} left for this step"
                messages.print(f"{task.description}: {task.completed:.0f} of {task.total:.0f}{more}", soft_wrap=True)

    def end(self) -> None:
        """Print no more lines."""
        self._ended.set()

    def stage(self, title: str, total: int) -> None:
        """Complete the previous stage, some of whose steps may have been cached, and begin a new one."""
        if self._task is not None:
            previous = next(task for task in self._progress.tasks if task.id == self._task)
            self._progress.update(self._task, completed=previous.total)
        self._task = self._progress.add_task(title, total=total, note="")
        if not messages.is_terminal:
            messages.print(f"{title} …")

    def advance(self, note: str = "") -> None:
        """Advance by one step."""
        if self._task is not None:
            self._progress.advance(self._task)
        if note:
            self.note(note)

    def note(self, note: str) -> None:
        """Show a note next to the bar."""
        if self._task is not None:
            self._progress.update(self._task, note=note)


@contextmanager
def progress_bars() -> Iterator[ProgressBars]:
    """Show progress bars while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with RichProgress(*columns, console=messages, disable=not messages.is_terminal) as progress:
        bars = ProgressBars(progress)
        if messages.is_terminal:
            yield bars
            return
        lines = threading.Thread(target=bars.print_lines, daemon=True)
        lines.start()
        try:
            yield bars
        finally:
            bars.end()
            lines.join()


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
