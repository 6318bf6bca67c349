"""Long commands: how to resume after Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from headwise.cli.console import messages


@contextmanager
def resumable(advice: str = "Run the same command again to resume", folder: Path | None = None) -> Iterator[None]:
    """On Ctrl-C inside the block, print how to resume and exit with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        results = f" (results so far are in {folder})" if folder else ""
        messages.print(f"Interrupted. {advice}{results}.", soft_wrap=True)
        raise typer.Exit(130) from None
