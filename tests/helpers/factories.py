"""Attention records for the tests of figures and captions."""

from dataclasses import replace

import numpy as np

from headwise.figures import AttentionRecord
from headwise.figures.dependence import Dependence
from headwise.metrics.faithfulness import Faithfulness
from headwise.tokenizers import get_tokenizer

L, H = 3, 2
SCORE = Faithfulness(
    tokens=16, full=0.97, empty=0.11, deletion=0.31, insertion=0.83, random_deletion=(0.52, 0.36, 0.71),
    random_insertion=(0.5, 0.3, 0.7), ink_deletion=0.37, ink_insertion=0.79, fraction_of_random_beaten_deletion=0.993,
    fraction_of_random_beaten_insertion=0.97, comprehensiveness=0.5, sufficiency=0.2, shapley=0.61, ink_shapley=0.42,
    shapley_error=0.0, orders=1000,
)  # fmt: skip


def make_dependence(rng, players, **fields):
    """Two maps of random values, with one value for each player, and the result of an audit."""
    p = max(players) + 1
    fields = {"map": "AttnLRP", "audited": 40, "confidence": 0.875, "data": "the test images of MNIST"} | fields
    return Dependence(np.array(players), rng.dirichlet(np.ones(p)), rng.normal(size=p), **fields)


def make_record(
    rng, tokens="7x7", *, weights=None, class_token=True, shape=(L, H), concentration=0.5, score=None, **fields
):
    """A record of random attention in an image of one vertical bar; with a score, it also has curves."""
    tokenizer = get_tokenizer(tokens, (28, 28))
    n = tokenizer.num_tokens + class_token
    image = np.zeros((28, 28), np.float32)
    image[6:22, 12:16] = 1
    if weights is None:
        weights = rng.dirichlet(np.full(n, concentration), (*shape, n)).astype(np.float32)
    positions = rng.normal(size=(tokenizer.num_tokens, 11)).astype(np.float32)
    fields = {"label": 3, "head_width": 16, "positions": positions} | fields
    probabilities = rng.dirichlet(np.full(10, 0.3))
    record = AttentionRecord(tokenizer.permute(image), tokenizer.boxes, weights, probabilities, **fields)
    if score is None:
        return record
    curves = np.sort(rng.random((2, 5, tokenizer.num_tokens + 1)))[:, :, ::-1]
    return replace(record, faithfulness=score, ranking=record.last_layer_map, curves=curves)


def with_targets(rng, shape, targets):
    """(L, H, T, T): random weights, of which some heads put most on the targets (T, T) of each query."""
    t = len(next(iter(targets.values())))
    weights = rng.dirichlet(np.full(t, 0.7), (*shape, t))
    for head, mask in targets.items():
        weights[head] = 0.15 * weights[head] + 0.85 * mask / np.maximum(mask.sum(axis=-1, keepdims=True), 1)
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def make_text_record(rng, words, targets, *, shape=(2, 2), visible=None, **fields):
    """A record of a text of these words, in brackets if they are special, with the targets (T, T) of some heads."""
    weights = with_targets(rng, shape, targets)
    if visible is not None:
        weights = weights * (visible if visible.ndim == 2 else visible[:, None])
        weights /= weights.sum(axis=-1, keepdims=True)
        fields["visible"] = visible
    prefix = np.array([word.startswith("[") for word in words])
    stops = np.cumsum([len(word) + 1 for word in words]) - 1
    spans = np.stack([stops - [len(word) for word in words], stops], axis=1)
    fields = {"prefix": prefix, "words": tuple(words), "text": " ".join(words), "head_width": 16} | fields
    nothing = np.zeros((0, 0), np.float32)
    return AttentionRecord(nothing, spans[~prefix], weights, rng.dirichlet(np.full(7, 0.3)), kind="text", **fields)


def make_series_record(rng, steps, targets, *, shape=(2, 2), **fields):
    """A record of a series of three variables, with the targets (T, T) of some heads."""
    boxes = np.stack([np.arange(steps), np.arange(steps) + 1], axis=1)
    series = rng.normal(size=(steps, 3)).astype(np.float32)
    weights = with_targets(rng, shape, targets)
    return AttentionRecord(series, boxes, weights, rng.dirichlet(np.full(5, 0.3)), kind="series", **fields)
