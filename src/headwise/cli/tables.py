"""``headwise tables``: columns as tokens against gradient-boosted trees and a linear model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from headwise.cli.console import messages, output, progress_bars
from headwise.cli.paths import check_writable
from headwise.data.tabular import TABLES
from headwise.experiments.tables.run import MODELS, TablesStudy, study_tables
from headwise.text import as_text, pluralize

__all__ = ["tables"]


def tables(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Which tables: {', '.join(TABLES)}.", show_default="all")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for a file a run and a table of all.")] = Path("runs/tables"),
    seeds: Annotated[int, typer.Option(help="Runs of each model; six are the least whose test can reach 0.05.")] = 6,
    workers: Annotated[int, typer.Option(help="Threads; the result does not depend on how many.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Predict the tables that come with scikit-learn, on the same folds, and say which model does better.

    Runs that were finished in the folder before are kept; the same command goes on after an interruption.

    Example: `headwise tables wine titanic`
    """
    check_writable(out)
    try:
        with progress_bars() as progress:
            found = study_tables(out, tables=names or list(TABLES), seeds=seeds, workers=workers, progress=progress)
    except KeyboardInterrupt:
        messages.print("headwise: interrupted; the same command goes on where it stopped.")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps({**found.to_json(), "conclusion": [as_text(said) for said in found.conclusion()]}))
        return
    output.print(_table(found))
    for said in found.conclusion():
        output.print(as_text(said), markup=False)
    output.print(f"a row a run in {out / 'runs.csv'}", soft_wrap=True, markup=False)


def _table(found: TablesStudy) -> Table:
    title = f"{pluralize(found.seeds, 'seed')}, 95% intervals; every row predicted by a model that had not seen it"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    table.add_column("table", overflow="fold")
    for name in ("rows", "score", *MODELS):
        table.add_column(name, justify="right", overflow="fold")
    for each in found.tables:
        scores = [each.interval(model) for model in MODELS]
        shown = [
            f"{mean:.1%}" if low is None or high is None else f"{mean:.1%} ± {(high - low) / 2:.1%}"
            for mean, low, high in scores
        ]
        table.add_row(each.table, f"{each.rows:,}", "accuracy" if each.classes else "R²", *shown)
    return table
