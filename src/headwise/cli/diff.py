"""``headwise diff``: which mistake takes one implementation to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from headwise.checker.diff import diff as compare
from headwise.checker.reference.conventions import Requirements
from headwise.cli.check import (
    AdapterOption,
    ArgsOption,
    ConventionOption,
    InitOption,
    InsideOption,
    Kind,
    MaskOption,
    StrictOption,
    WeightsOption,
    load,
    load_adapter,
)
from headwise.cli.console import running
from headwise.cli.inputs import text_or_path
from headwise.cli.notebook_options import NotebookFile, diff_notebook, report_format
from headwise.data.array_files import load_npz
from headwise.errors import DataError
from headwise.models import open_model
from headwise.models.comparison import compare_models
from headwise.recorder.compare import compare_arrays


def diff(
    first: Annotated[
        str,
        typer.Argument(
            help="FILE.py or FILE.py:NAME; a model: a folder, .gguf, .onnx; or arrays extracted elsewhere, as .npz."
        ),
    ],
    second: Annotated[
        str | None,
        typer.Argument(help="What to compare it with: code or a model; or for arrays, the .npz of `headwise capture`."),
    ] = None,
    kind: Annotated[Kind, typer.Option(help="What both are meant to be.")] = Kind.auto,
    adapter: AdapterOption = None,
    weights: WeightsOption = "any",
    mask: MaskOption = "any",
    convention: ConventionOption = None,
    args: ArgsOption = "",
    init: InitOption = None,
    inside: InsideOption = None,
    notebook: NotebookFile = None,
    strict: StrictOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the comparison as Markdown.")] = False,
    input: Annotated[
        str | None,
        typer.Option(
            help="For models: a text, an image file, or arrays as .npz; random by default. With it, two objects "
            "of .py files are compared as models too."
        ),
    ] = None,
) -> None:
    """Name the mistakes in which two implementations, or two models, differ.

    Both files are imported and run in this process. Status 0 if they return the same outputs (with --strict, also in
    edge cases), 1 if not, 2 if one of them could not be run.

    For two models, it names the first layer in which they differ, and the mistake that explains the difference if one
    of them is a folder or a .gguf file. Arrays extracted elsewhere are compared with those of `headwise capture`.

    Example: `headwise diff mine.py:f theirs.py:g`

    With --notebook in place of the second, the attention functions of a course notebook that are of the first's kind
    are compared with it, in a sandbox.
    """
    format = report_format(json=json, markdown=markdown)
    if (second is None) == (notebook is None):
        raise DataError("diff: expected a second file, or --notebook with one; got both or neither.")
    if second is not None and Path(first).suffix in (".npz", ".npy"):
        _diff_arrays(Path(first), Path(second))
    if second is not None and (input is not None or any(map(_is_model, (first, second)))):
        _diff_models(first, second, input)
    options: dict[str, Any] = {"kind": kind.value, "weights": weights, "mask": mask, "convention": convention or []}
    requirements = Requirements.of(weights, mask, options["convention"], args)
    options |= {"adapter": load_adapter(adapter), "args": args, "init": init, "inside": inside}
    with running(f"comparing {first} and {second or notebook}"):
        a, source_of_a = load(first, kind.value, requirements)
        if notebook is not None:
            results = list(diff_notebook(a, source_of_a, notebook, options))
        else:
            b, source_of_b = load(str(second), kind.value, requirements)
            results = [compare(a, b, sources=(source_of_a, source_of_b), **options)]
    same = True
    for result in results:
        print(result.report(format).rstrip("\n"))
        same &= result.same and not (strict and bool(result.added or result.removed or result.edge_cases))
    raise typer.Exit(0 if same else 1)


def _is_model(where: str) -> bool:
    """Whether an argument is a model on disk, and not code."""
    return Path(where).is_dir() or Path(where).suffix in (".gguf", ".onnx", ".safetensors")


def _diff_models(first: str, second: str, input: str | None) -> NoReturn:
    """Compare two models; status 0 if they agree, 1 if not."""
    value: Any = input
    if input is not None and Path(input).suffix in (".npz", ".npy"):
        arrays = load_npz(Path(input), alone="")
        value = arrays if Path(input).suffix == ".npz" else next(iter(arrays.values()))
    elif input is not None:
        value = text_or_path(input)
    comparison = compare_models(open_model(first), open_model(second), value)
    print(comparison.text)
    raise typer.Exit(0 if comparison.same else 1)


def _diff_arrays(theirs: Path, ours: Path) -> NoReturn:
    """Judge extracted arrays against a capture; status 0 if they are the weights, 1 if not."""
    comparison = compare_arrays(load_npz(theirs, alone="weights"), load_npz(ours))
    print(f"{theirs}: {comparison.text}" + (f"\n{comparison.code}: see docs/mistakes.md" if comparison.code else ""))
    raise typer.Exit(0 if comparison.same else 1)
