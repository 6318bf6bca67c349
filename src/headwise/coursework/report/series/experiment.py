"""Our own experiment with the series transformer, and baselines on the same split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from headwise.coursework.report.context import ReportContext
from headwise.document import Block, FigureBlock, Paragraph, Section
from headwise.experiments.series import EXPERIMENT, SeriesResult, explain_series
from headwise.text import Statement, pluralize


def experiment_section(result: SeriesResult, context: ReportContext) -> Section:
    """The table, the findings, and four figures."""
    figures = EXPERIMENT.figures(result)
    basis = Statement(
        "{runs} of every random method, with seeds from {first}; one of the others.",
        {"runs": pluralize(result.plan.seeds, "run"), "first": 0},
    )
    accuracy = context.figure(
        figures["accuracy"],
        "series-accuracy",
        Statement("Accuracy on {data} by method", {"data": result.data.name}),
        shown=(Statement("A dot is a run, a diamond the mean, a line Student's interval of the mean."),),
        basis=basis,
        arrays=dict(result.accuracies),
    )
    shown = "mean squared error on masked values during pre-training, then the " if result.of("pre-trained") else ""
    losses = context.figure(
        figures["losses"],
        "series-losses",
        Statement("Training loss by epoch"),
        shown=(Statement(f"A line is a run: {shown}cross-entropy."),),
        findings=_pretraining_error(result),
        basis=basis,
    )
    statements = tuple(statement for part in EXPERIMENT.findings(result).values() for statement in part)
    [table] = EXPERIMENT.tables(result)
    blocks: tuple[Block, ...] = (
        Paragraph(statements),
        replace(table, name="series-accuracy"),
        accuracy,
        losses,
        *_attention(result, context),
    )
    return Section("series-run", "Our own experiment", blocks, number="3.6")


def _pretraining_error(result: SeriesResult) -> tuple[Statement, ...]:
    errors = [run.pretraining_losses[-1] for run in result.of("pre-trained") if run.pretraining_losses]
    if not errors:
        return ()
    return (
        Statement(
            "Predicting the mean gives an error of about one, since the variables are standardized; at the end of "
            "pre-training the error on the masked values of the training series is {error:.2f} (mean over {runs}, with "
            "dropout on).",
            {"error": sum(errors) / len(errors), "runs": pluralize(len(errors), "run")},
        ),
    )


def _attention(result: SeriesResult, context: ReportContext) -> Iterator[FigureBlock]:
    basis = Statement("One series, and one run, with seed {seed}.", {"seed": 0})
    for figure in explain_series(result).figures:
        paths = figure.save(context.folder / "figures" / f"series-{figure.stem}")
        yield FigureBlock.captioned(figure.caption, basis, paths, context.folder)
