"""Embedding of token ids: words, positions and token types, optionally normalised and projected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.models.encoder.norms import Norm, NormCache, norm_backward, norm_forward
from headwise.nn import LinearCache, Params, linear_backward_parallel, linear_forward, subtree
from headwise.nn.params import collect
from headwise.shapes import Array, IntArray


@dataclass(frozen=True)
class TextEmbedding:
    """How token ids become vectors."""

    norm: Norm  # used if the parameters contain ``norm``
    scale: float = 1.0  # factor of the word embeddings; Gemma's is √D
    padding_id: int | None = None  # RoBERTa counts positions from this id + 1, and only tokens other than this id

    def positions(self, shape: tuple[int, int], input_ids: IntArray | None) -> IntArray:
        """Rows of the position table (B or 1, N)."""
        if self.padding_id is None:
            return np.arange(shape[1])[None]
        if input_ids is None:
            return np.arange(shape[1])[None] + self.padding_id + 1
        counted = input_ids != self.padding_id
        return np.asarray(counted.cumsum(axis=1) * counted + self.padding_id)


class TextEmbeddingCache(NamedTuple):
    """The rows taken of each table, the tables' shapes, and caches of norm and projection."""

    rows: dict[str, IntArray]
    shapes: dict[str, tuple[int, ...]]
    scale: float
    norm: NormCache | None
    projection: LinearCache | None


def text_embedding_forward(
    params: Params,
    options: TextEmbedding,
    *,
    input_ids: IntArray | None = None,
    inputs_embeds: Array | None = None,
    token_type_ids: IntArray | None = None,
    position_ids: IntArray | None = None,
) -> tuple[Array, TextEmbeddingCache]:
    """Embed ids (B, N), or words' embeddings (B, N, E) in their place, as tokens (B, N, D).

    Params are ``word`` (V, E); optionally ``position`` (P, E), ``type`` (T, E), ``norm`` and ``projection`` (D, E).
    Token types are 0 by default.
    """
    rows: dict[str, IntArray] = {}
    if inputs_embeds is not None:
        shape, x = inputs_embeds.shape[:2], inputs_embeds
    else:
        assert input_ids is not None  # the caller passes one of the two
        shape, rows["word"] = input_ids.shape, input_ids
        x = _take("input_ids", params["word"], input_ids)
    if options.scale != 1.0:
        x = x * x.dtype.type(options.scale)
    if "position" in params:
        rows["position"] = options.positions(shape, input_ids) if position_ids is None else position_ids
        x = x + _take("position_ids", params["position"], rows["position"])
    if "type" in params:
        rows["type"] = np.zeros((1, 1), int) if token_type_ids is None else token_type_ids
        x = x + _take("token_type_ids", params["type"], rows["type"])
    norm = projection = None
    if gain := subtree(params, "norm"):
        x, norm = norm_forward(x, gain, options.norm)
    if weight := subtree(params, "projection"):
        x, projection = linear_forward(x, weight)
    shapes = {name: params[name].shape for name in rows}
    return x, TextEmbeddingCache(rows, shapes, options.scale, norm, projection)


def text_embedding_backward(dy: Array, cache: TextEmbeddingCache) -> tuple[Array, Params]:
    """Gradients with respect to the words' embeddings (B, N, E), that is inputs_embeds, and to the parameters."""
    grads: Params = {}
    dx = dy
    if cache.projection is not None:
        dx = collect(grads, "projection", linear_backward_parallel(dx, cache.projection))
    if cache.norm is not None:
        dx = collect(grads, "norm", norm_backward(dx, cache.norm))
    dwords = dx * dx.dtype.type(cache.scale)
    for name, rows in cache.rows.items():
        table = np.zeros(cache.shapes[name], dx.dtype)
        gradient = dwords if name == "word" else dx
        np.add.at(table, np.broadcast_to(rows, dx.shape[:2]), gradient)  # a row taken twice adds both
        grads[name] = table
    return dwords, grads


def _take(name: str, table: Array, rows: IntArray) -> Array:
    """Rows of a table."""
    if rows.size and (rows.min() < 0 or rows.max() >= len(table)):
        hint = " The text is longer than the model allows." if name == "position_ids" else ""
        raise DataError(f"{name}: expected 0 to {len(table) - 1}; got {rows.min()} to {rows.max()}.{hint}")
    return table[rows]
