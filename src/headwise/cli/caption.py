"""``headwise caption``: a figure and its words for attention arrays that somebody else made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import output
from headwise.cli.explain import FIGURE, TOKEN, folder_for, print_json, save_all
from headwise.data.image_files import read_image
from headwise.errors import DataError
from headwise.explain.attention_arrays import TokenLayout, from_arrays, from_saved, read_arrays
from headwise.figures.gallery import select_figures
from headwise.figures.record import AttentionRecord

__all__ = ["caption"]


def caption(
    arrays: Annotated[
        Path,
        typer.Argument(
            help="Attention weights of one image as .npz or .npy: (layers, heads, N, N), or one array a layer.",
            show_default=False,
        ),
    ],
    grid: Annotated[str | None, typer.Option(help="Rows and columns of tokens, such as 4x4.")] = None,
    patch: Annotated[str | None, typer.Option(help="Height and width of a token in pixels, such as 7x7.")] = None,
    image: Annotated[Path | None, typer.Option(help="The image, as the model saw it.")] = None,
    class_token: Annotated[
        str, typer.Option(help="Where the class token is: first, last, none, an index, or auto, from the grid.")
    ] = "auto",
    dropped: Annotated[
        bool, typer.Option(help="Tokens were cut off: rows that sum to less than one are made whole, and it is said.")
    ] = False,
    figure: Annotated[str, typer.Option(help=FIGURE)] = "maps",
    token: Annotated[int | None, typer.Option(help=TOKEN, show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; by default ARRAYS-attention beside the arrays.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print statements and files as JSON.")] = False,
) -> None:
    """Draw and caption attention weights from any framework.

    Example: `headwise caption arrays.npz --grid 4x4 --patch 7x7 --figure all`
    """
    layout = TokenLayout(_pair("--grid", grid), _pair("--patch", patch), class_token, dropped)
    figures = select_figures(_drawn(arrays, layout, image), figure, token)
    folder = folder_for(arrays, out)
    if as_json:
        print_json({}, figures, folder)
        return
    for captioned in figures:
        output.print(captioned.caption.text() + "\n", markup=False)
    save_all(figures, folder)


def _drawn(path: Path, layout: TokenLayout, image: Path | None) -> AttentionRecord:
    """The arrays of a picture that Headwise saved as they are, any others by the layout."""
    found = read_arrays(path)
    if AttentionRecord.owns(found):
        if layout != TokenLayout() or image:
            raise DataError(
                f"--grid, --patch, --image, --class-token, --dropped: expected none of them, because {path} is a "
                "picture's own file and holds its layout."
            )
        return from_saved(found)
    return from_arrays(found, layout, read_image(image) if image else None)


def _pair(option: str, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise DataError(f"{option}: expected rows x columns, such as 4x4; got {text!r}.")
    return int(match[1]), int(match[2])
