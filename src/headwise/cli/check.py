"""``headwise check``: which mistake a file's attention has."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Annotated, Any

import typer

from headwise.checker.core import check as find_mistakes
from headwise.checker.loading import load_function
from headwise.checker.reference.conventions import Requirements
from headwise.checker.user_code.notebooks import name_cells
from headwise.cli.console import line_width, messages, running
from headwise.cli.notebook_options import NotebookFile, check_notebook, report_format
from headwise.errors import DataError


class Kind(enum.StrEnum):
    """What the function is meant to be."""

    auto = "auto"
    self_attention = "self_attention"
    multi_head = "multi_head"
    cross_attention = "cross_attention"
    attention = "attention"


AdapterOption = Annotated[
    str | None, typer.Option(help="`torch` to pass tensors, or FILE.py:NAME of a function that makes the call.")
]
WeightsOption = Annotated[str, typer.Option(help="Required orientation of the matrices: in-out, out-in or any.")]
MaskOption = Annotated[str, typer.Option(help="Required meaning of True in the mask: attends, hides or any.")]
ConventionOption = Annotated[
    list[str] | None,
    typer.Option(help="A convention that the function must follow, such as tokens-before-heads. Repeatable."),
]
ArgsOption = Annotated[str, typer.Option(help="The positional arguments, in order: X,Wv,Wq,Wk.")]
InitOption = Annotated[str | None, typer.Option(help="Arguments of a class: `d_model=12, n_heads=3`.")]
InsideOption = Annotated[str | None, typer.Option(help="The part of a module to check: layers.0.attn.")]
StrictOption = Annotated[bool, typer.Option(help="Count hazards as mistakes.")]


def load_adapter(adapter: str | None) -> Callable[..., Any] | str | None:
    """The value of `AdapterOption` as `headwise.check` takes it."""
    return adapter if adapter in (None, "torch") else load(str(adapter), "auto")[0]


def load(where: str, kind: str, requirements: Requirements | None = None) -> tuple[Callable[..., Any], str]:
    """A function of a file and the file's text; says which statements of the file failed."""
    function, source, note = load_function(where, kind, requirements)
    if note:
        messages.print(f"headwise: {where}: {note}", soft_wrap=True)
    return function, source


def check(
    file: Annotated[
        str | None, typer.Argument(help="FILE.py or FILE.ipynb; FILE:NAME if it contains several functions.")
    ] = None,
    kind: Annotated[Kind, typer.Option(help="What the function is meant to be.")] = Kind.auto,
    adapter: AdapterOption = None,
    weights: WeightsOption = "any",
    mask: MaskOption = "any",
    convention: ConventionOption = None,
    args: ArgsOption = "",
    init: InitOption = None,
    inside: InsideOption = None,
    notebook: NotebookFile = None,
    strict: StrictOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the verdict as Markdown.")] = False,
) -> None:
    """Name the mistake in attention code: a function, or a module that holds its own weights.

    The file is imported and run in this process: check only what you would run. Status 0 if the function is right, 1
    if it has a mistake (or, with --strict, a hazard), 2 if it could not be run.

    Example: `headwise check mine.py:attention`

    Example: `headwise check model.py:Net --inside layers.0.attn`

    With --notebook every attention function of a course notebook is checked, in a sandbox, on the notebook's own arrays
    too.
    """
    format = report_format(json=json, markdown=markdown)
    if (file is None) == (notebook is None):
        raise DataError("check: expected a file, or --notebook with one; got both or neither.")
    if notebook is not None:
        raise typer.Exit(0 if check_notebook(notebook, format) else 1)
    assert file is not None
    required = convention or []
    with running(f"checking {file}"):
        function, source = load(file, kind.value, Requirements.of(weights, mask, required, args))
        verdict = find_mistakes(
            function,
            kind.value,
            adapter=load_adapter(adapter),
            weights=weights,
            mask=mask,
            convention=required,
            args=args,
            init=init,
            inside=inside,
            source=source,
        )
    text = verdict.report(format, line_width()).rstrip("\n")
    print(text if json else name_cells(source, text))
    raise typer.Exit(0 if verdict.ok and not (strict and verdict.hazards) else 1)
