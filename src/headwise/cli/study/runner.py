"""The life cycle that all experiments share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwise.cli.console import document_table, output, progress_bars, resumable
from headwise.cli.paths import check_writable
from headwise.experiments import Runner, get_experiment
from headwise.files import lock_folder
from headwise.text import as_text


@dataclass(frozen=True)
class RunOptions:
    """The shared options of an experiment: where it runs, and what it prints."""

    out: Path
    threads: int | None
    processes: int
    scheduler: str | None
    as_json: bool


def run_study(name: str, make_plan: Callable[[], Any], options: RunOptions) -> None:
    """Run an experiment, save what it found, and print its tables and findings or everything as JSON."""
    check_writable(options.out)
    experiment, plan = get_experiment(name), make_plan()
    with resumable(folder=options.out), lock_folder(options.out), progress_bars() as progress:
        runner = Runner(options.out, options.threads, options.processes, options.scheduler, progress)
        result = experiment.run(plan, runner)
        progress.stage("writing results", 1)
        experiment.save(result, options.out)
        progress.advance()
    if options.as_json:
        print(json.dumps(experiment.to_json(result), ensure_ascii=False))
        return
    for table in experiment.tables(result):
        output.print(document_table(table))
        output.print(f"{as_text(table.title)}\n", style="dim", markup=False)
    for heading, statements in experiment.findings(result).items():
        output.print(f"[bold]{heading}.[/bold] ", end="")
        output.print(" ".join(map(as_text, statements)) + "\n", markup=False)
    output.print(f"Results are in {options.out}.", soft_wrap=True, markup=False)
