"""What the trained model attends to in telling digits: the picture, and the caption that was asked for."""

from __future__ import annotations

from headwise.coursework.report.context import ReportContext
from headwise.document import Block, FigureBlock, Paragraph, Section
from headwise.explanation import FaithfulnessTest, pick_contrasting_examples, record_attention
from headwise.figures import CaptionedFigure
from headwise.text import Statement
from headwise.train.digits import evaluate
from headwise.train.run import TrainingRun

__all__ = ["attention_figures_section"]

_OF_THE_FIRST = ("rollout", "depth", "positions", "deletion")  # beside the maps, for the first digit alone


def attention_figures_section(run: TrainingRun, desk: ReportContext) -> Section:
    """Pick telling test digits by rule, draw what the model attends to in each, and caption it."""
    test = desk.digits.test
    picked = pick_contrasting_examples(evaluate(test, run.params, run.config).probabilities, test)
    desk.progress.stage("drawing what it attends to", len(picked) + len(_OF_THE_FIRST))
    blocks: list[Block] = [_which(list(picked), run)]
    for i, (why, position) in enumerate(picked.items()):
        test_figures = FaithfulnessTest(test.images[position], run.params, run.config)
        record = record_attention(test.images[position], run.params, run.config, label=int(test.labels[position]))
        name = why.replace(",", "").replace(" ", "-")
        for kind in ("maps", *(_OF_THE_FIRST if i == 0 else ())):
            figure = test_figures.apply(CaptionedFigure(record, kind))
            blocks.append(_figured(figure, f"attention-{name}" if kind == "maps" else f"{kind}-{name}", run, desk))
            desk.progress.advance()
    return Section("pictures", "The attention picture, captioned", tuple(blocks), number="(a)")


def _which(reasons: list[str], run: TrainingRun) -> Paragraph:
    return Paragraph(
        (
            Statement(
                "Of the {tested:,} test digits, which the model has not seen, these {count} were picked by rule: "
                "{why}.",
                {"tested": run.n_test, "count": len(reasons), "why": "; ".join(f"the {why}" for why in reasons)},
            ),
            Statement(
                "Every sentence of a caption is chosen by a rule over what was measured on this model and this digit, "
                "so another model gets another caption. The first digit is also shown by rollout, by depth, by its "
                "positions and by what happens when tokens are taken away."
            ),
        )
    )


def _figured(captioned: CaptionedFigure, name: str, run: TrainingRun, desk: ReportContext) -> FigureBlock:
    paths = captioned.save(desk.folder / "figures" / name)
    behind = Statement("One model, seed {seed}, and one digit.", {"seed": run.recipe.seed})
    return FigureBlock.captioned(captioned.caption, behind, paths, desk.folder)
