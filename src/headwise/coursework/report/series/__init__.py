"""The report's third part: a transformer for time series, answers about the paper, and our own experiment."""

from __future__ import annotations

from headwise.coursework.report.context import Chapter, ReportContext
from headwise.coursework.report.series.experiment import experiment_section
from headwise.coursework.report.series.paper import paper_sections
from headwise.data.series import load_series
from headwise.document import Section
from headwise.experiments.series import EXPERIMENT, METHOD_LABELS, SeriesPlan, SeriesResult
from headwise.hashing import fingerprint
from headwise.text import Statement

__all__ = ["series_chapter"]

DATA = "JapaneseVowels"


def series_chapter(context: ReportContext) -> Chapter:
    """Run the series transformer and its baselines, and answer the paper's questions with the results."""
    data = load_series(DATA)
    result = EXPERIMENT.run(SeriesPlan(data, **context.budget.series), context.runner(f"series-{DATA}"))
    ours = experiment_section(result, context)
    return Chapter(
        Section(
            "series",
            "Another kind of data: time series",
            sections=(*paper_sections(result), ours),
            number="3",
        ),
        (_headline(result),),
        (
            ("series", f"{data.name}, from the package aeon: {len(data.train.labels)} / {len(data.test.labels)}"),
            ("training series, SHA-256", fingerprint(*data.train)),
            ("test series, SHA-256", fingerprint(*data.test)),
            ("series classifiers", f"seeds 0 to {result.plan.seeds - 1}"),
        ),
    )


def _headline(result: SeriesResult) -> Statement:
    means = {name: float(values.mean()) for name, values in result.accuracies.items()}
    text = "; ".join(
        f"{METHOD_LABELS[name]} {mean:.1%}" for name, mean in sorted(means.items(), key=lambda item: -item[1])
    )
    return Statement(
        "On {data}, mean accuracy over the runs of each method: {means}.", {"data": result.data.name, "means": text}
    )
