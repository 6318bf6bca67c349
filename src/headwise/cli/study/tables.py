"""``headwise study tables``: columns as tokens against gradient-boosted trees and a linear model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.options import Json, Out, Processes, Scheduler, Seeds, Threads
from headwise.cli.study.runner import run_study
from headwise.data.tabular import TABLES
from headwise.experiments.tables import TablesPlan


def tables(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Data sets: {', '.join(TABLES)}.", show_default="all")
    ] = None,
    seeds: Seeds = TablesPlan.seeds,
    out: Out = Path("runs/tables"),
    threads: Threads = None,
    processes: Processes = 1,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Compare a transformer over columns with boosted trees and a linear model, on the same folds.

    With fewer than six seeds the exact test cannot show a difference. Finished runs in the folder are reused.

    Example: `headwise study tables wine titanic`
    """
    plan = partial(TablesPlan, tuple(names or TABLES), seeds)
    run_study("tables", plan, out, threads, processes, scheduler, as_json)
