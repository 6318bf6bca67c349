"""``headwise attend``: multi-head self-attention on arrays from files or a notebook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import typer

from headwise.attention import AttentionResult, multi_head_attention
from headwise.cli.console import messages, output, print_matrix
from headwise.cli.notebook_options import Columns, Heads, Matrices, NotebookFile, Take, array_options, notebook_lines
from headwise.cli.paths import check_writable_file
from headwise.coursework.notebook import ArrayOptions, read_course
from headwise.coursework.steps import causal_multi_head
from headwise.data.array_files import coursework_arrays, read_arrays
from headwise.errors import DataError
from headwise.files import atomic_write
from headwise.shapes import bind


class _Inputs(NamedTuple):
    """X (N, D) or (D, N), matrices (out, in), the number of heads, and what to say about them."""

    arrays: dict[str, Any]
    heads: int
    columns: bool
    in_out: bool
    lines: list[str]


def attend(
    arrays: Annotated[
        list[Path] | None,
        typer.Argument(
            help="An .npz file, .npy or .csv files named for their array, a folder of them, or a notebook: X, Wq, Wk, "
            "Wv and optionally Wo, bq, bk, bv, bo; by default the coursework's arrays."
        ),
    ] = None,
    heads: Heads = None,
    columns: Columns = None,
    weights: Matrices = None,
    causal: Annotated[bool, typer.Option("--causal", help="Token n attends to the tokens up to n only.")] = False,
    notebook: NotebookFile = None,
    take: Take = None,
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
    options = array_options(heads, columns, weights, take)
    inputs = _from_notebook(arrays, notebook, options) or _from_files(arrays, options)
    result = _attend(inputs, causal)
    if out is not None:
        with atomic_write(out) as tmp_path:
            np.savez(tmp_path, allow_pickle=False, output=result.output, weights=result.weights)
    lines = [*inputs.lines, _convention(inputs, causal)]
    if as_json:
        for line in inputs.lines:
            messages.print(line, soft_wrap=True)
        fields = {name: array.tolist() for name, array in result._asdict().items()}
        print(json.dumps({**fields, "convention": _convention(inputs, causal)}))
    else:
        for line in lines:
            output.print(line, soft_wrap=True)
        output.print()
        _print(result, inputs.columns)


def _from_notebook(paths: Sequence[Path] | None, notebook: Path | None, options: ArrayOptions) -> _Inputs | None:
    named = [path for path in paths or () if path.suffix == ".ipynb"]
    if not named and notebook is None:
        if options.take:
            raise DataError("--take: applies to a notebook; name one with --notebook.")
        return None
    if len(paths or ()) + (notebook is not None) > 1:
        raise DataError("arrays: expected one notebook, or files of arrays; got both or several.")
    course = read_course(notebook or named[0], options)
    inputs = course.inputs
    arrays = dict(inputs.arrays)
    if inputs.columns:
        arrays["X"] = np.ascontiguousarray(arrays["X"].T)
    return _Inputs(arrays, inputs.heads, inputs.columns, inputs.in_out, notebook_lines(course))


def _from_files(paths: Sequence[Path] | None, options: ArrayOptions) -> _Inputs:
    in_out = bool(options.in_out)
    arrays: dict[str, Any] = read_arrays(paths, in_out=in_out) if paths else coursework_arrays()
    return _Inputs(arrays, options.heads or 1, bool(options.columns), in_out, [])


def _attend(inputs: _Inputs, causal: bool) -> AttentionResult:
    arrays = dict(inputs.arrays)
    x = arrays.pop("X")
    tokens: Literal["rows", "columns"] = "columns" if inputs.columns else "rows"
    result = multi_head_attention(x, **arrays, heads=inputs.heads, tokens=tokens)  # checks all shapes
    if not causal:
        return result
    if inputs.columns:
        bind("... D N", X=x)
        result = causal_multi_head(x.mT, arrays, inputs.heads)
        return AttentionResult(result.output.mT, result.weights)
    return causal_multi_head(x, arrays, inputs.heads)


def _convention(inputs: _Inputs, causal: bool) -> str:
    """How the arrays were read, in one line."""
    matrices = "(in, out), q = Wᵀ x" if inputs.in_out else "(out, in), q = W x"
    other = "" if inputs.lines else f" ({'--weights out-in' if inputs.in_out else '--weights in-out'} for the other)"
    return (
        f"Tokens are the {'columns' if inputs.columns else 'rows'} of X; matrices are {matrices}{other}; row n of the "
        f"weights belongs to output n; H = {inputs.heads}, logits divided by √(D/H)"
        + ("; token n attends to tokens up to n." if causal else ".")
    )


def _print(result: AttentionResult, columns: bool) -> None:
    """Print a table for each matrix, and those of a batch one after the other."""
    *batch, heads, n, _ = result.weights.shape
    tokens = [str(i) for i in range(n)]
    for item in np.ndindex(*batch):
        prefix = f"item {', '.join(map(str, item))}: " if item else ""
        for h in range(heads):
            title = f"{prefix}attention weights, head {h}"
            print_matrix(title, result.weights[(*item, h)], "output", tokens)
        matrix = result.output[item]
        names = tokens if columns else [str(i) for i in range(matrix.shape[1])]
        title = f"{prefix}output, one {'column' if columns else 'row'} per token"
        print_matrix(title, matrix, "feature" if columns else "output", names)
