"""The paper's questions, answered.

Every claim is marked: [paper], as the paper is remembered; [code], read in the authors' public repository; [here], read
off this package or measured by the run that writes the report. What is quoted stands in `QUOTED`; everything else that
is a number is computed.

Source: Zerveas et al., "A Transformer-based Framework for Multivariate Time Series Representation Learning", KDD 2021,
arXiv 2010.02803; github.com/gzerveas/mvts_transformer.
"""

from __future__ import annotations

import numpy as np

from headwise.document import Paragraph, Section, Table
from headwise.experiments.series import METHOD_LABELS, SeriesResult
from headwise.experiments.series.baselines import BASELINES
from headwise.models.series import series_params
from headwise.text import Statement

__all__ = ["QUOTED", "paper_sections"]

QUOTED = {
    "paper": "Zerveas et al., KDD 2021, arXiv 2010.02803",
    "repository": "github.com/gzerveas/mvts_transformer",
    "rate": 0.001,
    "pretrained_epochs": 700,
    "epochs": "100 to 400",
    "ratio": 0.15,
    "layers": 3,
    "width": 64,
    "heads": 8,
    "hidden": 256,
    "dropout": 0.1,
    "widest": 128,
}
PUBLISHED = {"pre-trained": 0.997, "transformer": 0.994, "rocket": 0.962}  # JapaneseVowels, as remembered

_SEPARATE = "3.1", "3.2", "3.3", "3.4", "3.5"


def paper_sections(result: SeriesResult) -> tuple[Section, ...]:
    """Task; set or sequence and preparation; architecture; training; whether it worked, with an opinion."""
    parts = (
        ("series-task", "What is the task?", (Paragraph((*_source(), *_task(result))),)),
        ("series-input", "Is the input a set or a sequence, and how is it prepared?", (Paragraph(_input(result)),)),
        ("series-model", "The architecture: layers, parameters, what is not standard", (Paragraph(_model(result)),)),
        ("series-training", "How was it trained, and on how much?", (Paragraph(_training(result)),)),
        (
            "series-worked",
            "Did it work, and against what?",
            (Paragraph(_worked()), _beside(result), Paragraph(_opinion(result))),
        ),
    )
    return tuple(
        Section(anchor, heading, blocks, number=number)
        for number, (anchor, heading, blocks) in zip(_SEPARATE, parts, strict=True)
    )


def _source() -> tuple[Statement, ...]:
    return (
        Statement(
            "The paper is {paper}; the authors' program is {repository}. A claim is marked [paper] where it rests on "
            "the paper as it is remembered, [code] where it was read in that program, and [here] where it was read off "
            "this package or measured for this page.",
            QUOTED,
        ),
    )


def _task(result: SeriesResult) -> tuple[Statement, ...]:
    return (
        Statement(
            "To learn a representation of multivariate time series that serves to classify a whole series, to predict "
            "a number from it, or to fill in missing values. [paper] The encoder is the same each time, only the last "
            "layer changes. [code]"
        ),
        Statement(
            "Run here: {data}, {classes} speakers saying the same two vowels, of whom the model is to tell which. "
            "[here]",
            {"data": result.data.name, "classes": len(result.data.classes)},
        ),
    )


def _input(result: SeriesResult) -> tuple[Statement, ...]:
    data = result.data
    lengths = np.concatenate([data.train.lengths, data.test.lengths])
    return (
        Statement(
            "A sequence. One time step is one token: its <V> variables are a vector, which a linear layer takes to the "
            "model's width D. [code] Attention by itself knows no order; it comes in by learned positions added to the "
            "tokens, and by the last layer, which reads every token at its place. [code]"
        ),
        Statement(
            "Each variable is standardised by the training series. Series of unequal length are filled up with zeros, "
            "and a mask keeps attention off the padding. The embedded vector is multiplied by <root D>. [code]"
        ),
        Statement(
            "Nothing is cut into patches, so the cost grows with the square of the number of steps. [code] Here a "
            "token has {variables} numbers, and a series {least} to {most} tokens. [here]",
            {"variables": data.variables, "least": int(lengths.min()), "most": int(lengths.max())},
        ),
    )


def _model(result: SeriesResult) -> tuple[Statement, ...]:
    model = result.plan.model
    params = series_params(model, np.random.default_rng(0))
    count = sum(array.size for array in params.values())
    head = sum(array.size for name, array in params.items() if name.startswith("head"))
    return (
        Statement(
            "An encoder without a decoder: by default {layers} layers, width {width}, {heads} heads, an MLP of "
            "{hidden}, dropout {dropout}. [code] The paper's tables go up to a width of {widest}. [paper]",
            QUOTED,
        ),
        Statement(
            "Not standard: batch normalisation in place of layer normalisation [code], since a series may hold "
            "outliers, which words do not have [paper]; no class token, but all tokens of the last layer laid end to "
            "end, those of padding set to zero, and read by one linear layer [code]; for pre-training, one linear "
            "layer predicts a step's variables from its token [code]."
        ),
        Statement(
            "The model run here has {depth} layers of width {width} with {heads} heads and dropout {dropout:g}: "
            "{count:,} numbers, of which {head:,} are in the last layer. Padding does not enter the statistics of its "
            "batch normalisation, which in the authors' program it does. [here]",
            {
                "depth": model.n_layers,
                "width": model.d_model,
                "heads": model.n_heads,
                "dropout": model.dropout,
                "count": count,
                "head": head,
            },
        ),
    )


def _training(result: SeriesResult) -> tuple[Statement, ...]:
    plan, data = result.plan, result.data
    return (
        Statement(
            "First without labels: in each variable apart, runs of hidden and of visible steps alternate, of geometric "
            "lengths, {ratio:.0%} of the values hidden; the loss is the squared error on the hidden values alone. Then "
            "a new last layer, and all weights are tuned on the labels. [code] The examples run {pretrained_epochs} "
            "epochs of the one and {epochs} of the other, with RAdam at a rate of {rate}. [code]",
            QUOTED,
        ),
        Statement(
            "On how much: the sets of public archives, one model for each set, trained on that set's own few hundred "
            "or few thousand series. That pre-training on the very same series should help is the paper's most notable "
            "claim. [paper]"
        ),
        Statement(
            "Here: {trained} series; {pretraining} epochs without labels"
            + (" and {epochs} with them" if plan.pretrain else ", which were left out, and {epochs} with them")
            + ", AdamW at a rate of {rate:g}. [here]",
            {
                "trained": len(data.train.labels),
                "pretraining": plan.pretraining.epochs,
                "epochs": plan.recipe.epochs,
                "rate": plan.recipe.learning_rate,
            },
        ),
    )


def _worked() -> tuple[Statement, ...]:
    return (
        Statement(
            "On the classification archive it was compared with ROCKET, XGBoost, an LSTM, a dilated convolutional "
            "network and nearest neighbours under DTW, and had the best average; pre-training helped on most sets. "
            "[paper]"
        ),
    )


def _beside(result: SeriesResult) -> Table:
    rows = []
    for method, values in result.accuracies.items():
        published = f"{PUBLISHED[method]:.1%}" if method in PUBLISHED else "–"
        rows.append((METHOD_LABELS[method], published, f"{values.mean():.1%}", str(len(values))))
    return Table(
        Statement(
            "Accuracy on {data}: published, as remembered, and measured for this page.", {"data": result.data.name}
        ),
        ("method", "published [paper]", "measured [here]", "runs"),
        tuple(rows),
        "series-published",
    )


def _opinion(result: SeriesResult) -> tuple[Statement, ...]:
    said = [
        Statement(
            "An opinion, and no more than one: the idea is sound and the model is plain, which is its best side. "
            "Little in it is there for time series alone: batch normalisation, and the runs of hidden values, which "
            "pre-training needs, since a single hidden step could be filled in from its neighbours."
        )
    ]
    plan = result.plan
    if plan.pretrain:
        said.append(
            Statement(
                "Its honest rival is whatever else the time would buy: here pre-training runs {times:.1f} times the "
                "epochs of the training that follows.",
                {"times": plan.pretraining.epochs / plan.recipe.epochs},
            )
        )
    baselines = {name: float(values.mean()) for name, values in result.accuracies.items() if name in BASELINES}
    if baselines:
        best = max(baselines, key=lambda name: baselines[name])
        said.append(
            Statement(
                "The best of the rivals measured, {name} with {mean:.1%}, has no attention to look at, but needs "
                "no training by gradients: who has a small set and only wants its classes should try that first.",
                {"name": METHOD_LABELS[best], "mean": baselines[best]},
            )
        )
    return tuple(said)
