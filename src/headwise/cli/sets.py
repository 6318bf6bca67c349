"""``headwise sets``: which pooling learns to tell the largest member of a set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from headwise.cli.console import messages, output, progress_bars
from headwise.cli.paths import check_writable
from headwise.experiments.sets.plots import draw_errors
from headwise.experiments.sets.run import PUBLISHED_ERRORS, SetsStudy, study_sets
from headwise.figures import save_figure
from headwise.text import as_text, pluralize

__all__ = ["sets"]


def sets(
    out: Annotated[Path, typer.Option(help="Folder for a file a run, and a table and a figure.")] = Path("runs/sets"),
    seeds: Annotated[int, typer.Option(help="Runs of each model.")] = 5,
    steps: Annotated[int, typer.Option(help="Batches of 128 new sets that each run sees.")] = 10_000,
    workers: Annotated[int, typer.Option(help="Threads; the result does not depend on how many.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Train models of sets to tell the largest member, with several poolings and seeds, and say which learn it.

    Runs that were finished in the folder before are kept; the same command goes on after an interruption.

    Example: `headwise sets --seeds 3 --steps 2000`
    """
    check_writable(out)
    try:
        with progress_bars() as progress:
            found = study_sets(out, seeds=seeds, steps=steps, workers=workers, progress=progress)
    except KeyboardInterrupt:
        messages.print("headwise: interrupted; the same command goes on where it stopped.")
        raise typer.Exit(130) from None
    errors = {each.name: each.errors for each in found.poolings}
    save_figure(draw_errors(errors, {name: mean for name, (mean, _) in PUBLISHED_ERRORS.items()}), out / "errors")
    if as_json:
        content = {**found.to_json(), "conclusion": [as_text(said) for said in found.conclusion()]}
        print(json.dumps(content))
        return
    output.print(_table(found))
    for said in found.conclusion():
        output.print(as_text(said), markup=False)
    output.print(f"a row a run in {out / 'runs.csv'}, drawn in {out / 'errors.svg'}", soft_wrap=True, markup=False)


def _table(found: SetsStudy) -> Table:
    title = f"Mean absolute error for the largest of 1 to 10 numbers from 0 to 100; {pluralize(found.seeds, 'seed')}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    table.add_column("model", overflow="fold")
    for name in ("weights", "mean", "deviation", "paper*", "order**"):
        table.add_column(name, justify="right", overflow="fold")
    for each in found.poolings:
        paper = "{:.3g} ± {:.2g}".format(*PUBLISHED_ERRORS[each.name]) if each.name in PUBLISHED_ERRORS else "–"
        deviation = f"{each.deviation:.4f}" if each.deviation is not None else "–"
        order = f"{each.moved:.0e}, {each.moved_double:.0e}"
        table.add_row(each.name, f"{each.parameters:,}", f"{each.mean:.4f}", deviation, paper, order)
    table.caption = (
        "* as remembered from table 1 of arXiv 1810.00825\n"
        "** how far another order moves an answer, in float32 and float64"
    )
    table.caption_justify = "left"
    return table
