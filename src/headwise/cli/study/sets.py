"""``headwise study sets``: which pooling of a set learns to find its largest member."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.options import Json, Out, Processes, Scheduler, Seeds, Threads
from headwise.cli.study.runner import run_study
from headwise.experiments.sets import SetsPlan


def sets(
    seeds: Seeds = SetsPlan.seeds,
    steps: Annotated[int, typer.Option(help="Batches of 128 new sets in each run.")] = SetsPlan.steps,
    out: Out = Path("runs/sets"),
    threads: Threads = None,
    processes: Processes = 1,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Compare poolings of a set on learning its maximum, and verify that the order of its members does not matter.

    Finished runs in the folder are reused.

    Example: `headwise study sets --seeds 3 --steps 2000`
    """
    run_study("sets", lambda: SetsPlan(seeds, steps), out, threads, processes, scheduler, as_json)
