"""The life cycle that all experiments share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwise.cli.console import output, print_table, progress_bars, resumable
from headwise.cli.paths import check_writable
from headwise.experiments import Runner, get_experiment
from headwise.files import lock_folder
from headwise.text import as_text


def run_study(
    name: str,
    make_plan: Callable[[], Any],
    out: Path,
    threads: int | None,
    processes: int,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Run an experiment, save what it found, and print its tables and findings or everything as JSON."""
    check_writable(out)
    experiment, plan = get_experiment(name), make_plan()
    with resumable(folder=out), lock_folder(out), progress_bars() as progress:
        runner = Runner(out, threads, processes, scheduler, progress)
        result = experiment.run(plan, runner)
        progress.stage("writing results", 1)
        experiment.save(result, out)
        progress.advance()
    if as_json:
        print(json.dumps(experiment.to_json(result)))
        return
    for table in experiment.tables(result):
        print_table(table)
        output.print(f"{as_text(table.title)}\n", style="dim")
    for heading, statements in experiment.findings(result).items():
        output.print(f"{heading}.", style="bold", end=" ")
        output.print(" ".join(map(as_text, statements)) + "\n")
    output.print(f"Results are in {out}.", soft_wrap=True)
