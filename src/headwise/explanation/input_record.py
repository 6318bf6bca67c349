"""Attention records and score names of any model under the `Model` protocol, for one input of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from headwise.attention.textbook import softmax
from headwise.errors import DataError, HeadwiseError
from headwise.explanation.display import displayed_image, displayed_series
from headwise.explanation.text_arrays import find_segments, name_spans
from headwise.figures import AttentionRecord
from headwise.figures.record import InputKind
from headwise.models import Model, Tokens
from headwise.recorder import AttentionLayer
from headwise.shapes import Array, BoolArray, IntArray

KINDS = ("self", "cross")  # of attention calls
_BLANKS = {" ": "␣", "\n": "⏎", "\t": "⇥"}
_PROBE_TOKENS = 24  # random tokens that are repeated once


def record_input(model: Model, input: Any, *, label: int = -1, layers: str = "self") -> AttentionRecord:
    """Run a model on one input and record its attention.

    Parameters
    ----------
    model : Model
    input
        Whatever the model takes: see `headwise.models.open_model`.
    label : int
        The true class, if it is known.
    layers : str
        ``"self"`` or ``"cross"``: which attention calls of an encoder–decoder to record. Otherwise calls of both kinds.

    Returns
    -------
    AttentionRecord
        Of the largest group of attention calls that have the same shape.

    Raises
    ------
    DataError
        If the model cannot locate its tokens or record its attention, or has no such layers.
    """
    for capability in ("tokens", "look"):
        if capability not in model.capabilities:
            raise DataError(f"model: expected one that has {capability}. {model.missing[capability]}")
    tokens = model.tokens(input)
    if tokens.prefix.all():
        raise DataError("input: it has no tokens but special ones, so there is nothing to attend to.")
    capture = model.look(input)
    group, others = _largest_group(_join_values(capture.layers), layers, len(tokens))
    if _has_missing_values(input) and not all(np.isfinite(layer.q).all() for layer in group):
        raise DataError("input: it has missing values (NaN), which the model passes on; impute them first.")
    weights = np.concatenate([layer.weights() for layer in group]).astype(np.float32)
    prediction = _predict(model, input)
    record = _locate(model, input, tokens, weights)
    return replace(
        record,
        probabilities=prediction.probabilities,
        top_names=prediction.names,
        next_token=prediction.next_token,
        label=label,
        head_width=_head_width(group),
        unverified=not all(layer.proven for layer in group),
        visible=_visible(group),
        value_norms=_value_norms(group),
        other_layers=others,
    )


def _has_missing_values(input: Any) -> bool:
    arrays = [value for value in (input.values() if isinstance(input, Mapping) else [input]) if hasattr(value, "dtype")]
    return any(bool((array != array).any()) for array in arrays)  # of arrays and tensors


def _join_values(layers: Sequence[AttentionLayer]) -> list[AttentionLayer]:
    """Consecutive calls of a module with the same weights, for parts of the values, as one, as in DiffLlama."""
    joined: list[AttentionLayer] = []
    for layer in layers:
        last = joined[-1] if joined and joined[-1].name == layer.name and joined[-1].shape == layer.shape else None
        same_scores = last is not None and all(np.array_equal(a, b) for a, b in ((last.q, layer.q), (last.k, layer.k)))
        if last is not None and same_scores and np.array_equal(last.weights(), layer.weights()):
            v, output = (np.concatenate(p, axis=-1) for p in ((last.v, layer.v), (last.output, layer.output)))
            joined[-1] = replace(last, v=v, output=output)
        else:
            joined.append(layer)
    return joined


def _largest_group(layers: Sequence[AttentionLayer], kind: str, tokens: int) -> tuple[list[AttentionLayer], int]:
    """The calls of one kind and shape that are most, and how many others there are."""
    candidates = [layer for layer in layers if (layer.kind == kind or kind not in KINDS) and layer.shape[0] == 1]
    candidates = [layer for layer in candidates if kind == "cross" or layer.shape[3] == tokens] or candidates
    if not candidates:
        shapes = ", ".join(sorted({f"{layer.kind} {layer.shape}" for layer in layers}))
        expected = f"{kind}-attention" if kind in KINDS else "attention"
        raise DataError(f"layers: expected {expected} over the whole input; the model has {shapes or 'none'}.")
    groups: dict[tuple[int, ...], list[AttentionLayer]] = {}
    for layer in candidates:
        groups.setdefault(layer.shape, []).append(layer)
    group = max(groups.values(), key=len)
    return group, len(layers) - len(group)


def _head_width(group: Sequence[AttentionLayer]) -> int:
    """Return d if the weights of all layers are softmax(q kᵀ / √d), with or without a mask; otherwise 0."""
    widths = {layer.q.shape[-1] for layer in group}
    plain = all(
        np.isclose(layer.scale**2 * layer.q.shape[-1], 1, rtol=1e-3)
        and all(part is None for part in (layer.softcap, layer.bias, layer.sinks))
        and not layer.note
        for layer in group
    )
    return int(widths.pop()) if plain and len(widths) == 1 else 0


def _visible(group: Sequence[AttentionLayer]) -> BoolArray:
    """(N, M) or (L, N, M): the keys that each query may attend to in any head, by layer only if layers differ.

    Empty if all are visible.
    """
    shape = group[0].shape[2:]
    rows = np.arange(shape[0])
    visible = np.stack([
        np.ones(shape, bool) if layer.mask is None else np.broadcast_to(layer.mask.rows(rows)[0].any(axis=0), shape)
        for layer in group
    ])  # fmt: skip
    if visible.all():
        return np.zeros((0, 0), bool)
    return np.asarray(visible[0]) if (visible == visible[0]).all() else visible


def _value_norms(group: Sequence[AttentionLayer]) -> Array:
    """(L, H, M): length of each key's value, for each query head."""
    norms = [np.linalg.norm(layer.v[0].astype(np.float32), axis=-1) for layer in group]
    repeated = [np.repeat(n, layer.shape[1] // len(n), axis=0) for n, layer in zip(norms, group, strict=True)]
    return np.stack(repeated)


class _Prediction(NamedTuple):
    """Probabilities (C,), names of the two most probable classes if they have any, and whether these are tokens."""

    probabilities: Array
    names: tuple[str, ...] = ()
    next_token: bool = False


def _predict(model: Model, input: Any) -> _Prediction:
    """The prediction; without probabilities if the model has no scores, or one, which is none of classes."""
    none = _Prediction(np.zeros(0, np.float32))
    if "predict" not in model.capabilities:
        return none
    try:
        scores = model.predict(input)
    except DataError:  # what can only be known of an input
        return none
    if len(scores) == 1:
        return none
    probabilities = np.asarray(softmax(scores[None])[0])
    top = np.argsort(-probabilities, kind="stable")[:2]
    names, next_token = name_scores(model, top, len(scores))
    return _Prediction(probabilities, names if names[0] else (), next_token)


def _locate(model: Model, input: Any, tokens: Tokens, weights: Array) -> AttentionRecord:
    """The record of these weights with the input and the places of its tokens."""
    none = np.zeros(0, np.float32)
    labels = tuple(tokens.labels)
    keys = weights.shape[-1]
    rows = weights.shape[2]
    if keys != len(tokens):  # attention to other tokens than the input's, such as a decoder's
        names = tuple(map(str, range(1, keys + 1)))
        queries = labels if rows == len(tokens) else tuple(map(str, range(1, rows + 1)))
        spans = np.zeros((keys, 2), np.int64)
        return AttentionRecord(
            np.zeros((0, 0), np.float32), spans, weights, none, kind="other", words=names, query_words=queries
        )
    queries = () if rows == keys else tuple(map(str, range(1, rows + 1)))
    shared: dict[str, Any] = {"prefix": tokens.prefix, "words": labels, "query_words": queries}
    if tokens.kind == "image":
        image, boxes = displayed_image(model, input, tokens)
        return AttentionRecord(image, boxes, weights, none, **shared)
    if tokens.kind == "series":
        values, boxes = displayed_series(input, tokens)
        return AttentionRecord(values, boxes, weights, none, kind="series", **shared)
    text, places = _text_and_spans(tokens)
    segments = find_segments(input, tokens)
    nothing = np.zeros((0, 0), np.float32)
    kind: InputKind = "text" if tokens.kind == "text" else "other"
    return AttentionRecord(
        nothing, places[~tokens.prefix], weights, none, kind=kind, text=text, segments=segments, **shared
    )


def _text_and_spans(tokens: Tokens) -> tuple[str, IntArray]:
    """The text and the tokens' places in it; of tokens without a text, their names with blanks between them."""
    if tokens.text:
        return tokens.text, tokens.locations
    return " ".join(tokens.labels), name_spans(tokens.labels)


def probe_induction(model: Any, record: AttentionRecord) -> Array:
    """Attention weights (L, H, 2 R, 2 R) of a causal model of texts for random tokens that are repeated once.

    Empty for other models. A head that attends from a token to the one that followed its previous occurrence performs
    induction (Olsson et al., arXiv 2209.11895).
    """
    causal_text = record.kind == "text" and record.is_causal
    vocabulary = getattr(getattr(model, "preprocessor", None), "tokenizer", None) if causal_text else None
    if vocabulary is None:
        return np.zeros((0, 0, 0, 0), np.float32)
    rng = np.random.default_rng(0)
    size = int(vocabulary.get_vocab_size())
    ids = rng.integers(size // 20, size, _PROBE_TOKENS)  # the first tokens of a vocabulary are special ones and bytes
    layers = model.look(np.tile(ids, 2)).layers
    shape = (1, record.weights.shape[1], 2 * _PROBE_TOKENS, 2 * _PROBE_TOKENS)
    weights = [layer.weights() for layer in layers if layer.shape == shape]
    if len(weights) != len(record.weights):
        return np.zeros((0, 0, 0, 0), np.float32)
    return np.asarray(np.concatenate(weights), np.float32)


class ScoreNames(NamedTuple):
    """Names of some scores, empty where there is none, and whether the scores are of next tokens."""

    names: tuple[str, ...]
    next_token: bool


def name_scores(model: Any, indices: IntArray, count: int) -> ScoreNames:
    """Name some of a model's scores.

    Parameters
    ----------
    model : Model
    indices : ndarray of int
    count : int
        How many scores the model has; they are next tokens if its vocabulary is as large.
    """
    config: Any = getattr(model, "config", None)
    labels = config.get("id2label") if hasattr(config, "get") else None
    tokenizer = _tokenizer(model)
    size = _vocabulary_size(tokenizer)
    if size and size <= count < 1.1 * size + 512:  # a vocabulary may be padded to a round number
        return ScoreNames(tuple(f"“{_token_text(tokenizer, int(i))}”" for i in indices), True)
    if labels:
        return ScoreNames(
            tuple(str(labels.get(str(i), labels.get(i, ""))) for i in np.asarray(indices).tolist()), False
        )
    return ScoreNames(("",) * len(indices), False)


def _tokenizer(model: Any) -> Any:
    """The tokenizer of a loaded model, or the one that was passed for a model of another framework."""
    texts = getattr(getattr(model, "reader", None), "texts", None)
    owner = texts if texts is not None else _preprocessor(model)
    tokenizer = getattr(owner, "tokenizer", None)
    return getattr(tokenizer, "tokenizer", tokenizer)


def _preprocessor(model: Any) -> Any:
    """The preprocessor of a loaded model; None if its folder has none."""
    try:
        return getattr(model, "preprocessor", None)
    except HeadwiseError:
        return None


def _vocabulary_size(tokenizer: Any) -> int:
    if hasattr(tokenizer, "get_vocab_size"):
        return int(tokenizer.get_vocab_size())
    return len(tokenizer) if hasattr(tokenizer, "__len__") and hasattr(tokenizer, "decode") else 0


def _token_text(tokenizer: Any, index: int) -> str:
    """The text of a token; of blanks, signs for them; of a special token, its name."""
    text = str(tokenizer.decode([index]))
    if text.strip():
        return text.strip()
    if text:
        return "".join(_BLANKS.get(sign, sign) for sign in text)
    convert = getattr(tokenizer, "id_to_token", None) or getattr(tokenizer, "convert_ids_to_tokens", None)
    return str(convert(index) or "") if convert else ""
