"""One input of a model as a differentiable function: scores, exact gradients and the parts of every layer.

Every model of this package and of `headwise.load` is brought into one form, the `Network` of loaded models, so that
each attribution map is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.models import LoadedModel, SeriesTransformer, TableTransformer, Tokens, ViT
from headwise.models.adapters import class_token_network, split_projections
from headwise.models.encoder import (
    AttentionOptions,
    AudioEmbedding,
    BlockOptions,
    Head,
    ImageEmbedding,
    Network,
    Norm,
    TextEmbedding,
    TrunkOptions,
)
from headwise.models.encoder.inputs import NetworkInputs
from headwise.models.encoder.network import NetworkCache, NetworkGradients, network_backward, network_forward
from headwise.models.single_input import arrays_of
from headwise.models.tabular import feature_tokenizer_forward
from headwise.models.vit import embed_tokens
from headwise.nn import Params, batch_norm_forward, subtree, with_prefix
from headwise.shapes import Array, BoolArray

_BATCH_TOKENS = 2048  # tokens of the inputs that are run at once


class Pass(NamedTuple):
    """Scores (S, C) of some inputs, the shape of the network's logits, and the cache for the backward pass."""

    scores: Array
    shape: tuple[int, ...]
    cache: NetworkCache


@dataclass(frozen=True, eq=False)
class Differentiable:
    """The scores of a model as a function of x, the continuous part of one input.

    Attributes
    ----------
    network, params : Network, dict
    tokens : Tokens
    name : {"inputs_embeds", "pixel_values", "input_features"}
        What x is: embeddings (T, E), pixels (C, Y, X), or a spectrogram.
    x, baseline : ndarray of one shape
        This input, and one without content: pixels and values at the mean, embeddings of words zero.
    by_token : callable
        Sums an array of the shape of x over each token, (T,).
    fixed : mapping of str to ndarray
        The other arguments of the network, with batch size 1.
    """

    network: Network
    params: Params
    tokens: Tokens
    name: str
    x: Array
    baseline: Array
    by_token: Callable[[Array], Array]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def forward(self, x: Array, keep: BoolArray | None = None, *, for_backward: bool = True) -> Pass:
        """Run inputs x (S, ...); tokens that are not in `keep` (S, T) are hidden from every token."""
        arrays: dict[str, Any] = {name: np.repeat(array, len(x), axis=0) for name, array in self.fixed.items()}
        if keep is not None:
            visible = (keep | self.tokens.prefix)[:, None, None]
            arrays["mask"] = visible & arrays["mask"] if "mask" in arrays else visible
        arrays[self.name] = x
        inputs = NetworkInputs(**arrays)
        outputs, cache = network_forward(
            inputs, self.params, self.network, keep=for_backward, return_weights=for_backward
        )
        logits = outputs["logits"]
        if logits.ndim == 2:
            return Pass(logits, logits.shape, cache)
        last = np.full(len(x), logits.shape[1] - 1)
        if keep is not None:
            last = last - keep[:, ::-1].argmax(axis=1)
        return Pass(logits[np.arange(len(x)), last], logits.shape, cache)

    def scores(self, x: Array, keep: BoolArray | None = None) -> Array:
        """Scores (S, C) of inputs x (S, ...), in batches that bound the memory."""
        parts = []
        for part in self._batches(len(x)):
            visible = None if keep is None else keep[part]
            parts.append(self.forward(x[part], visible, for_backward=False).scores)
        return np.concatenate(parts)

    def backward(self, dscores: int | Array, run: Pass, cache: NetworkCache | None = None) -> NetworkGradients:
        """Gradients of a target's score, or for gradients (S, C) with respect to the scores of a run.

        `cache` can replace the run's own.
        """
        douts = np.zeros(run.shape, run.scores.dtype)
        per_class = douts[:, -1] if len(run.shape) == 3 else douts  # the scores of the next token are the last row's
        if isinstance(dscores, np.ndarray):
            per_class[:] = dscores
        else:
            per_class[:, dscores] = 1
        return network_backward({"logits": douts}, run.cache if cache is None else cache)

    def gradient(self, x: Array, target: int) -> Array:
        """Gradients (S, ...) of the target's score with respect to x (S, ...)."""
        parts = [self.backward(target, self.forward(x[part])).input for part in self._batches(len(x))]
        return np.concatenate(parts)

    def _batches(self, count: int) -> list[slice]:
        step = max(1, _BATCH_TOKENS // len(self.tokens))
        return [slice(start, start + step) for start in range(0, count, step)]


def is_differentiable(model: Any) -> bool:
    """Whether `differentiable` accepts the model."""
    return differentiable.dispatch(type(model)) is not differentiable.dispatch(object)


@singledispatch
def differentiable(model: Any, input: Any) -> Differentiable:
    """One input of a model as a differentiable function.

    Parameters
    ----------
    model : LoadedModel, ViT, TableTransformer or SeriesTransformer
        With scores.
    input : object
        What the model takes.

    Raises
    ------
    DataError
        If gradients of the model are not available, or it has no scores.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise.models.vit import ViTConfig, vit_params
    >>> config = ViTConfig("14x14", d_model=8, n_layers=2, n_heads=2, d_ff=8)
    >>> function = differentiable(ViT(config, vit_params(config, np.random.default_rng(0))), np.ones((28, 28), "f4"))
    >>> function.x.shape, function.scores(function.x[None]).shape
    ((5, 8), (1, 10))
    """
    raise DataError(
        f"model: expected a model of headwise.load or one that this package trained; the gradients of a "
        f"{type(model).__name__} are not available."
    )


@differentiable.register
def _(model: LoadedModel, input: Any) -> Differentiable:
    if "predict" not in model.capabilities:
        raise DataError("model: expected a model with scores; it has no head of classes or of the next token.")
    tokens, arrays = model.tokens(input), arrays_of(model, input)
    inputs = NetworkInputs.from_arrays(model.dtype, arrays)
    network, embedding = model.architecture.network, model.architecture.network.embedding
    arguments = {name: getattr(inputs, name) for name in ("token_type_ids", "position_ids", "mask")}
    fixed = {name: array for name, array in arguments.items() if array is not None}
    if isinstance(embedding, ImageEmbedding):
        x, by_token = inputs.need("pixel_values")[0], _by_patch(embedding, len(tokens))
        return Differentiable(network, model.params, tokens, "pixel_values", x, np.zeros_like(x), by_token)
    if isinstance(embedding, AudioEmbedding):
        x = inputs.need("input_features")[0]
        return Differentiable(network, model.params, tokens, "input_features", x, np.zeros_like(x), _by_frame)
    ids = inputs.input_ids
    x = inputs.need("inputs_embeds")[0] if ids is None else model.params["embedding.word"][ids[0]]
    return Differentiable(network, model.params, tokens, "inputs_embeds", x, np.zeros_like(x), _by_row, fixed)


@differentiable.register
def _(model: ViT, input: Any) -> Differentiable:
    pixels = model.config.image_tokenizer.tokenize(np.asarray(input)[None])
    mean = np.full_like(pixels, model.config.mean)
    x, baseline = (embed_tokens(tokens, model.params, model.config)[0][0] for tokens in (pixels, mean))
    return _class_token_encoder(model, input, x, baseline)


@differentiable.register
def _(model: TableTransformer, input: Any) -> Differentiable:
    numbers, codes = input
    columns, cardinalities = subtree(model.params, "columns"), model.config.cardinalities
    x = feature_tokenizer_forward(numbers[None], codes[None], columns, cardinalities)[0][0]
    baseline = feature_tokenizer_forward(np.zeros_like(numbers)[None], codes[None], columns, cardinalities)[0][0]
    first_category = 1 + model.config.n_numeric
    baseline[first_category:] = columns["offset"][model.config.n_numeric :]
    return _class_token_encoder(model, input, x, baseline)


@differentiable.register
def _(model: SeriesTransformer, input: Any) -> Differentiable:
    config, params, steps = model.config, model.params, len(input)
    embedding = params["embedding.weight"], params["embedding.bias"]
    scale = input.dtype.type(np.sqrt(config.d_model))
    x, baseline = (
        scale * (values @ embedding[0].T + embedding[1]) + params["positions"][:steps]
        for values in (input, np.zeros_like(input))
    )
    converted: Params = {}
    for i in range(config.n_layers):
        layer = subtree(params, f"layers.{i}")
        converted |= with_prefix(f"blocks.{i}", split_projections(layer))
        for name in ("norm_1", "norm_2"):
            converted |= with_prefix(f"blocks.{i}.{name}", _fixed_batch_norm(subtree(layer, name)))
    used = steps * config.d_model  # the head has weights for the longest series
    converted |= {"heads.logits.output.weight": params["head.weight"][:, :used]}
    converted |= {"heads.logits.output.bias": params["head.bias"]}
    block = BlockOptions(
        AttentionOptions(config.n_heads, config.n_heads), "gelu_tanh", Norm(affine=True), post_norm=True
    )
    head = Head(pool="all", activation="gelu_tanh")
    network = Network(TextEmbedding(Norm()), TrunkOptions((block,) * config.n_layers), {"logits": head})
    return Differentiable(network, converted, model.tokens(input), "inputs_embeds", x, baseline, _by_row)


def _class_token_encoder(model: ViT | TableTransformer, input: Any, x: Array, baseline: Array) -> Differentiable:
    """The encoder of the class-token models, with x their embedded tokens (T, D)."""
    return Differentiable(*class_token_network(model), model.tokens(input), "inputs_embeds", x, baseline, _by_row)


def _fixed_batch_norm(params: Params) -> Params:
    """Gain and bias of batch normalisation with its running averages, which is an affine map."""
    width, dtype = len(params["gain"]), params["gain"].dtype
    ends = np.stack([np.zeros(width, dtype), np.ones(width, dtype)])
    (at_zero, at_one), _ = batch_norm_forward(ends, params, training=False)
    return {"gain": at_one - at_zero, "bias": at_zero}


def _by_row(values: Array) -> Array:
    return np.asarray(values.sum(axis=-1))


def _by_frame(values: Array) -> Array:
    """A spectrogram (C, frames), two frames for each token."""
    frames = values.sum(axis=0)
    return np.asarray(frames[: len(frames) // 2 * 2].reshape(-1, 2).sum(axis=1))


def _by_patch(embedding: ImageEmbedding, count: int) -> Callable[[Array], Array]:
    """Pixels (C, Y, X) to the tokens, zero for prefix tokens."""

    def sum_patches(values: Array) -> Array:
        (rows, columns), (height, width) = embedding.patch_grid(*values.shape[1:]), embedding.patch
        cut = values[:, : rows * height, : columns * width].reshape(-1, rows, height, columns, width)
        patches = cut.sum(axis=(0, 2, 4)).ravel()
        return np.concatenate([np.zeros(count - len(patches), values.dtype), patches])

    return sum_patches
