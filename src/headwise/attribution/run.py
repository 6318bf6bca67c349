"""One input of a model with everything that maps are computed from, each part computed once when a map needs it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from headwise.attribution.ablations import PlayerGame, player_game
from headwise.attribution.differentiable import Differentiable, Pass, differentiable, is_differentiable
from headwise.attribution.layers import AttentionSublayer, attention_sublayers
from headwise.attribution.players import Players, group_tokens
from headwise.errors import DataError
from headwise.models.base import Model, Tokens
from headwise.models.encoder.attention_pooling import AttentionPoolingCache
from headwise.models.encoder.network import NetworkCache, attention_gradients
from headwise.recorder import AttentionLayer, Capture
from headwise.shapes import Array

_NO_SLOPE = 1e-6  # a gradient relative to the largest, up to which it is rounding
Requirement = Literal["weights", "gradients", "parts", "scores"]


@dataclass(frozen=True, eq=False)
class ModelRun:
    """A model on one input.

    Attributes
    ----------
    model : Model
    input : object
        What the model takes.
    target : int or None
        The class, or next token, whose score is explained; by default the one with the largest score.
    limit : int or None
        The most players; see `headwise.attribution.players.group_tokens`.
    seed : int or tuple of int
        For sampled Shapley values.
    """

    model: Model
    input: Any
    target: int | None = None
    limit: int | None = None
    seed: int | tuple[int, ...] = 0

    @cached_property
    def tokens(self) -> Tokens:
        """The tokens of the input."""
        return self.model.tokens(self.input)

    @cached_property
    def players(self) -> Players:
        """The tokens, words, super-patches or segments that maps rank."""
        return group_tokens(self.tokens, self.limit)

    @cached_property
    def scores(self) -> Array:
        """Scores (C,) of the input."""
        return self.forward.scores[0] if is_differentiable(self.model) else self.model.predict(self.input)

    @cached_property
    def explained(self) -> int:
        """The target."""
        if self.target is None:
            return int(self.scores.argmax())
        if not 0 <= self.target < len(self.scores):
            raise DataError(f"target: expected a class from 0 to {len(self.scores) - 1}; got {self.target}.")
        return self.target

    @cached_property
    def function(self) -> Differentiable:
        """The scores as a differentiable function."""
        return differentiable(self.model, self.input)

    @cached_property
    def forward(self) -> Pass:
        """The forward pass, with what the backward pass needs."""
        return self.function.forward(self.function.x[None])

    @cached_property
    def weights(self) -> Array:
        """Attention weights (L, H, N, N)."""
        if is_differentiable(self.model):
            return np.stack([sublayer.weights for sublayer in self.sublayers])
        layers = [layer.weights()[0] for layer in self.capture.layers if self._is_over_tokens(layer)]
        if not layers or len({weights.shape for weights in layers}) > 1:
            raise DataError("model: expected self-attention layers of one shape; maps over layers need them.")
        return np.stack(layers)

    @cached_property
    def capture(self) -> Capture:
        """The attention of a model of another framework."""
        return self.model.look(self.input)

    def _is_over_tokens(self, layer: AttentionLayer) -> bool:
        return layer.kind == "self" and layer.shape[2:] == (len(self.tokens), len(self.tokens))

    @cached_property
    def gradients(self) -> Array:
        """Gradients (L, H, N, N) of the target's score with respect to the attention weights."""
        if is_differentiable(self.model):
            return self.weights_gradients(self.explained)
        pairs = zip(self.capture.layers, self.model.gradients(self.input, self.explained), strict=True)
        return np.stack([gradient[0] for layer, gradient in pairs if self._is_over_tokens(layer)])

    def weights_gradients(self, dscores: int | Array) -> Array:
        """Gradients (L, H, N, N) with respect to the weights, of a target's score or for dscores (1, C)."""
        gradients = self.function.backward(dscores, self.forward)
        return np.concatenate(attention_gradients(gradients, self.forward.cache))

    @cached_property
    def sublayers(self) -> list[AttentionSublayer]:
        """The attention sublayers, taken apart."""
        return attention_sublayers(self.function, self.forward.cache)

    @cached_property
    def readout(self) -> Array:
        """Share of each token (T,) in what the head pools.

        Of a model of another framework the same for every token whose row in the last layer has a gradient. Without
        gradients it is the class token, the last token of a causal model, or else all tokens.
        """
        count = len(self.tokens)
        if is_differentiable(self.model):
            return _pooled(self.forward.cache, "logits", count)
        if "gradients" in self.model.capabilities:
            slopes = np.abs(self.gradients[-1]).max(axis=(0, 2))
            read = slopes > _NO_SLOPE * slopes.max()
        elif not np.triu(self.weights, 1).any():
            read = np.arange(count) == count - 1
        else:
            read = np.arange(count) == 0 if self.tokens.prefix[0] else np.ones(count, bool)
        return np.asarray(read / max(1, read.sum()))

    @cached_property
    def game(self) -> PlayerGame:
        """The probability of the target when only some players are there; the others are removed."""
        function = self.function if is_differentiable(self.model) else None
        return player_game(self.model, self.input, self.explained, self.players, function=function)

    def rng(self) -> np.random.Generator:
        """The random numbers of one map: the same at each call."""
        return np.random.default_rng(self.seed)


def requirements_met(model: Model) -> frozenset[Requirement]:
    """What maps can be computed from, for this model."""
    met: set[Requirement] = {"weights"}
    if "predict" in model.capabilities:
        met.add("scores")
        if is_differentiable(model):
            met |= {"gradients", "parts"}
        elif "gradients" in model.capabilities:
            met.add("gradients")
    return frozenset(met)


def _pooled(cache: NetworkCache, output: str, count: int) -> Array:
    """Shares (T,) of the tokens in one output: of the head's pooling, or of the head that it reads."""
    if output in cache.network.averages:
        return np.asarray(np.mean([_pooled(cache, part, count) for part in cache.network.averages[output]], axis=0))
    head = cache.heads[output]
    if isinstance(head, AttentionPoolingCache):
        assert head.attention.weights is not None  # the run kept them
        return np.asarray(head.attention.weights[0].mean(axis=(0, 1)))
    if head.pooling is not None:
        shares = np.abs(head.pooling[0]).mean(axis=0)
        return np.asarray(shares / shares.sum())
    if head.head.source != "last_hidden_state":
        return _pooled(cache, head.head.source, count)
    return np.asarray(np.arange(count) == count - 1, float)  # the next token after the last
