"""A second article, on tables, with our own run: FT-Transformer.

Source: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021, arXiv 2106.11959;
github.com/yandex-research/tabular-dl-revisiting-models. The abstract and the beginning of the introduction were read in
public copies, the description of the model in a public glossary.
"""

from __future__ import annotations

from headwise.coursework.report.context import ReportContext
from headwise.document import Paragraph, Section
from headwise.experiments.tables import EXPERIMENT
from headwise.text import Statement, pluralize

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


def second_article_section(context: ReportContext) -> Section:
    """The same questions, and our own run: the transformer, boosted trees and a linear model, cross-validated."""
    result = EXPERIMENT.run(context.budget.tables, context.runner("tables"))
    [table] = EXPERIMENT.tables(result)
    findings = tuple(statement for part in EXPERIMENT.findings(result).values() for statement in part)
    run = Statement(
        "Our own run, {seeds}: the scores of models that were not trained on the row's fold.",
        {"seeds": pluralize(result.seeds, "seed")},
    )
    return Section(
        "tables-article",
        "A second article: tables",
        (Paragraph(_ANSWERS), Paragraph((run, *findings)), table),
        number="3.7",
    )
