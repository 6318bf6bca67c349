"""A whole loaded network: embedding, trunk and heads, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.models.encoder.attention import weights_gradient
from headwise.models.encoder.attention_pooling import (
    AttentionPooling,
    AttentionPoolingCache,
    attention_pooling_backward,
    attention_pooling_forward,
)
from headwise.models.encoder.audio_embedding import (
    AudioEmbedding,
    AudioEmbeddingCache,
    audio_embedding_backward,
    audio_embedding_forward,
)
from headwise.models.encoder.heads import Head, HeadCache, head_backward, head_forward
from headwise.models.encoder.image_embedding import (
    ImageEmbedding,
    ImageEmbeddingCache,
    image_embedding_backward,
    image_embedding_forward,
)
from headwise.models.encoder.inputs import NetworkInputs
from headwise.models.encoder.text_embedding import (
    TextEmbedding,
    TextEmbeddingCache,
    text_embedding_backward,
    text_embedding_forward,
)
from headwise.models.encoder.trunk import TrunkCache, TrunkOptions, trunk_backward, trunk_forward
from headwise.nn.ops.dispatch import kernel_threads
from headwise.nn.params import Params, subtree, with_prefix
from headwise.shapes import Array, IntArray

Embedding = TextEmbedding | ImageEmbedding | AudioEmbedding
_READS: dict[type, tuple[str, ...]] = {
    TextEmbedding: ("input_ids", "inputs_embeds", "token_type_ids", "position_ids"),
    ImageEmbedding: ("pixel_values",),
    AudioEmbedding: ("input_features",),
}


@dataclass(frozen=True)
class LastToken:
    """Which token stands for a text: the last that is not padding, the first of an id, or the largest id."""

    rule: str = "padding"
    token_id: int | None = None

    def index(self, inputs: NetworkInputs, n: int) -> IntArray:
        """Index of that token in each item (B,)."""
        ids = inputs.input_ids
        if self.rule == "padding":
            if ids is None or self.token_id is None:
                return np.full(inputs.batch, n - 1)
            return np.asarray(np.where(ids != self.token_id, np.arange(n), 0).max(axis=1))
        if ids is None:
            raise DataError("inputs_embeds: this model pools at a token id; call it with input_ids.")
        return np.asarray((ids if self.rule == "largest" else ids == self.token_id).argmax(axis=1))


@dataclass(frozen=True)
class Network:
    """The options of a network."""

    embedding: Embedding
    trunk: TrunkOptions
    # by the name of the output each makes, in the order in which they are computed
    heads: Mapping[str, Head | AttentionPooling] = field(default_factory=dict)
    averages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # outputs that are the mean of other outputs
    last: LastToken = field(default_factory=LastToken)  # the token that the pooling ``last`` selects


class NetworkCache(NamedTuple):
    """Caches in the order of the forward pass."""

    network: Network
    embedding: TextEmbeddingCache | ImageEmbeddingCache | AudioEmbeddingCache
    trunk: TrunkCache
    heads: dict[str, HeadCache | AttentionPoolingCache]
    last_hidden_state: Array


class NetworkGradients(NamedTuple):
    """Gradients with respect to the input, the parameters, and each block's output of attention (B, H, N, e)."""

    input: Array
    params: Params
    attention_outputs: tuple[Array, ...]


@kernel_threads()
def network_forward(
    inputs: NetworkInputs, params: Params, network: Network, *, keep: bool = True, return_weights: bool = False
) -> tuple[dict[str, Array], NetworkCache]:
    """Compute ``last_hidden_state`` (B, N, D), and what the heads make.

    Params are ``embedding``, ``blocks.{group}``, optionally ``norm``, and ``heads.{output}``. The cache has what the
    backward pass needs if `keep`, and the attention weights if they are requested.
    """
    embedded, embedding = _embed(inputs, subtree(params, "embedding"), network)
    positions = inputs.position_ids
    x, trunk = trunk_forward(
        embedded,
        params,
        network.trunk,
        mask=inputs.mask,
        positions=None if positions is None else positions[:, None],
        keep=keep or return_weights,
        return_weights=return_weights,
    )
    outputs = {"last_hidden_state": x}
    last = network.last.index(inputs, x.shape[1])
    by_key = inputs.mask if inputs.mask is not None and inputs.mask.shape[1:3] == (1, 1) else None
    visible = None if by_key is None else by_key[:, 0, 0]
    heads: dict[str, HeadCache | AttentionPoolingCache] = {}
    for name, head in network.heads.items():
        source, head_params = outputs[head.source], subtree(params, f"heads.{name}")
        if isinstance(head, AttentionPooling):
            outputs[name], heads[name] = attention_pooling_forward(
                source, head_params, head, mask=by_key, return_weights=return_weights
            )
        else:
            outputs[name], heads[name] = head_forward(source, head_params, head, last, visible)
    for name, parts in network.averages.items():
        outputs[name] = np.mean([outputs[part] for part in parts], axis=0)
    return outputs, NetworkCache(network, embedding, trunk, heads, x)


@kernel_threads()
def network_backward(douts: Mapping[str, Array], cache: NetworkCache) -> NetworkGradients:
    """Gradients for gradients with respect to outputs by name.

    The input's gradient is that of pixel_values, of input_features, or of the words' embeddings.
    """
    network, totals = cache.network, dict(douts)
    for name, parts in network.averages.items():
        if (gradient := totals.pop(name, None)) is not None:
            for part in parts:
                _add(totals, part, gradient / len(parts))
    grads: Params = {}
    for name, head in reversed(list(network.heads.items())):
        if (gradient := totals.pop(name, None)) is None:
            continue
        head_cache = cache.heads[name]
        if isinstance(head_cache, AttentionPoolingCache):
            dsource, head_grads = attention_pooling_backward(gradient, head_cache)
        else:
            dsource, head_grads = head_backward(gradient, head_cache)
        grads |= with_prefix(f"heads.{name}", head_grads)
        _add(totals, head.source, dsource)
    dx = totals.pop("last_hidden_state", None)
    if totals:
        raise DataError(f"gradients: expected outputs of the model; got {', '.join(totals)}.")
    dx = np.zeros_like(cache.last_hidden_state) if dx is None else dx
    dx, trunk_grads, attention_outputs = trunk_backward(dx, cache.trunk)
    dinput, embedding_grads = _embed_backward(dx, cache.embedding)
    return NetworkGradients(dinput, grads | trunk_grads | with_prefix("embedding", embedding_grads), attention_outputs)


def attention_gradients(gradients: NetworkGradients, cache: NetworkCache) -> tuple[Array, ...]:
    """Gradients with respect to each block's attention weights (B, H, N, M), as if each could change by itself."""
    blocks = zip(gradients.attention_outputs, cache.trunk.blocks, strict=True)
    return tuple(weights_gradient(do, block.attention) for do, block in blocks)


def _embed(inputs: NetworkInputs, params: Params, network: Network) -> tuple[Array, Any]:
    options = network.embedding
    inputs.refuse_others(_READS[type(options)])
    if isinstance(options, ImageEmbedding):
        return image_embedding_forward(inputs.need("pixel_values"), params, options)
    if isinstance(options, AudioEmbedding):
        return audio_embedding_forward(inputs.need("input_features"), params, options)
    if inputs.inputs_embeds is None:
        inputs.need("input_ids")
    return text_embedding_forward(params, options, **{name: getattr(inputs, name) for name in _READS[TextEmbedding]})


def _embed_backward(dx: Array, cache: Any) -> tuple[Array, Params]:
    if isinstance(cache, ImageEmbeddingCache):
        return image_embedding_backward(dx, cache)
    if isinstance(cache, AudioEmbeddingCache):
        return audio_embedding_backward(dx, cache)
    return text_embedding_backward(dx, cache)


def _add(totals: dict[str, Array], name: str, gradient: Array) -> None:
    totals[name] = totals[name] + gradient if name in totals else gradient
