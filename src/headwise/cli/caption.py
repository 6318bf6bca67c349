"""``headwise caption``: captioned figures of attention arrays from any framework."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import output
from headwise.cli.explanations import AllHeads, Figure, Full, Scale, Token, output_folder, print_json, save
from headwise.cli.inputs import parse_size
from headwise.errors import DataError
from headwise.explanation import Explanation, TokenLayout, from_arrays, from_saved, read_arrays
from headwise.explanation.display import read_colors
from headwise.figures import AttentionRecord, View, select_figures
from headwise.files import check_file


def caption(
    arrays: Annotated[
        Path,
        typer.Argument(
            help="Attention weights of one image as .npz or .npy: (layers, heads, N, N), or one array per layer."
        ),
    ],
    grid: Annotated[str | None, typer.Option(help="Rows and columns of tokens, such as 4x4.")] = None,
    patch: Annotated[str | None, typer.Option(help="Height and width of a token in pixels, such as 7x7.")] = None,
    image: Annotated[Path | None, typer.Option(help="The image, as the model sees it.")] = None,
    class_token: Annotated[
        str, typer.Option(help="Position of the class token: first, last, none, an index, or auto, from the grid.")
    ] = "auto",
    prefix: Annotated[
        int | None,
        typer.Option(min=0, help="Number of tokens before those of the image, such as class token and registers."),
    ] = None,
    index: Annotated[int | None, typer.Option(help="Which item of a batch, for arrays with a batch axis.")] = None,
    tokens: Annotated[
        Path | None, typer.Option(help="File with the words of a text, one per line, instead of a grid.")
    ] = None,
    resize: Annotated[bool, typer.Option("--resize", help="Resize an image of another size.")] = False,
    dropped: Annotated[
        bool,
        typer.Option(help="Tokens were removed: normalise rows that sum to less than one, and say so in the caption."),
    ] = False,
    figure: Figure = "auto",
    token: Token = None,
    scale: Scale = "auto",
    all_heads: AllHeads = False,
    full: Full = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; by default ARRAYS-attention next to the arrays.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print captions and files as JSON.")] = False,
) -> None:
    """Draw and caption attention weights from any framework.

    Example: `headwise caption arrays.npz --grid 4x4 --patch 7x7 --figure all`
    """
    check_file(arrays)
    with output_folder(arrays, out) as folder:
        words = _read_words(tokens) if tokens else ()
        sizes = parse_size("--grid", grid), parse_size("--patch", patch)
        layout = TokenLayout(*sizes, class_token, dropped, prefix, index, resize, words)
        record, view = _read_record(arrays, layout, image), View(scale, all_heads)
        explanation = Explanation(tuple(select_figures(record, figure, token, view=view)))
        if as_json:
            print_json(explanation, folder)
            return
        output.print(explanation.text(full=full) + "\n")
        save(explanation, folder)


def _read_record(path: Path, layout: TokenLayout, image: Path | None) -> AttentionRecord:
    """Read arrays that Headwise saved as they are, and others with this layout."""
    arrays = read_arrays(path)
    if AttentionRecord.is_record(arrays):
        if layout != TokenLayout() or image:
            raise DataError(
                "--grid, --patch, --image and the other options of the layout: expected none of them, because "
                f"{path} was saved by Headwise and contains its layout."
            )
        return from_saved(arrays)
    return from_arrays(arrays, layout, read_colors(image) if image else None)


def _read_words(path: Path) -> tuple[str, ...]:
    check_file(path, "--tokens: ")
    try:
        return tuple(path.read_text(encoding="utf-8-sig").splitlines())
    except UnicodeDecodeError:
        raise DataError(f"--tokens: {path}: expected text in UTF-8, one word a line.") from None
