"""How far an estimator's training is, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headwise.errors import MissingExtraError
from headwise.train.loop import Epoch

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(verbose: int, epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """What to call after each epoch: a bar moves on if `verbose`, and nothing happens if not."""
    if not verbose:
        yield lambda epoch: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        raise MissingExtraError("a progress bar (verbose)", "rich", "lab") from None
    columns = (
        TextColumn("epoch"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=epochs, at="")

        def on_epoch(epoch: Epoch) -> None:
            reached = f"loss {epoch.train_loss:.3f}"
            if epoch.validation_loss is not None:
                reached += f", validation {epoch.validation_loss:.3f}"
            progress.update(task, advance=1, at=reached)

        yield on_epoch
