"""``headwise check``: which mistake a file's attention holds."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from headwise.checker.core import check as find_mistakes
from headwise.checker.loading import load_function
from headwise.errors import DataError

__all__ = ["Kind", "check"]


class Kind(enum.StrEnum):
    """What the function is meant to be."""

    auto = "auto"
    self_attention = "self_attention"
    multi_head = "multi_head"
    attention = "attention"


def check(
    file: Annotated[str, typer.Argument(help="FILE.py, or FILE.py:NAME where it holds several.", show_default=False)],
    kind: Annotated[Kind, typer.Option(help="What it is meant to be.")] = Kind.auto,
    adapter: Annotated[
        str | None,
        typer.Option(help="`torch` to give it tensors, or FILE.py:NAME of a function that makes the call."),
    ] = None,
    inside: Annotated[
        str | None, typer.Option(help="The part of a module to check, such as layers.0.attn.", show_default=False)
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="The arguments with which to make an instance of a class: d_model=12, n_heads=3."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the verdict as Markdown.")] = False,
) -> None:
    """Name the mistake in somebody's attention code: a function, or a module that holds its own weights.

    The file is imported and run in this process: check only what you would run. Status 0 if the function is right, 1
    if it is not, 2 if it could not be run.

    Example: `headwise check mine.py:attention`

    Example: `headwise check model.py:Net --inside layers.0.attn`
    """
    if json and markdown:
        raise DataError("--json, --markdown: expected one of them; got both.")
    function, source = load_function(file, kind.value)
    through = adapter if adapter in (None, "torch") else load_function(str(adapter))[0]
    verdict = find_mistakes(function, kind.value, adapter=through, inside=inside, init=init, source=source)
    print(verdict.report("json" if json else "markdown" if markdown else "text").rstrip("\n"))
    raise typer.Exit(0 if verdict.ok else 1)
