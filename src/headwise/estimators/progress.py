"""A progress bar for the training of an estimator, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headwise.errors import MissingExtraError
from headwise.train.loop import Epoch

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(verbose: int, epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """A callback for each epoch, which advances a progress bar if `verbose`."""
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
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=epochs, losses="")

        def on_epoch(epoch: Epoch) -> None:
            losses = f"loss {epoch.train_loss:.3f}"
            if epoch.validation_loss is not None:
                losses += f", validation {epoch.validation_loss:.3f}"
            progress.update(task, advance=1, losses=losses)

        yield on_epoch
