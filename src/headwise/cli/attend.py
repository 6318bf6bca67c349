"""``headwise attend``: multi-head self-attention on arrays from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from headwise.attention import AttentionResult, multi_head_attention
from headwise.cli.console import matrix_table, output
from headwise.cli.paths import check_writable_file
from headwise.data.array_files import coursework_arrays, read_arrays
from headwise.errors import DataError
from headwise.files import atomic_write

__all__ = ["attend"]


def attend(
    arrays: Annotated[
        list[Path] | None,
        typer.Argument(
            help="An .npz file, .npy or .csv files named for their array, or a folder of them: X, Wq, Wk, Wv and "
            "optionally Wo, bq, bk, bv, bo; by default the coursework's arrays.",
            show_default=False,
        ),
    ] = None,
    heads: Annotated[
        int, typer.Option("--heads", "-H", help="Number of heads; must divide the rows of the matrices.")
    ] = 1,
    columns: Annotated[bool, typer.Option("--columns", help="Tokens are the columns of X, not its rows.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write output and weights to this .npz file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in full precision.")] = False,
) -> None:
    """Print the attention weights and the output of multi-head self-attention.

    Example: `headwise attend X.csv Wq.csv Wk.csv Wv.csv --heads 3`
    """
    if out is not None and out.suffix != ".npz":
        raise DataError(f"--out: expected a file ending in .npz; got {out}.")
    if out is not None:
        check_writable_file(out)
    inputs: dict[str, Any] = read_arrays(arrays) if arrays else coursework_arrays()
    x = inputs.pop("X")
    result = multi_head_attention(x, **inputs, heads=heads, tokens="columns" if columns else "rows")
    if out is not None:
        with atomic_write(out) as tmp_path:
            np.savez(tmp_path, allow_pickle=False, output=result.output, weights=result.weights)
    if as_json:
        print(json.dumps({name: array.tolist() for name, array in result._asdict().items()}))
    else:
        _print(result, columns)


def _print(result: AttentionResult, columns: bool) -> None:
    """Print a table for each matrix, and those of a batch one after the other."""
    *batch, heads, n, _ = result.weights.shape
    tokens = [str(i) for i in range(n)]
    for item in np.ndindex(*batch):
        prefix = f"item {', '.join(map(str, item))}: " if item else ""
        for h in range(heads):
            title = f"{prefix}attention weights, head {h}"
            output.print(matrix_table(title, result.weights[(*item, h)], "output", tokens))
            output.print()
        matrix = result.output[item]
        names = tokens if columns else [str(i) for i in range(matrix.shape[1])]
        title = f"{prefix}output, one {'column' if columns else 'row'} per token"
        output.print(matrix_table(title, matrix, "feature" if columns else "output", names))
        output.print()
