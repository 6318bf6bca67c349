"""The report's third part: a transformer for time series, answers about the paper, and our own experiment."""

from __future__ import annotations

from dataclasses import replace

from headwise.coursework.report.context import Chapter, ReportContext, series_plan
from headwise.coursework.report.series.experiment import experiment_section
from headwise.coursework.report.series.first_article import first_article_sections
from headwise.coursework.report.series.second_article import second_article_section
from headwise.document import Section
from headwise.experiments.series import EXPERIMENT, METHOD_LABELS, SeriesResult
from headwise.hashing import fingerprint
from headwise.text import Statement

__all__ = ["series_chapter"]


def series_chapter(context: ReportContext) -> Chapter:
    """Run the series transformer and its baselines, and answer the paper's questions with the results."""
    plan = series_plan(context)
    data, result = plan.data, EXPERIMENT.run(plan, context.runner(f"series-{plan.data.name}"))
    ours = experiment_section(result, context)
    articles, second = first_article_sections(result), second_article_section(context)
    return Chapter(
        Section(
            "series", "Other kinds of data: time series and tables", sections=(*articles, ours, second), number="3"
        ),
        (_headline(result),),
        (
            ("series", f"{data.name}, from the package aeon: {len(data.train.labels)} / {len(data.test.labels)}"),
            ("training series, SHA-256", fingerprint(*data.train)),
            ("test series, SHA-256", fingerprint(*data.test)),
            ("series classifiers", f"seeds 0 to {result.plan.seeds - 1}"),
        ),
        (*articles, replace(second, blocks=second.blocks[:2])),
    )


def _headline(result: SeriesResult) -> Statement:
    means = {name: float(values.mean()) for name, values in result.accuracies.items()}
    text = "; ".join(
        f"{METHOD_LABELS[name]} {mean:.1%}" for name, mean in sorted(means.items(), key=lambda item: -item[1])
    )
    return Statement(
        "On {data}, mean accuracy over the runs of each method: {means}.", {"data": result.data.name, "means": text}
    )
