"""Loaded models on one input, as the `Model` protocol has it: tokens and their places, scores without some tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from headwise.errors import DataError, HeadwiseError, ShapeError
from headwise.models.base import Capability, Tokens, in_batches, patch_boxes, patch_labels, with_prefix_tokens
from headwise.models.encoder import AudioEmbedding, ImageEmbedding
from headwise.models.encoder.inputs import NetworkInputs
from headwise.models.encoder.network import network_forward
from headwise.models.preprocess.audio import AudioPreprocessor
from headwise.models.preprocess.images import ImagePreprocessor
from headwise.models.preprocess.texts import TextPreprocessor
from headwise.shapes import Array, BoolArray, IntArray

if TYPE_CHECKING:
    from headwise.models.loaded_model import LoadedModel

_SUBSETS_AT_ONCE = 16
_PREFIX_LABELS = {"class_token": "[CLS]", "distillation_token": "[DIST]", "register_tokens": "[REG{}]"}


def arrays_of(model: LoadedModel, input: Any) -> dict[str, Any]:
    """The arrays of one input: preprocessed, or as they are if it is a mapping of arrays with one item each."""
    if isinstance(input, Mapping):
        arrays = dict(input)
    elif (name := _ready(model, input)) is not None:
        arrays = {name: np.asarray(input)[None]}
    else:
        arrays = model.preprocess(input)
    for name, array in arrays.items():
        if len(array) != 1:
            raise ShapeError(f"{name}: expected one item, (1, ...); got {np.shape(array)}.")
    return arrays


def missing_of(model: LoadedModel) -> dict[Capability, str]:
    """Why methods cannot be called: scores need a head of classes, or of the next token."""
    if _has_scores(model):
        return {}
    head = "one for each token, of all tokens at once" if "logits" in model.architecture.network.heads else "none"
    reason = f"its file has no head of classes or of the next token; scores: {head}."
    return {"predict": reason, "gradients": reason}


def tokens_of(model: LoadedModel, input: Any) -> Tokens:
    """The tokens of one input in the order of the attention weights, with their places in the input itself."""
    embedding = model.architecture.network.embedding
    if isinstance(embedding, ImageEmbedding):
        return _patches(model, input, embedding)
    if isinstance(embedding, AudioEmbedding):
        hop = model.preprocessor.hop if isinstance(model.preprocessor, AudioPreprocessor) else 1
        steps = np.arange(embedding.frames // 2) * 2 * hop
        rate = model.preprocessor.rate if isinstance(model.preprocessor, AudioPreprocessor) else 1
        labels = tuple(f"{step / rate:.2f} s" for step in steps)
        return Tokens("series", np.stack([steps, steps + 2 * hop], axis=1), np.zeros(len(steps), bool), labels)
    if isinstance(input, Mapping) or _ready(model, input):
        return _tokens_of_ids(model, arrays_of(model, input))
    preprocessor = model.preprocessor
    assert isinstance(preprocessor, TextPreprocessor)  # the embedding is one of texts
    tokenized = preprocessor.tokens(input)
    return Tokens("text", tokenized.spans, tokenized.special, tokenized.labels, tokenized.text)


def scores_of(model: LoadedModel, input: Any, keep: BoolArray | None) -> Array:
    """Scores (C,) before any softmax; with `keep` (S, T) scores (S, C), the other tokens hidden from every token."""
    if reason := missing_of(model).get("predict"):
        raise DataError(f"predict: {reason}")
    inputs = NetworkInputs.from_arrays(model.dtype, arrays_of(model, input))
    if keep is None:
        outputs, _ = network_forward(inputs, model.params, model.architecture.network, keep=False)
        return np.asarray(_scores(outputs["logits"], np.array([-1]))[0])
    keep = with_prefix_tokens(keep, tokens_of(model, input).prefix)
    if not keep.any(axis=1).all():
        raise DataError("keep: expected at least one token in each row; a model without tokens has no scores.")
    return in_batches(partial(_masked_scores, model, inputs), keep, _SUBSETS_AT_ONCE)


def score_gradient(model: LoadedModel, input: Any, target: int) -> tuple[Array, ...]:
    """Gradients of the target's score with respect to the weights of each layer, (1, H, N, M) each."""
    if reason := missing_of(model).get("gradients"):
        raise DataError(f"gradients: {reason}")
    output, cache = model.forward(**arrays_of(model, input))
    logits = output.logits
    douts = np.zeros_like(logits)
    if not 0 <= target < logits.shape[-1]:
        raise DataError(f"target: expected 0 to {logits.shape[-1] - 1}; got {target}.")
    douts[(0, -1, target) if logits.ndim == 3 else (0, target)] = 1
    return model.backward({"logits": douts}, cache).attention


def _masked_scores(model: LoadedModel, inputs: NetworkInputs, keep: BoolArray) -> Array:
    """Scores (S, C) of copies of the input, each with another mask."""
    arrays = {name: array for name, array in vars(inputs).items() if name != "mask" and array is not None}
    copies = {name: np.repeat(array, len(keep), axis=0) for name, array in arrays.items()}
    visible = keep[:, None, None, :]
    masked = replace(inputs, **copies, mask=visible if inputs.mask is None else visible & inputs.mask)
    outputs, _ = network_forward(masked, model.params, model.architecture.network, keep=False)
    last = keep.shape[1] - 1 - keep[:, ::-1].argmax(axis=1)
    return _scores(outputs["logits"], last)


def _scores(logits: Array, last: IntArray) -> Array:
    """Scores of each item: of its classes, or of the token after its last one."""
    return logits if logits.ndim == 2 else logits[np.arange(len(logits)), last]


def _has_scores(model: LoadedModel) -> bool:
    network = model.architecture.network
    if "logits" in network.averages:
        return True
    head = network.heads.get("logits")
    if head is None:
        return False
    pooled = getattr(head, "pool", "first") != "tokens" or head.source != "last_hidden_state"
    return pooled or network.trunk.blocks[0].attention.causal


def _ready(model: LoadedModel, input: Any) -> str | None:
    """The argument that an array is passed as because it needs no preprocessing: a floating image or token ids."""
    if not isinstance(input, np.ndarray):
        return None
    embedding = model.architecture.network.embedding
    if isinstance(embedding, ImageEmbedding):
        is_image = input.ndim == 3 and len(input) == embedding.channels
        return "pixel_values" if is_image and input.dtype.kind == "f" else None
    if isinstance(embedding, AudioEmbedding):
        return "input_features" if input.ndim == 2 and input.dtype.kind == "f" else None
    return "input_ids" if input.ndim == 1 and input.dtype.kind in "iu" else None


def _tokens_of_ids(model: LoadedModel, arrays: Mapping[str, Any]) -> Tokens:
    """Tokens without a text; their names and which are special as far as the tokenizer says."""
    if "input_ids" not in arrays:
        n = arrays["inputs_embeds"].shape[1]
        return Tokens("other", np.zeros((n, 2), np.int64), np.zeros(n, bool))
    ids = arrays["input_ids"][0]
    nowhere = np.zeros((len(ids), 2), np.int64)
    try:
        preprocessor = model.preprocessor
        assert isinstance(preprocessor, TextPreprocessor)  # the embedding is one of texts
    except HeadwiseError:  # a folder without tokenizer
        return Tokens("other", nowhere, np.zeros(len(ids), bool), tuple(map(str, ids)))
    return Tokens("other", nowhere, preprocessor.is_special(ids), preprocessor.labels(ids))


def _patches(model: LoadedModel, input: Any, embedding: ImageEmbedding) -> Tokens:
    """Prefix tokens, then the patches, whose boxes are in pixels of the image before preprocessing."""
    if isinstance(input, Mapping) or _ready(model, input):
        height, width = arrays_of(model, input)["pixel_values"].shape[2:]
        area = 0.0, 0.0, float(width), float(height)
    else:
        preprocessor = model.preprocessor
        assert isinstance(preprocessor, ImagePreprocessor)  # the embedding is one of images
        height, width = preprocessor([input])["pixel_values"].shape[2:]
        area = preprocessor.crop_box(*preprocessor.open(input).size)
    grid = embedding.patch_grid(height, width)
    boxes = patch_boxes(area, (height, width), embedding.patch, grid)
    counts = {name: len(np.atleast_2d(model.params[f"embedding.{name}"])) for name in embedding.prefix}
    labels = [_PREFIX_LABELS[name].format(i + 1) for name, count in counts.items() for i in range(count)]
    prefix = np.arange(len(labels) + len(boxes)) < len(labels)
    located = np.concatenate([np.zeros((len(labels), 4), np.int64), boxes])
    return Tokens("image", located, prefix, (*labels, *patch_labels(*grid)), patches=grid)
