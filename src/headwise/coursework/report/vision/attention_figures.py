"""Attention figures of the trained model with captions, for contrasting digits."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.coursework.report.context import ReportContext
from headwise.coursework.report.vision.attention_summary import (
    AttentionSummary,
    describe_attention,
    summarize_attention,
)
from headwise.document import Block, Derivation, FigureBlock, Paragraph, Section, Step
from headwise.explanation import explain, pick_contrasting_examples
from headwise.figures import CaptionedFigure
from headwise.hashing import fingerprint
from headwise.text import Statement
from headwise.train import Checkpoint, TrainingRun, evaluate

_KINDS = ("maps", "rollout", "depth", "positions", "deletion")  # of the first digit; the others have maps only


def attention_figures(run: TrainingRun, context: ReportContext) -> Iterator[Section]:
    """Pick contrasting test digits by rule, and draw and caption the model's attention to each.

    Yields the section after the first figure, and again after the figures of each digit.
    """
    test = context.digits.test
    picked = pick_contrasting_examples(evaluate(test, run.params, run.config).probabilities, test)
    summary = _summary(run, context)
    picked = {"one whose heads differ most": summary.most_different, **picked}
    context.progress.stage("drawing attention", len(picked) + len(_KINDS) - 1)
    model = Checkpoint(run.config, run.params, {})
    findings = Derivation(tuple(map(Step, describe_attention(summary))))
    blocks: list[Block] = [findings, _selection(list(picked), run)]
    for i, (why, position) in enumerate(picked.items()):
        name = why.replace(",", "").replace(" ", "-")
        kinds, label = _KINDS if i == 0 else _KINDS[:1], int(test.labels[position])
        for figure in explain(model, test.images[position], figure=kinds, label=label).figures:
            prefix = "attention" if figure.kind == "maps" else figure.kind
            blocks.append(_figure_block(figure, f"{prefix}-{name}", run, context, folded=i > 0))
            context.progress.advance()
            if i == 0 and figure.kind == kinds[0]:
                yield _section(blocks)
        yield _section(blocks)


def _section(blocks: list[Block]) -> Section:
    return Section("pictures", "What the attention figure says about the model", tuple(blocks), number="(a)")


def _summary(run: TrainingRun, context: ReportContext) -> AttentionSummary:
    test = context.digits.test
    context.progress.stage("measuring attention over all test digits", len(test.labels))
    key = {"model": fingerprint(*(run.params[name] for name in sorted(run.params))), "digits": fingerprint(*test)}
    return AttentionSummary(
        **context.store.cached(
            "attention-summary",
            key,
            lambda: summarize_attention(
                test, run.params, run.config, context.budget.seed, context.progress.advance
            ).to_json(),
        )
    )


def _selection(reasons: list[str], run: TrainingRun) -> Paragraph:
    return Paragraph(
        (
            Statement(
                "Of the {tested:,} test digits, on which the model was not trained, these {count} were picked by rule: "
                "{why}.",
                {"tested": run.n_test, "count": len(reasons), "why": "; ".join(f"the {why}" for why in reasons)},
            ),
            Statement(
                "Every sentence of a caption is chosen by a rule over measurements of this model and this digit, so "
                "another model gets another caption. The first digit is also shown by rollout, by depth, by its "
                "positions and by the effect of removing tokens; the captions of the others are short, and open in "
                "full."
            ),
        )
    )


def _figure_block(
    captioned: CaptionedFigure, name: str, run: TrainingRun, context: ReportContext, *, folded: bool
) -> FigureBlock:
    paths = captioned.save(context.folder / "figures" / name)
    basis = Statement("One model, seed {seed}, and one digit.", {"seed": run.recipe.seed})
    return FigureBlock.captioned(captioned.caption, basis, paths, context.folder, folded=folded)
