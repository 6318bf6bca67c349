"""Our own run of the series transformer, beside baselines on the same split."""

from __future__ import annotations

from dataclasses import replace

from headwise.coursework.report.context import ReportContext
from headwise.document import FigureBlock, Paragraph, Section
from headwise.experiments.plots import draw_accuracies, draw_losses
from headwise.experiments.series.baselines import BASELINES
from headwise.experiments.series.findings import findings, table
from headwise.experiments.series.output import record_series
from headwise.experiments.series.plots import caption_series, draw_series
from headwise.experiments.series.run import METHOD_LABELS, Result
from headwise.experiments.statistics import t_interval
from headwise.figures import save_figure
from headwise.text import Statement, pluralize

__all__ = ["experiment_section"]


def experiment_section(result: Result, desk: ReportContext) -> Section:
    """The table, what may be said of it, and three pictures."""
    accuracies = {METHOD_LABELS[method]: values for method, values in result.accuracies.items()}
    ours = [method for method in result.accuracies if method not in BASELINES]
    losses = {METHOD_LABELS[method]: [row.losses for row in result.of(method)] for method in ours}
    imputing = [row.imputing for row in result.of("pre-trained")]
    behind = Statement(
        "{runs} of every method that has anything random in it, seeds from {first}; one of the others.",
        {"runs": pluralize(result.plan.seeds, "run"), "first": 0},
    )
    accuracy = desk.figure(
        draw_accuracies(
            accuracies,
            {name: t_interval(values)[1:] for name, values in accuracies.items()},
            [METHOD_LABELS[method] for method in ours],
        ),
        "series-accuracy",
        Statement("Accuracy on {data}, method by method", {"data": result.data.name}),
        shown=(Statement("A ring is a run, a bar the mean, a line Student's interval of the mean."),),
        behind=behind,
        arrays=dict(result.accuracies),
    )
    course = desk.figure(
        draw_losses(losses, imputing),
        "series-losses",
        Statement("The course of the training"),
        shown=(
            Statement("A line is a run: mean squared error over the hidden values while pre-training, then the loss.")
            if imputing
            else Statement("A line is a run."),
        ),
        says=_imputed(result),
        behind=behind,
    )
    blocks = (
        Paragraph(findings(result)),
        replace(table(result), name="series-accuracy"),
        accuracy,
        course,
        _attention(result, desk),
    )
    return Section("series-run", "Our own run", blocks, number="3.6")


def _imputed(result: Result) -> tuple[Statement, ...]:
    last = [row.imputing[-1] for row in result.of("pre-trained") if row.imputing]
    if not last:
        return ()
    return (
        Statement(
            "Who fills in the mean makes an error of about one, since the variables are standardised; at the end of "
            "pre-training the error on the hidden values of the training series is {error:.2f} (mean over {runs}, with "
            "dropout on).",
            {"error": sum(last) / len(last), "runs": pluralize(len(last), "run")},
        ),
    )


def _attention(result: Result, desk: ReportContext) -> FigureBlock:
    drawn = record_series(result, 0)
    caption, stem = caption_series(drawn), desk.folder / "figures" / "series-attention"
    paths = [*save_figure(draw_series(drawn), stem), *caption.save(stem)]
    behind = Statement("One series, and one run, with seed {seed}.", {"seed": 0})
    return FigureBlock.captioned(caption, behind, paths, desk.folder)
