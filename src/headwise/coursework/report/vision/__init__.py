"""The report's second part: attention figures of a vision transformer with captions, and rows instead of patches."""

from __future__ import annotations

from typing import NamedTuple

from headwise.coursework.report.context import Chapter, ReportContext, tokenizers_plan
from headwise.coursework.report.vision.attention_figures import attention_figures
from headwise.coursework.report.vision.model import model_section
from headwise.coursework.report.vision.tokenizers import headline, tokenizers_section
from headwise.data.mnist import Digits
from headwise.document import FigureBlock, Section, Table
from headwise.experiments.tokenizers import EXPERIMENT
from headwise.hashing import fingerprint
from headwise.text import Statement
from headwise.train.run import TrainingRun, train_into

__all__ = ["TrainedModel", "train_and_draw", "vision_chapter"]


class TrainedModel(NamedTuple):
    """The model whose attention is shown, and the sections about it."""

    run: TrainingRun
    sections: tuple[Section, ...]


def train_and_draw(context: ReportContext) -> TrainedModel:
    """Train the model, then draw and caption its attention, with a preview after each digit."""
    context.progress.stage("loading digits", 1)
    digits = context.digits
    context.progress.advance()
    run = _train(context, digits)
    sections = [model_section(run, context)]
    for figures in attention_figures(run, context):
        sections[1:] = [figures]
        context.preview(_chapter(tuple(sections)))
    return TrainedModel(run, tuple(sections))


def vision_chapter(context: ReportContext, model: TrainedModel) -> Chapter:
    """Compare other tokenizers, and join the sections about the model."""
    result = EXPERIMENT.run(tokenizers_plan(context), context.runner("tokenizers"))
    sections = (*model.sections, tokenizers_section(result, context))
    inputs = _inputs(model.run, context.digits, result.seeds, context.budget.tokenizers.recipe.seed)
    return Chapter(_chapter(sections), (_headline(model.run), headline(result)), inputs, _short(sections))


def _chapter(sections: tuple[Section, ...]) -> Section:
    return Section("vision", "Vision transformer", sections=sections, number="2")


def _short(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """What the attention figures say, with the first of them; answer, claims and conclusion on rows."""
    _, pictures, cuts = sections
    recorded = next((section for section in cuts.sections if section.anchor == "cuts-recorded"), None)
    claims = [block for block in cuts.all_blocks if isinstance(block, Table) and block.name == "claims"]
    said = (pictures.blocks[0], *_first_figure(pictures))
    compared = (*cuts.blocks, *_first_figure(cuts), *claims, *(recorded.blocks[-2:] if recorded else ()))
    return (
        Section("short-pictures", pictures.heading, said, number="2 (a)"),
        Section("short-cuts", cuts.heading, compared, number="2 (b)"),
    )


def _first_figure(section: Section) -> list[FigureBlock]:
    """With its short caption; none where there is no figure."""
    return [block.abridged() for block in section.all_blocks if isinstance(block, FigureBlock)][:1]


def _train(context: ReportContext, digits: Digits) -> TrainingRun:
    recipe = context.budget.vision
    steps = recipe.epochs * recipe.steps_per_epoch(len(digits.train.labels))
    context.progress.stage("training the vision transformer", steps)
    folder, threads, on_step = context.folder / "model", context.threads, context.progress.advance
    return train_into(folder, digits, recipe=recipe, keep=True, threads=threads, on_step=on_step)


def _headline(run: TrainingRun) -> Statement:
    return Statement(
        "The vision transformer trained here classifies {accuracy:.1%} of {tested:,} test digits correctly; the "
        "caption of its attention figure is measured on it, and states how far the figure can be trusted.",
        {"accuracy": run.accuracy, "tested": run.n_test},
    )


def _inputs(run: TrainingRun, digits: Digits, seeds: int, first: int) -> tuple[tuple[str, str], ...]:
    counts = [len(part.labels) for part in (digits.train, digits.validation, digits.test)]
    return (
        ("digits", f"{digits.name}: {' / '.join(map(str, counts))} to train, validate and test"),
        ("training digits, SHA-256", fingerprint(*digits.train)),
        ("validation digits, SHA-256", fingerprint(*digits.validation)),
        ("test digits, SHA-256", fingerprint(*digits.test)),
        ("the model whose attention is shown", f"seed {run.recipe.seed}"),
        ("its parameters, SHA-256", fingerprint(*(run.params[name] for name in sorted(run.params)))),
        ("models with different tokenizers", f"seeds {first} to {first + seeds - 1}"),
    )
