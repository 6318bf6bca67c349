"""``headwise explain``: the captioned picture of what a model attends to in one digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import output
from headwise.data.pictures import read_picture
from headwise.errors import DataError
from headwise.picture.text import as_text
from headwise.studies.explaining import Explained
from headwise.studies.explaining import explain as explain_digit
from headwise.train.checkpoint import load_vit, shipped_vit

__all__ = ["explain"]


def explain(
    digit: Annotated[Path, typer.Argument(help="An image of a handwritten digit, of any size.", show_default=False)],
    model: Annotated[
        Path | None, typer.Option(help="Weights from `headwise train`; by default those that ship.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the picture, its arrays and its caption; by default DIGIT-attention beside the image."
        ),
    ] = None,
    label: Annotated[int, typer.Option(help="The true digit, if it is known.", show_default=False)] = -1,
    as_json: Annotated[bool, typer.Option("--json", help="Print probabilities, statements and files as JSON.")] = False,
) -> None:
    """Draw and caption what a vision transformer attends to in one digit.

    Example: `headwise explain digit.png --out explained`
    """
    saved = load_vit(model) if model else shipped_vit()
    picture = read_picture(digit)
    if not -1 <= label < saved.model.classes:
        raise DataError(f"--label: expected 0 to {saved.model.classes - 1}; got {label}.")
    explained = explain_digit(picture.image, saved.params, saved.model, label=label)
    folder = out or digit.with_name(f"{digit.stem}-attention")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out: {folder} is a file; name a folder.")
    if as_json:
        _print_json(explained, picture.prepared, explained.save(folder / "attention"))
        return
    # the answer first: the files take longer than all that went before
    output.print(explained.caption.text(), markup=False)
    output.print(f"\nThe image: {picture.prepared}.")
    explained.save(folder / "attention")
    output.print(f"Picture, arrays and caption are in {folder}.", soft_wrap=True, markup=False)


def _print_json(explained: Explained, prepared: str, files: list[Path]) -> None:
    statements = [as_text(statement) for part in explained.caption.parts.values() for statement in part]
    told = {
        "probabilities": [round(float(p), 6) for p in explained.drawn.probabilities],
        "prepared": prepared,
        "caption": statements,
        "files": [str(path) for path in files],
    }
    print(json.dumps(told, ensure_ascii=False))
