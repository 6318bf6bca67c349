"""Progress of a long computation; user interfaces decide how to show it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from headwise.errors import require_extra

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Notified of each stage and of each step in it."""

    def stage(self, title: str, total: int) -> None:
        """Start a stage of `total` steps; the previous one is complete."""

    def advance(self, note: str = "") -> None:
        """Complete one step."""

    def message(self, text: str) -> None:
        """Show a line that stays."""


class NoProgress:
    """Shows nothing."""

    def stage(self, title: str, total: int) -> None:
        """Show nothing."""

    def advance(self, note: str = "") -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""


class ProgressBars:
    """A progress bar for each stage; where bars are disabled, a line for each stage and another now and then."""

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
                line = f"{task.description}: {task.completed:.0f} of {task.total:.0f}{more}"
                self._progress.console.print(line, soft_wrap=True)

    def end(self) -> None:
        """Print no more lines."""
        self._ended.set()

    def stage(self, title: str, total: int) -> None:
        """Complete the previous stage, some of whose steps may have been cached, and begin a new one."""
        if self._task is not None:
            previous = next(task for task in self._progress.tasks if task.id == self._task)
            self._progress.update(self._task, completed=previous.total)
        self._task = self._progress.add_task(title, total=total, note="")
        if self._progress.disable:
            self._progress.console.print(f"{title} …")

    def advance(self, note: str = "") -> None:
        """Advance by one step."""
        if self._task is not None:
            self._progress.advance(self._task)
        if note:
            self.note(note)

    def message(self, text: str) -> None:
        """Print a line, above the bars."""
        self._progress.console.print(text, soft_wrap=True)

    def note(self, note: str) -> None:
        """Show a note next to the bar."""
        if self._task is not None:
            self._progress.update(self._task, note=note)


@contextmanager
def show_progress(console: Console | None = None, *, always: bool = False) -> Iterator[ProgressBars]:
    """Show progress bars while the block runs, on standard error or on this console.

    Bars are disabled where the console is no terminal, such as a log or a notebook, unless `always` is set.

    Raises MissingExtraError if rich is not installed.
    """
    with require_extra("a progress bar", "rich", "lab"):
        from rich import progress as bars
        from rich.console import Console
    console = console or Console(stderr=True, highlight=False, markup=False)
    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(bar_width=24),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with bars.Progress(*columns, console=console, disable=not (always or console.is_terminal)) as progress:
        progress_bars = ProgressBars(progress)
        if not progress.disable:
            yield progress_bars
            return
        lines = threading.Thread(target=progress_bars.print_lines, daemon=True)
        lines.start()
        try:
            yield progress_bars
        finally:
            progress_bars.end()
            lines.join()
