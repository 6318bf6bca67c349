"""The models of this package under the `Model` protocol: a configuration with its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from headwise.attention import attention
from headwise.attention.functional import AttentionCache
from headwise.errors import DataError
from headwise.models.base import Capability, Tokens, patch_labels
from headwise.models.call_record import record_call
from headwise.models.encoder import AttentionOptions, BlockOptions, Head, Network, Norm, TextEmbedding, TrunkOptions
from headwise.models.encoder.inputs import NetworkInputs
from headwise.models.encoder.network import attention_gradients, network_backward, network_forward
from headwise.models.series import SeriesTransformerConfig, series_forward
from headwise.models.sets import SetTransformerConfig, set_forward
from headwise.models.tabular import TableTransformerConfig, feature_tokenizer_forward, table_forward
from headwise.models.token_ablation import ablated_logits, scores_of_subsets
from headwise.models.vit import ViTConfig, embed_tokens, vit_forward
from headwise.nn import EncoderCache, MabCache, Params, encoder_forward, subtree, with_prefix
from headwise.recorder import AttentionLayer, Capture
from headwise.representation import brief_repr
from headwise.shapes import Array, BoolArray, IntArray, bind

_ALL: frozenset[Capability] = frozenset({"tokens", "look", "predict", "gradients"})


class _WithoutGradients:
    """A model whose gradients are not available."""

    capabilities: ClassVar[frozenset[Capability]] = _ALL - {"gradients"}
    missing: ClassVar[Mapping[Capability, str]] = {
        "gradients": "gradients with respect to attention weights are not implemented for this model of the package."
    }

    def gradients(self, input: Array, target: int) -> tuple[Array, ...]:
        """Not available: see `missing`."""
        raise DataError(f"gradients: {self.missing['gradients']}")


@dataclass(frozen=True, eq=False)
class ViT:
    """A vision transformer; its input is an image (Y, X).

    Attributes
    ----------
    config : ViTConfig
    params : dict
    ablation : str
        What replaces missing tokens in `predict`: a key of `headwise.models.token_ablation.ABLATIONS`.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise.models.vit import vit_params
    >>> config = ViTConfig("14x14", d_model=8, n_layers=2, n_heads=2, d_ff=8)
    >>> model = ViT(config, vit_params(config, np.random.default_rng(0)))
    >>> model.look(np.zeros((28, 28), np.float32)).weights().shape
    (1, 2, 2, 5, 5)
    """

    config: ViTConfig
    params: Params
    ablation: str = "removed"
    capabilities: ClassVar[frozenset[Capability]] = _ALL
    missing: ClassVar[Mapping[Capability, str]] = {}

    __repr__ = brief_repr

    def tokens(self, input: Array) -> Tokens:
        """The class token, then the patches in reading order."""
        boxes = self.config.image_tokenizer.boxes
        tokens = Tokens("image", np.insert(boxes, 0, 0, axis=0), _class_first(self._n))
        names = map(str, range(1, self._n + 1)) if tokens.grid is None else patch_labels(*tokens.grid)
        return replace(tokens, labels=("[CLS]", *names))

    def look(self, input: Array) -> Capture:
        """Class logits and the attention of every layer."""
        logits, cache = vit_forward(input[None], self.params, self.config, return_weights=True)
        return Capture(logits, _encoder_layers(cache.encoder))

    def predict(self, input: Array, keep: BoolArray | None = None) -> Array:
        """Class logits."""
        if keep is None:
            return np.asarray(vit_forward(input[None], self.params, self.config)[0][0])
        bind(f"S {1 + self._n}", keep=keep)
        return ablated_logits(input, keep[:, 1:], self.params, self.config, self.ablation)

    def gradients(self, input: Array, target: int) -> tuple[Array, ...]:
        """Gradients of the target's logit with respect to the attention weights of each layer."""
        embedded = embed_tokens(self.config.image_tokenizer.tokenize(input[None]), self.params, self.config)[0]
        return _attention_gradients(self, embedded, target)

    @property
    def _n(self) -> int:
        return self.config.image_tokenizer.num_tokens


@dataclass(frozen=True, eq=False)
class TableTransformer:
    """A table transformer; its input is one row: standardized numbers (J,) and categories as integers (K,)."""

    config: TableTransformerConfig
    params: Params
    capabilities: ClassVar[frozenset[Capability]] = _ALL
    missing: ClassVar[Mapping[Capability, str]] = {}

    __repr__ = brief_repr

    def tokens(self, input: tuple[Array, IntArray]) -> Tokens:
        """The class token, then the numeric and the categorical columns."""
        n = self.config.n_columns
        labels = ("[CLS]", *(f"column {j}" for j in range(1, n + 1)))
        return Tokens("other", np.zeros((1 + n, 2), int), _class_first(n), labels)

    def look(self, input: tuple[Array, IntArray]) -> Capture:
        """Outputs and the attention of every layer."""
        outputs, cache = self._forward(input)
        return Capture(outputs, _encoder_layers(cache))

    def predict(self, input: tuple[Array, IntArray], keep: BoolArray | None = None) -> Array:
        """Outputs; columns that are not kept are left out of the sequence."""
        if keep is None:
            return np.asarray(self._forward(input)[0][0])
        bind(f"S {1 + self.config.n_columns}", keep=keep)
        embedded = self._embed(input)[0]
        keep = keep.copy()
        keep[:, 0] = True
        return scores_of_subsets(
            keep,
            keep[:, 1:].sum(axis=1),
            lambda part: embedded[np.nonzero(part)[1].reshape(len(part), -1)],
            lambda x: encoder_forward(x, self.params, n_layers=self.config.n_layers, heads=self.config.n_heads)[0],
        )

    def gradients(self, input: tuple[Array, IntArray], target: int) -> tuple[Array, ...]:
        """Gradients of one output with respect to the attention weights of each layer."""
        return _attention_gradients(self, self._embed(input), target)

    def _embed(self, input: tuple[Array, IntArray]) -> Array:
        numbers, codes = input
        columns = subtree(self.params, "columns")
        return feature_tokenizer_forward(numbers[None], codes[None], columns, self.config.cardinalities)[0]

    def _forward(self, input: tuple[Array, IntArray]) -> tuple[Array, EncoderCache]:
        numbers, codes = input
        outputs, cache = table_forward(numbers[None], codes[None], self.params, self.config, return_weights=True)
        return outputs, cache.encoder


@dataclass(frozen=True, eq=False)
class SeriesTransformer(_WithoutGradients):
    """A series transformer; its input is a series of standardized variables (N, V)."""

    config: SeriesTransformerConfig
    params: Params

    __repr__ = brief_repr

    def tokens(self, input: Array) -> Tokens:
        """The time steps."""
        steps = np.arange(len(input))
        return Tokens("series", np.stack([steps, steps + 1], axis=1), np.zeros(len(input), bool))

    def look(self, input: Array) -> Capture:
        """Outputs and the attention of every layer."""
        outputs, cache = series_forward(input[None], np.array([len(input)]), self.params, self.config)
        calls = (layer.attention.attention for layer in cache.encoder.layers)
        return Capture(outputs, tuple(_layer(f"layers.{i}.attention", call, i) for i, call in enumerate(calls)))

    def predict(self, input: Array, keep: BoolArray | None = None) -> Array:
        """Outputs; the variables of steps that are not kept are set to zero, their mean."""
        if keep is None:
            keep = np.ones((1, len(input)), bool)
            return np.asarray(self.predict(input, keep)[0])
        bind(f"S {len(input)}", keep=keep)
        x = np.where(keep[..., None], input, input.dtype.type(0))
        return series_forward(x, np.full(len(x), len(input)), self.params, self.config)[0]


@dataclass(frozen=True, eq=False)
class SetTransformer(_WithoutGradients):
    """A set transformer; its input is a set of members (N, V)."""

    config: SetTransformerConfig
    params: Params

    __repr__ = brief_repr

    def tokens(self, input: Array) -> Tokens:
        """The members."""
        return Tokens("other", np.zeros((len(input), 2), int), np.zeros(len(input), bool))

    def look(self, input: Array) -> Capture:
        """Outputs and the attention of the encoder and the pooling."""
        outputs, cache = set_forward(input[None], self.params, self.config)
        calls: list[tuple[str, MabCache]] = []
        for i, block in enumerate(cache.encoder):
            if self.config.encoder == "SAB":
                calls.append((f"encoder.{i}", block))
            elif self.config.encoder == "ISAB":
                calls += [(f"encoder.{i}.gather", block.gather), (f"encoder.{i}.give", block.give)]
        if self.config.pooling == "PMA":
            calls.append(("pooling.ask", cache.pooling))
        return Capture(outputs, tuple(_layer(name, call.attention, i) for i, (name, call) in enumerate(calls)))

    def predict(self, input: Array, keep: BoolArray | None = None) -> Array:
        """Outputs; members that are not kept are removed, and the empty set is one member of zeros, their mean."""
        if keep is None:
            return np.asarray(set_forward(input[None], self.params, self.config)[0][0])
        bind(f"S {len(input)}", keep=keep)
        order = np.argsort(~keep, axis=1, kind="stable")  # kept members first
        members = np.where(np.take_along_axis(keep, order, axis=1)[..., None], input[order], input.dtype.type(0))
        return set_forward(members, self.params, self.config, lengths=np.maximum(keep.sum(axis=1), 1))[0]


def _class_first(n: int) -> BoolArray:
    return np.asarray(np.arange(1 + n) == 0)


def _encoder_layers(cache: EncoderCache) -> tuple[AttentionLayer, ...]:
    return tuple(_layer(f"blocks.{i}.attention", block.attention.attention, i) for i, block in enumerate(cache.blocks))


def _layer(name: str, call: AttentionCache, index: int) -> AttentionLayer:
    """The arrays of one attention call; its output is computed once more, by the same engine."""
    inputs = call.inputs
    output = attention(inputs.q, inputs.k, inputs.v, mask=inputs.mask.full(), scale=inputs.scale)
    return record_call(name, call, output, index)


def _attention_gradients(model: ViT | TableTransformer, embedded: Array, target: int) -> tuple[Array, ...]:
    """For one sequence of embedded tokens (1, T, D)."""
    network, params = class_token_network(model)
    outputs, cache = network_forward(NetworkInputs(inputs_embeds=embedded), params, network)
    doutputs = np.zeros_like(outputs["logits"])
    doutputs[:, target] = 1
    return attention_gradients(network_backward({"logits": doutputs}, cache), cache)


def class_token_network(model: ViT | TableTransformer) -> tuple[Network, Params]:
    """The encoder of a class-token model in the form of loaded models; its input is embedded tokens."""
    params = with_prefix("norm", subtree(model.params, "norm"))
    params |= with_prefix("heads.logits.output", subtree(model.params, "head"))
    depth, heads = model.config.n_layers, model.config.n_heads
    for i in range(depth):
        params |= with_prefix(f"blocks.{i}", split_projections(subtree(model.params, f"blocks.{i}")))
    block = BlockOptions(AttentionOptions(heads, heads), "gelu_tanh", Norm())
    trunk = TrunkOptions((block,) * depth, norm=Norm())
    return Network(TextEmbedding(Norm()), trunk, {"logits": Head(pool="first")}), params


def split_projections(block: Params) -> Params:
    """The parameters of a block, with the rows of ``qkv`` under the names of the three projections."""
    split = {name: array for name, array in block.items() if ".qkv." not in name}
    for kind in ("weight", "bias"):
        parts = np.split(block[f"attention.qkv.{kind}"], 3)
        split |= {f"attention.{name}.{kind}": part for name, part in zip(("query", "key", "value"), parts, strict=True)}
    return split
