"""What every experiment is made of: a plan, runs that can be resumed, findings, tables and figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from matplotlib.figure import Figure

from headwise.document import Table, as_markdown_page
from headwise.experiments.store import Outcome, RunStore
from headwise.explanation import Explanation
from headwise.figures import save_figure
from headwise.files import write_text
from headwise.parallel.tasks import check_scheduler, run_tasks
from headwise.parallel.threads import limit_threads, num_threads
from headwise.progress import NoProgress, Progress
from headwise.text import Statement, as_text
from headwise.validation import check_counts, check_unique

Findings = Mapping[str, tuple[Statement, ...]]  # by heading


def as_findings(parts: Mapping[str, Iterable[Statement]]) -> Findings:
    """The statements by heading; headings without statements are left out."""
    written = {heading: tuple(statements) for heading, statements in parts.items()}
    return {heading: statements for heading, statements in written.items() if statements}


@dataclass(frozen=True)
class Run:
    """One run that depends on no other.

    Attributes
    ----------
    name : str
        Readable, and the beginning of the name of its file.
    config : mapping
        Everything that the outcome depends on, as JSON can hold it.
    compute : callable
        Returns the outcome, here or in another process.
    """

    name: str
    config: Mapping[str, Any]
    compute: Callable[[], Outcome]


@dataclass(frozen=True)
class Runner:
    """Computes the runs of an experiment that are not in its folder yet.

    Attributes
    ----------
    folder : Path
        Gets ``runs/``, with the files of every run, and ``runs.csv``, a row for each run ever finished there.
    threads : int, optional
        In this process; every core by default. Results do not depend on it.
    processes : int
        Processes on this machine, of one thread each; with 1, this process alone.
    scheduler : str, optional
        Address of a Dask scheduler whose workers to use instead.
    progress : Progress
    """

    folder: Path
    threads: int | None = None
    processes: int = 1
    scheduler: str | None = None
    progress: Progress = field(default_factory=NoProgress)

    def __post_init__(self) -> None:
        check_counts(threads=num_threads() if self.threads is None else self.threads, processes=self.processes)
        if self.scheduler is not None:
            check_scheduler(self.scheduler)

    @cached_property
    def store(self) -> RunStore:
        """The finished runs."""
        return RunStore(self.folder / "runs")

    def scratch(self, name: str, config: Mapping[str, Any], suffix: str) -> Path | None:
        """A file in which an unfinished run can save its state; None if the run may be computed elsewhere."""
        path = self.store.path(name, config)
        return None if self.scheduler else path.with_name(f"{path.stem}-{suffix}")

    def run(
        self, title: str, runs: Sequence[Run], describe: Callable[[Outcome], str] | None = None, *, local: bool = False
    ) -> list[Outcome]:
        """The outcome of every run, in order; each is saved as soon as it is available.

        Parameters
        ----------
        title : str
            Of the stage, for the progress bar.
        runs : sequence of Run
        describe : callable, optional
            What the progress bar adds to a run's name.
        local : bool
            Compute them in this process whatever the settings.

        Raises
        ------
        DataError
            If two runs have one name, or the folder is a file; and as in `headwise.parallel.tasks.run_tasks`.
        MissingExtraError
            If Dask is needed and not installed.
        """
        check_unique(runs=[run.name for run in runs])
        here = local or (self.scheduler is None and self.processes == 1)
        threads = (self.threads or num_threads()) if here else 1
        paths = {self.store.path(run.name, run.config).stem: run for run in runs}
        self.progress.stage(title, len(runs))
        outcomes: dict[str, Outcome] = {}
        for run in runs:
            if (outcome := self.store.find(run.name, run.config)) is not None:
                outcomes[run.name] = outcome
                self.progress.advance(f"{run.name}: finished before")
        tasks = {
            stem: partial(_compute, run.compute, threads) for stem, run in paths.items() if run.name not in outcomes
        }
        try:
            for stem, outcome in run_tasks(
                tasks, processes=1 if here else self.processes, scheduler=None if here else self.scheduler
            ):
                run = paths[stem]
                self.store.save(run.name, run.config, outcome)
                outcomes[run.name] = outcome
                self.progress.advance(f"{run.name}: {describe(outcome)}" if describe else run.name)
        finally:
            if outcomes:
                write_text(self.folder / "runs.csv", self.store.table())
        return [outcomes[run.name] for run in runs]


def run_together(runs: Sequence[tuple[Runner, Sequence[Run]]], *, processes: int) -> None:
    """Compute the runs of several experiments in the same processes; each experiment then finds its own finished.

    Parameters
    ----------
    runs : sequence of (Runner, sequence of Run)
        The runs of each experiment, and the runner whose folder they are saved in.
    processes : int
        Of one thread each.
    """
    missing = {
        f"{i}-{run.name}": (runner, run)
        for i, (runner, experiment_runs) in enumerate(runs)
        for run in experiment_runs
        if runner.store.find(run.name, run.config) is None
    }
    progress = runs[0][0].progress
    progress.stage("training models to compare", len(missing))
    tasks = {name: partial(_compute, run.compute, 1) for name, (_, run) in missing.items()}
    for name, outcome in run_tasks(tasks, processes=processes):
        runner, run = missing[name]
        runner.store.save(run.name, run.config, outcome)
        progress.advance(run.name)


def _compute(compute: Callable[[], Outcome], threads: int) -> Outcome:
    with limit_threads(threads):
        return compute()


class Result(Protocol):
    """The numbers that an experiment found."""

    def to_json(self) -> dict[str, Any]:
        """All of them, as JSON can hold them."""


P = TypeVar("P")
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Experiment(Generic[P, R]):
    """An experiment: how to run a plan, and what to make of the result.

    Attributes
    ----------
    name, title : str
        As in ``headwise study NAME``; the heading of its findings.
    run : callable
        A plan and a `Runner` in, the result out.
    findings, tables, figures : callable
        What the result shows: statements by heading, tables for a reader, figures by name.
    records : callable
        Long tables for a program, written as CSV only.
    explanation : callable
        What a trained model attends to, if there is one: figures with captions and arrays.
    """

    name: str
    title: str
    run: Callable[[P, Runner], R]
    findings: Callable[[R], Findings]
    tables: Callable[[R], Sequence[Table]]
    figures: Callable[[R], Mapping[str, Figure]] = lambda _: {}
    records: Callable[[R], Sequence[Table]] = lambda _: ()
    explanation: Callable[[R], Explanation | None] = lambda _: None

    def to_json(self, result: R) -> dict[str, Any]:
        """The result and its findings, as JSON can hold them."""
        findings = {heading: [as_text(s) for s in statements] for heading, statements in self.findings(result).items()}
        return {**result.to_json(), "findings": findings}

    def save(self, result: R, folder: Path) -> list[Path]:
        """Write ``result.json``, ``findings.md``, the tables as CSV, and the figures as PNG, SVG and PDF."""
        paths = [folder / "result.json", folder / "findings.md"]
        tables = self.tables(result)
        write_text(paths[0], json.dumps(self.to_json(result), ensure_ascii=False) + "\n")
        write_text(paths[1], as_markdown_page(self.title, self.findings(result), tables))
        for table in (*tables, *self.records(result)):
            paths.append(folder / "tables" / f"{table.name}.csv")
            write_text(paths[-1], table.csv())
        for name, figure in self.figures(result).items():
            paths += save_figure(figure, folder / "figures" / name)
        explanation = self.explanation(result)
        return paths + (explanation.save(folder / "figures") if explanation else [])
