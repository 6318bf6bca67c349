"""The questions about the article on time series, answered with the place of each claim.

[abstract], [introduction] and the caption of the first [figure] were read in public copies of the article,
[methodology] in one paragraph that public notes quote; the rest could not be read. A claim about it is marked [notes]
if public reading notes state it. [code] was read in the authors' public repository, [here] in this package or measured
by the run that writes the report. Quoted numbers are in `QUOTED`.

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

QUOTED = {
    "paper": "Zerveas et al., KDD 2021, arXiv 2010.02803",
    "repository": "github.com/gzerveas/mvts_transformer",
    "notes": "firrice.github.io/posts/2024-06-26-5",
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

_NUMBERS = "3.1", "3.2", "3.3", "3.4", "3.5"
_SOURCE = Statement(
    "The article is {paper}; the authors' program is {repository}. Public copies gave us its abstract, the "
    "beginning of its introduction, the caption of its first figure and the paragraph on series of different "
    "lengths. The rest, with all tables of results, could not be read. Marks: [abstract], [introduction], "
    "[figure], [methodology]; [notes] for public reading notes ({notes}); [code] for the authors' program; "
    "[here] for what was measured for this page or is in this package.",
    QUOTED,
)
_WORKED = Statement(
    "The article reports that its models exceed the state of the art on several sets, with fewer than all "
    "labels too, and calls them the first unsupervised method to do so. [abstract] The methods that held the "
    "record before were not deep: TS-CHIEF, HIVE-COTE and ROCKET. [introduction] Its tables, with ROCKET, "
    "XGBoost, an LSTM, a dilated convolutional network and nearest neighbours under DTW, could not be read, "
    "so that no published accuracy is quoted here."
)


def first_article_sections(result: SeriesResult) -> tuple[Section, ...]:
    """Task; set or sequence and preparation; architecture; training; whether it worked, with an opinion."""
    parts = (
        ("series-task", "What is the task?", (Paragraph(_SOURCE, *_task(result)),)),
        ("series-input", "Is the input a set or a sequence, and how is it prepared?", (Paragraph(*_input(result)),)),
        ("series-model", "The architecture: layers, parameters, what is not standard", (Paragraph(*_model(result)),)),
        ("series-training", "How was it trained, and on how much?", (Paragraph(*_training(result)),)),
        (
            "series-worked",
            "Did it work, and against what?",
            (Paragraph(_WORKED), _comparison(result), Paragraph(*_opinion(result))),
        ),
    )
    return tuple(
        Section(anchor, heading, blocks, number=number)
        for number, (anchor, heading, blocks) in zip(_NUMBERS, parts, strict=True)
    )


def _task(result: SeriesResult) -> tuple[Statement, ...]:
    return (
        Statement(
            "The task is to learn, without labels, a representation of multivariate time series that serves "
            "regression, classification, forecasting and the imputation of missing values. [abstract] The reason given "
            "is that labels are rare and expensive even where data are plenty. [introduction] The encoder is the same "
            "for every task; only the last layer changes. [code]"
        ),
        Statement(
            "The experiment here uses {data}: {classes} speakers say the same two vowels, and the model predicts the "
            "speaker. [here]",
            {"data": result.data.name, "classes": len(result.data.classes)},
        ),
    )


def _input(result: SeriesResult) -> tuple[Statement, ...]:
    data = result.data
    lengths = np.concatenate([data.train.lengths, data.test.lengths])
    return (
        Statement(
            "The input is a sequence. A token is one time step: a linear layer maps its <V> variables to the model's "
            "width D, and an encoding of its position is added before queries, keys and values are formed. [figure] "
            "The positions are learned [notes], and the last layer has a weight for each position [code]."
        ),
        Statement(
            "Each variable is standardized over the training series. [notes] Shorter series are padded to a common "
            "length, and a large negative number is added to the logits of the padding, so that the softmax ignores "
            "it. [methodology] The embedded vector is multiplied by <root D>. [code]"
        ),
        Statement(
            "Every step is a token, so the cost grows with the square of the number of steps. [code] Here a "
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
            "{hidden}, dropout {dropout}. [code] The example commands use widths of {width} and {widest}. [code]",
            QUOTED,
        ),
        Statement(
            "Not standard: batch normalization instead of layer normalization [notes]; no class token, but all tokens "
            "of the last layer concatenated, those of padding set to zero, as the input of one linear layer [code]; "
            "for pre-training, one linear layer predicts the variables of a step from its token [figure]."
        ),
        Statement(
            "The model here has {depth} layers of width {width} with {heads} heads and dropout {dropout:g}: {count:,} "
            "parameters, of which {head:,} are in the last layer. Padding is excluded from the statistics of its batch "
            "normalization; in the authors' program it is included. [here]",
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
            "First without labels: in each variable separately, masked and visible stretches alternate, whose mean "
            "lengths give the share of masked values; the loss is the squared error on the masked values only. "
            "[figure] Lengths are geometric, and {ratio:.0%} of the values are masked. [code] Then a new last layer "
            "is added, and all weights are trained on the labels, which is better than training that layer alone. "
            "[notes] The example commands take {pretrained_epochs} epochs without labels and {epochs} with them, with "
            "RAdam at a learning rate of {rate}. [code]",
            QUOTED,
        ),
        Statement(
            "The data are benchmark sets for regression and classification, some with very few training samples; "
            "pre-training helps even if it reuses the same samples. [abstract]"
        ),
        Statement(
            "Here: {trained} series; {pretraining} epochs without labels"
            + (" and {epochs} with them" if plan.pretrain else ", which were left out, and {epochs} with them")
            + ", AdamW with a learning rate of {rate:g}. [here]",
            {
                "trained": len(data.train.labels),
                "pretraining": plan.pretraining.epochs,
                "epochs": plan.recipe.epochs,
                "rate": plan.recipe.learning_rate,
            },
        ),
    )


def _comparison(result: SeriesResult) -> Table:
    rows = [
        (METHOD_LABELS[method], f"{values.mean():.1%}", str(len(values)))
        for method, values in result.accuracies.items()
    ]
    return Table(
        Statement("Accuracy on {data}, measured for this page.", {"data": result.data.name}),
        ("method", "accuracy [here]", "runs"),
        tuple(rows),
        "series-article",
    )


def _opinion(result: SeriesResult) -> tuple[Statement, ...]:
    statements = [
        Statement(
            "Our opinion: the idea is sound and the model is simple, which is its best side. Little in it is specific "
            "to time series: batch normalization, and masking whole stretches, which pre-training needs because a "
            "single masked step could be interpolated from its neighbours."
        )
    ]
    plan = result.plan
    if plan.pretrain:
        statements.append(
            Statement(
                "The fair alternative to pre-training is any other use of its time: here it runs {times:.1f} times the "
                "epochs of the training that follows.",
                {"times": plan.pretraining.epochs / plan.recipe.epochs},
            )
        )
    baselines = {name: float(values.mean()) for name, values in result.accuracies.items() if name in BASELINES}
    if baselines:
        best = max(baselines, key=lambda name: baselines[name])
        statements.append(
            Statement(
                "The best of the other methods, {name} with {mean:.1%}, has no attention weights to look at, but needs "
                "no training by gradients: for a small data set where only accuracy matters, try it first.",
                {"name": METHOD_LABELS[best], "mean": baselines[best]},
            )
        )
    return tuple(statements)
