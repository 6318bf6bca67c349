"""The report's third part: a transformer for time series, answers about the paper, and our own experiment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from headwise.coursework.report.context import Chapter, ReportContext, series_plan
from headwise.coursework.report.series.first_article import first_article_sections
from headwise.document import Block, FigureBlock, Paragraph, Section
from headwise.experiments.series import EXPERIMENT, METHOD_LABELS, SeriesResult, explain_series
from headwise.experiments.tables import EXPERIMENT as TABLES
from headwise.hashing import fingerprint
from headwise.text import Statement, pluralize

__all__ = ["series_chapter"]

_QUOTED = {
    "paper": "Gorishniy et al., NeurIPS 2021, arXiv 2106.11959",
    "repository": "github.com/yandex-research/tabular-dl-revisiting-models",
}
_ANSWERS = (
    Statement(
        "A second article, on tables: {paper}; code at {repository}. Task: predict a class or a number for each row of "
        "a table, and find out how deep models compare with boosted trees under one protocol. [abstract]",
        _QUOTED,
    ),
    Statement(
        "Set or sequence: a set. A token is a column: a number is multiplied by the column's learned vector, a "
        "category has its own learned vector. [notes] There are no positions; the learned vectors tell columns "
        "apart. [here]"
    ),
    Statement(
        "Architecture: a class token and pre-norm transformer blocks, whose class token is classified. [notes] Not "
        "standard is the tokenizer; there is no pre-training. [here]"
    ),
    Statement(
        "Results: the transformer is better than the other deep models on most tasks, but between it and boosted trees "
        "there is no universally superior solution. [abstract] Sections after the introduction could not be read."
    ),
)


def series_chapter(context: ReportContext) -> Chapter:
    """Run the series transformer and its baselines, and answer the paper's questions with the results."""
    plan = series_plan(context)
    data, result = plan.data, EXPERIMENT.run(plan, context.runner(f"series-{plan.data.name}"))
    ours = _experiment(result, context)
    articles, second = first_article_sections(result), _second_article(context)
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
    values = {"data": result.data.name, "means": text}
    return Statement("On {data}, mean accuracy over the runs of each method: {means}.", values)


def _experiment(result: SeriesResult, context: ReportContext) -> Section:
    """Our own experiment and baselines on the same split: the table, the findings, and four figures."""
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
    blocks: list[Block] = [Paragraph(*statements), replace(table, name="series-accuracy"), accuracy, losses]
    blocks += _attention(result, context)
    return Section("series-run", "Our own experiment", tuple(blocks), number="3.6")


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


def _second_article(context: ReportContext) -> Section:
    """The same questions about an article on tables, FT-Transformer, and our own run, cross-validated.

    Source: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021, arXiv 2106.11959;
    github.com/yandex-research/tabular-dl-revisiting-models. The abstract and the beginning of the introduction were
    read in public copies, the description of the model in a public glossary.
    """
    result = TABLES.run(context.budget.tables, context.runner("tables"))
    [table] = TABLES.tables(result)
    findings = tuple(statement for part in TABLES.findings(result).values() for statement in part)
    run = Statement(
        "Our own run, {seeds}: the scores of models that were not trained on the row's fold.",
        {"seeds": pluralize(result.seeds, "seed")},
    )
    blocks = (Paragraph(*_ANSWERS), Paragraph(run, *findings), table)
    return Section("tables-article", "A second article: tables", blocks, number="3.7")
