"""What `explain` and `caption` share: options, the output folder, saving and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import output
from headwise.cli.paths import check_writable
from headwise.explanation import Explanation
from headwise.figures import SCALES, figure_names
from headwise.files import lock_folder
from headwise.text import as_text

Figure = Annotated[
    str, typer.Option(help=f"Which figure: {', '.join(figure_names())}, all, or auto for the one that suits the input.")
]
Token = Annotated[
    int | None,
    typer.Option(help="Show the attention of one token: 1 for the first in reading order, 0 for the class token."),
]
Scale = Annotated[str, typer.Option(help=f"Colour scales: {', '.join(SCALES)}.")]
AllHeads = Annotated[bool, typer.Option("--all", help="Draw every head of a model that has many.")]
Full = Annotated[bool, typer.Option("--full", help="Print the full captions; they are in the files in any case.")]


@contextmanager
def output_folder(source: Path, out: Path | None) -> Iterator[Path]:
    """The folder for the files, `out` or a new one next to the source, which no other process writes to meanwhile."""
    folder = out or source.with_name(f"{source.stem}-attention")
    check_writable(folder)
    with lock_folder(folder):
        yield folder


def save(explanation: Explanation, folder: Path) -> None:
    """Write every figure with its arrays and caption, and print where they are."""
    explanation.save(folder)
    output.print(f"Figures, arrays and captions are in {folder}.", soft_wrap=True)


def print_json(explanation: Explanation, folder: Path, other: Mapping[str, object] | None = None) -> None:
    """Write every file, and print captions and paths as JSON, after `other` content."""
    captions = explanation.captions.values()
    content = {
        **(other or {}),
        "short": [caption.text() for caption in captions],
        "caption": [as_text(statement) for c in captions for part in c.parts.values() for statement in part],
        "alternative": [caption.alt() for caption in captions],
        "files": [str(path) for path in explanation.save(folder)],
    }
    print(json.dumps(content))
