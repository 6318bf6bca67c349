"""What every part of the report receives, what it returns, and the trainings that depend on no other result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from headwise.coursework.notebook import NotebookArrays
from headwise.coursework.report.presets import Budget
from headwise.coursework.results import Coursework, coursework
from headwise.data.mnist import Digits
from headwise.data.series import load_series
from headwise.document import BACKLINK_LABEL, FigureBlock, Section
from headwise.experiments import Runner, RunStore, run_together, series, tables, tokenizers
from headwise.experiments.series import SeriesPlan
from headwise.experiments.tokenizers import TokenizersPlan
from headwise.figures import save_figure, svg_data_uri
from headwise.files import atomic_write
from headwise.progress import Progress
from headwise.shapes import Array
from headwise.text import Statement

_DATA = "JapaneseVowels"


class Chapter(NamedTuple):
    """One part of the report."""

    section: Section
    headline: tuple[Statement, ...]  # its main result, in a sentence or two
    inputs: tuple[tuple[str, str], ...]  # seeds, data and checksums, for the provenance section
    short: tuple[Section, ...] = ()  # short answers, for the worked solution


@dataclass(frozen=True)
class ReportContext:
    """The folder, budget and data of a report."""

    folder: Path  # gets ``figures/``, ``arrays/``, ``studies/`` and ``model/``
    budget: Budget
    arrays: Mapping[str, Array]  # X, Wq, Wk, Wv (and Wo, biases) of the coursework
    arrays_name: str  # where they are from, for the reader
    load: Callable[[], Digits]  # returns the digits, in this process and in others
    threads: int  # in this process
    processes: int  # for independent runs
    progress: Progress
    heads: int = 3  # the number of heads that is compared with one
    inputs: NotebookArrays | None = None  # how a course's notebook writes the arrays
    # called with a section of a part that is not complete, to put it on the page
    preview: Callable[[Section], None] = lambda section: None

    @cached_property
    def digits(self) -> Digits:
        """Loaded once."""
        return self.load()

    @cached_property
    def coursework(self) -> Coursework:
        """The coursework's functions on its arrays, with one head and with several."""
        heads = (1, self.heads) if self.heads > 1 else (1,)
        return coursework(self.arrays, heads=heads, seed=self.budget.seed)

    @property
    def store(self) -> RunStore:
        """Results that take long to compute."""
        return RunStore(self.folder / "studies")

    @property
    def parallel(self) -> bool:
        """Whether to use several processes: if that pays and Dask is installed."""
        return self.processes > 1 and self.budget.parallel and find_spec("distributed") is not None

    def runner(self, name: str) -> Runner:
        """For an experiment in ``studies/NAME``."""
        processes = self.processes if self.parallel else 1
        return Runner(self.folder / "studies" / name, self.threads, processes, progress=self.progress)

    def figure(
        self,
        figure: Figure,
        name: str,
        title: Statement,
        *,
        shown: tuple[Statement, ...],
        basis: Statement,
        findings: tuple[Statement, ...] = (),
        arrays: Mapping[str, Array] | None = None,
    ) -> FigureBlock:
        """Save a figure in three formats, with the arrays it is drawn from, and caption it.

        `basis` states the seeds or runs that it rests on.
        """
        stem = self.folder / "figures" / name
        paths = save_figure(figure, stem)
        if arrays:
            paths.append(stem.with_name(f"{name}.npz"))
            with atomic_write(paths[-1]) as temporary:
                np.savez(temporary, allow_pickle=False, **arrays)
        parts = {"What is shown": shown, "What it says": findings, BACKLINK_LABEL: (basis,)}
        stated = {heading: statements for heading, statements in parts.items() if statements}
        files = tuple(str(path.relative_to(self.folder)) for path in paths)
        return FigureBlock(svg_data_uri(paths), title, stated, files, (*shown, *findings))


def tokenizers_plan(context: ReportContext) -> TokenizersPlan:
    """Of the second part."""
    return replace(context.budget.tokenizers, load=context.load)


def series_plan(context: ReportContext) -> SeriesPlan:
    """Of the third part."""
    return SeriesPlan(load_series(_DATA), **context.budget.series)


def run_experiments(context: ReportContext, parts: Sequence[str]) -> None:
    """Train all models of these parts side by side; the parts then find their results in the folder."""
    runs = []
    if "series" in parts:
        plan = series_plan(context)
        runner = context.runner(f"series-{plan.data.name}")
        runs.append((runner, series.list_runs(plan, runner)))
        runs.append((context.runner("tables"), tables.list_runs(context.budget.tables)))
    if "vision" in parts:
        runs.append((context.runner("tokenizers"), tokenizers.list_runs(tokenizers_plan(context))))
    if runs:
        run_together(runs, processes=context.processes)
