"""Attention of the trained model: figures with captions for contrasting digits, and a summary over all test digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headwise.coursework.report.context import ReportContext
from headwise.data.mnist import LabelledImages
from headwise.document import Block, Derivation, FigureBlock, Paragraph, Section, Step
from headwise.explanation import explain, pick_contrasting_examples
from headwise.figures import CaptionedFigure
from headwise.hashing import fingerprint
from headwise.metrics.concentration import drop_class_token, effective_number
from headwise.metrics.faithfulness import spearman
from headwise.metrics.perturbation import auc, deletion_curve, random_orders, rank_tokens
from headwise.metrics.rollout import rollout
from headwise.models import TokenGame, ViT, ViTConfig
from headwise.models.vit import predict_with_attention
from headwise.nn.params import Params
from headwise.parallel.threads import limit_threads
from headwise.shapes import Array
from headwise.text import Statement, join_with_and
from headwise.train import Checkpoint, TrainingRun, evaluate

_RANDOM_ORDERS = 5
_FIXED = 0.9  # from this mean cosine on, a map hardly depends on the digit
_STROKES = 0.2  # from this margin on, a head follows the strokes
_BATCH = 100
_KINDS = ("maps", "rollout", "depth", "positions", "deletion")  # of the first digit; the others have maps only


def attention_figures(run: TrainingRun, context: ReportContext) -> Iterator[Section]:
    """Pick contrasting test digits by rule, and draw and caption the model's attention to each.

    Yields the section after the first figure, and again after the figures of each digit.
    """
    test = context.digits.test
    examples = pick_contrasting_examples(evaluate(test, run.params, run.config).probabilities, test)
    summary = _summary(run, context)
    examples = {"one whose heads differ most": summary.most_different, **examples}
    context.progress.stage("drawing attention", len(examples) + len(_KINDS) - 1)
    model = Checkpoint(run.config, run.params, {})
    findings = Derivation(*map(Step, describe_attention(summary)))
    blocks: list[Block] = [findings, _selection(list(examples), run)]
    for i, (why, position) in enumerate(examples.items()):
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

    def compute() -> dict[str, Any]:
        seed, on_step = context.budget.seed, context.progress.advance
        return asdict(summarize_attention(test, run.params, run.config, seed, on_step))

    return AttentionSummary(**context.store.cached("attention-summary", key, compute))


def _selection(reasons: list[str], run: TrainingRun) -> Paragraph:
    return Paragraph(
        Statement(
            "Of the {tested:,} test digits, on which the model was not trained, these {count} were picked by rule: "
            "{why}.",
            {"tested": run.n_test, "count": len(reasons), "why": "; ".join(f"the {why}" for why in reasons)},
        ),
        Statement(
            "Every sentence of a caption is chosen by a rule over measurements of this model and this digit, so "
            "another model gets another caption. The first digit is also shown by rollout, by depth, by its positions "
            "and by the effect of removing tokens; the captions of the others are short, and open in full."
        ),
    )


def _figure_block(
    captioned: CaptionedFigure, name: str, run: TrainingRun, context: ReportContext, *, folded: bool
) -> FigureBlock:
    paths = captioned.save(context.folder / "figures" / name)
    basis = Statement("One model, seed {seed}, and one digit.", {"seed": run.recipe.seed})
    return FigureBlock.captioned(captioned.caption, basis, paths, context.folder, folded=folded)


@dataclass(frozen=True)
class AttentionSummary:
    """Means over the test digits of what the class token attends to."""

    n_digits: int
    # (L, H): mean cosine of a digit's map with the head's mean map: one if the map does not depend on the digit
    fixed: list[list[float]]
    # (L, H): weight on tokens with ink, minus the share of such tokens: zero for uniform attention
    ink: list[list[float]]
    tokens: list[float]  # (L,): effective number of tokens attended to, mean over the heads
    # share of digits for which removing tokens in the order of the rollout lowers the probability of the predicted
    # class faster than the mean over random orders
    beats_random: float
    # mean rank correlation of a token's rollout with the drop of that probability when it alone is removed
    correlation: float
    most_different: int  # the correctly classified digit for which the maps of the last block's heads differ most


def summarize_attention(
    data: LabelledImages, params: Params, config: ViTConfig, seed: int, on_step: Callable[[], None] = lambda: None
) -> AttentionSummary:
    """Measure the attention of every digit; `on_step` is called after each."""
    starts = range(0, len(data.images), _BATCH)
    batches = [predict_with_attention(data.images[start : start + _BATCH], params, config) for start in starts]
    weights = np.concatenate([batch.weights for batch in batches])
    right = np.concatenate([batch.probabilities for batch in batches]).argmax(axis=1) == data.labels
    maps = drop_class_token(weights[..., 0, :])[0]  # (B, L, H, N)
    unit = maps / np.linalg.norm(maps, axis=-1, keepdims=True)
    mean = unit.mean(axis=0)
    fixed = (unit * mean / np.linalg.norm(mean, axis=-1, keepdims=True)).sum(axis=-1).mean(axis=0)
    inked = config.image_tokenizer.tokenize(data.images).mean(axis=-1) > 0.02  # (B, N)
    ink = ((maps * inked[:, None, None]).sum(axis=-1) - inked.mean(axis=-1)[:, None, None]).mean(axis=0)
    spread = np.where(right, unit[:, -1].std(axis=1).sum(axis=-1), -1.0)  # (B,): over the last block's heads
    rng = np.random.default_rng([seed, 11])
    tests = []
    with limit_threads(1):  # for one small image at a time, two threads take twice as long as one
        for image, image_weights in zip(data.images, weights, strict=True):
            tests.append(_test_order(image, rollout(image_weights)[0, 1:], params, config, rng))
            on_step()
    beats, correlation = np.array(tests).mean(axis=0)
    fixed_by_head, ink_by_head = (shares.round(4).tolist() for shares in (fixed, ink))
    tokens, test = effective_number(maps).mean(axis=(0, 2)).round(3).tolist(), (float(beats), float(correlation))
    return AttentionSummary(len(data.labels), fixed_by_head, ink_by_head, tokens, *test, int(spread.argmax()))


def _test_order(
    image: Array, scores: Array, params: Params, config: ViTConfig, rng: np.random.Generator
) -> tuple[float, float]:
    """Whether the order of the scores beats random ones, and their correlation with the effect of each token."""
    model = ViT(config, params)
    predicted = int(np.argmax(model.predict(image)))
    game = TokenGame(model, image, predicted)
    orders = np.concatenate([rank_tokens(scores, rng)[None], random_orders(len(scores), _RANDOM_ORDERS, rng)])
    areas = auc(deletion_curve(game, orders))
    full = np.ones((1 + len(scores), len(scores)), bool)
    full[1:] &= ~np.eye(len(scores), dtype=bool)
    probabilities = game(full)
    return float(areas[0] < areas[1:].mean()), spearman(scores, probabilities[0] - probabilities[1:])


def describe_attention(summary: AttentionSummary) -> tuple[Statement, ...]:
    """Five sentences: fixed positions, strokes, depth, faithfulness, and what cannot be concluded."""
    fixed = _heads(summary.fixed, _FIXED)
    ink = _heads(summary.ink, _STROKES)
    first, last = summary.tokens[0], summary.tokens[-1]
    return (
        Statement(
            "Fixed positions: over all {n} test digits, "
            + (
                "the map of {heads} hardly depends on the digit (mean cosine with its mean map from {limit:.1f} on)."
                if fixed
                else "no head's map is the same for all digits (mean cosine with its mean map below {limit:.1f})."
            ),
            {"n": summary.n_digits, "heads": fixed, "limit": _FIXED},
        ),
        Statement(
            "Strokes: "
            + (
                "followed by {heads}, whose weight on tokens with ink exceeds the share of such tokens by {limit:.0%} "
                "or more on average (at most {most:.0%})."
                if ink
                else "no head follows the strokes closely: weight on tokens with ink exceeds the share of such tokens "
                "by at most {most:.0%} on average."
            ),
            {"heads": ink, "limit": _STROKES, "most": max(map(max, summary.ink))},
        ),
        Statement(
            "Depth: from the first layer to the last, the class token attends to "
            + ("fewer" if last < first else "more")
            + " tokens, {first:.1f} and {last:.1f} effectively, mean over heads and digits.",
            {"first": first, "last": last},
        ),
        Statement(
            "Faithfulness: removing tokens in the order of the rollout lowers the predicted class's probability faster "
            "than random orders do for {share:.0%} of the digits; chance would give about {half:.0%}.",
            {"share": summary.beats_random, "half": 0.5},
        ),
        Statement(
            "What cannot be concluded: a large weight does not mean that the token decides the class. Over the tokens "
            "of a digit, the rank correlation of the rollout with the effect of removing that token is {rho:.2f} on "
            "average; and all of this is one model, trained once.",
            {"rho": summary.correlation},
        ),
    )


def _heads(values: list[list[float]], limit: float) -> str:
    """The heads with at least this value, by layer; empty if there are none."""
    layers = []
    for layer, row in enumerate(values):
        heads = [str(head) for head, value in enumerate(row) if value >= limit]
        if heads:
            layers.append(f"{'head' if len(heads) == 1 else 'heads'} {join_with_and(heads)} of layer {layer}")
    return join_with_and(layers)
