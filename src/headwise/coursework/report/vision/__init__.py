"""The report's second part: a vision transformer's attention picture with its caption, and rows instead of patches."""

from __future__ import annotations

from headwise.coursework.report.context import Chapter, ReportContext
from headwise.coursework.report.vision.attention_figures import attention_figures_section
from headwise.coursework.report.vision.model import model_section
from headwise.coursework.report.vision.tokenizers import headline, tokenizer_comparison, tokenizers_section
from headwise.data.mnist import Digits
from headwise.document import Section
from headwise.hashing import fingerprint
from headwise.text import Statement
from headwise.train.run import TrainingRun, train_into

__all__ = ["vision_chapter"]


def vision_chapter(desk: ReportContext) -> Chapter:
    """Train, draw and caption; then train with other cuts, and compare."""
    desk.progress.stage("reading digits", 1)
    digits = desk.digits
    desk.progress.advance()
    run = _trained(desk, digits)
    sections = [model_section(run, desk), attention_figures_section(run, desk)]
    comparison = tokenizer_comparison(desk)
    sections.append(tokenizers_section(comparison, desk))
    return Chapter(
        Section("vision", "Vision transformer", sections=tuple(sections), number="2"),
        (_headline(run), headline(comparison)),
        _made_of(run, digits, comparison.seeds, desk.effort.cuts.recipe.seed),
    )


def _trained(desk: ReportContext, digits: Digits) -> TrainingRun:
    recipe = desk.effort.vision
    steps = recipe.epochs * recipe.steps_per_epoch(len(digits.train.labels))
    desk.progress.stage("training the vision transformer", steps)
    return train_into(
        desk.folder / "model",
        digits,
        recipe=recipe,
        keep=True,
        threads=desk.workers,
        on_step=desk.progress.advance,
    )


def _headline(run: TrainingRun) -> Statement:
    return Statement(
        "The vision transformer trained here reads {accuracy:.1%} of {tested:,} test digits; the caption of its "
        "attention picture is measured on it, and says how far the picture can be believed.",
        {"accuracy": run.accuracy, "tested": run.n_test},
    )


def _made_of(run: TrainingRun, digits: Digits, seeds: int, first: int) -> tuple[tuple[str, str], ...]:
    counts = [len(part.labels) for part in (digits.train, digits.validation, digits.test)]
    return (
        ("digits", f"{digits.name}: {' / '.join(map(str, counts))} to train, validate and test"),
        ("training digits, SHA-256", fingerprint(*digits.train)),
        ("validation digits, SHA-256", fingerprint(*digits.validation)),
        ("test digits, SHA-256", fingerprint(*digits.test)),
        ("the model whose attention is shown", f"seed {run.recipe.seed}"),
        ("its weights, SHA-256", fingerprint(*(run.params[name] for name in sorted(run.params)))),
        ("models compared by how they cut", f"seeds {first} to {first + seeds - 1}"),
    )
