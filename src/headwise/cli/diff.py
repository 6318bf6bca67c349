"""``headwise diff``: which mistake takes one implementation to another."""

from __future__ import annotations

from typing import Annotated

import typer

from headwise.checker.diff import diff as compare
from headwise.checker.loading import load_function
from headwise.cli.check import Kind

__all__ = ["diff"]


def diff(
    first: Annotated[str, typer.Argument(help="FILE.py or FILE.py:NAME.", show_default=False)],
    second: Annotated[str, typer.Argument(help="The one to compare it with.", show_default=False)],
    kind: Annotated[Kind, typer.Option(help="What both are meant to be.")] = Kind.auto,
) -> None:
    """Say which mistakes take one implementation to another.

    Both files are imported and run in this process. Status 0 if they give the same answers, 1 if not, 2 if one of them
    could not be run.

    Example: `headwise diff mine.py:f theirs.py:g`
    """
    (a, source_of_a), (b, source_of_b) = load_function(first, kind.value), load_function(second, kind.value)
    found = compare(a, b, kind.value, sources=(source_of_a, source_of_b))
    print(found.report().rstrip("\n"))
    raise typer.Exit(0 if found.same else 1)
