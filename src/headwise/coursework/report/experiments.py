"""The trainings of the report's experiments, which depend on no other result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwise.coursework.report.context import ReportContext
from headwise.data.series import load_series
from headwise.experiments import run_together, series, tables, tokenizers
from headwise.experiments.series import SeriesPlan
from headwise.experiments.tokenizers import TokenizersPlan

_DATA = "JapaneseVowels"


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
        run_together("training models to compare", runs, processes=context.processes)
