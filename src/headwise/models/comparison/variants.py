"""Mistakes of ports: each as a change of a loaded model that computes as an implementation with it would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from headwise.models.encoder import BlockOptions, ImageEmbedding, Network, Norm, Rope, TextEmbedding
from headwise.models.encoder.positions import INTERPOLATIONS
from headwise.models.loaded_model import LoadedModel
from headwise.nn import ACTIVATIONS, Params
from headwise.shapes import Array


@dataclass(frozen=True)
class Variant:
    """A loaded model that computes in another way."""

    code: str  # the mistake
    text: str  # what is different, as a sentence
    model: LoadedModel


def variants_of(model: LoadedModel, other: LoadedModel | None = None) -> Iterator[Variant]:
    """The model with each mistake that concerns it, one at a time; and with numbers that another model has."""
    for code, make in VARIANTS.items():
        for text, variant in make(model):
            yield Variant(code, text, variant)
    if other is not None:
        epsilon = other.architecture.network.trunk.norm.epsilon
        yield Variant("norm-epsilon", f"the norms add {epsilon:g}", _with_epsilon(model, epsilon))
        for rope in _ropes(other)[:1]:
            text = f"the base of the rotary embedding is {rope.theta:g}"
            yield Variant("rope-base", text, _with_ropes(model, partial(replace, theta=rope.theta)))


Variants = Iterator[tuple[str, LoadedModel]]


def _activation(model: LoadedModel) -> Variants:
    current = model.architecture.network.trunk.blocks[0].activation
    for name in ACTIVATIONS:
        if name != current:
            yield f"the MLP's activation is {name} instead of {current}", _blocks(model, activation=name)


def _epsilon(model: LoadedModel) -> Variants:
    current = model.architecture.network.trunk.norm.epsilon
    for epsilon in (1e-12, 1e-8, 1e-6, 1e-5, 1e-3):
        if epsilon != current:
            yield f"the norms add {epsilon:g} instead of {current:g}", _with_epsilon(model, epsilon)


def _with_epsilon(model: LoadedModel, epsilon: float) -> LoadedModel:
    def change(norm: Norm) -> Norm:
        return replace(norm, epsilon=epsilon)

    def change_block(block: BlockOptions) -> BlockOptions:
        attention = replace(block.attention, norm=change(block.attention.norm))
        return replace(block, norm=change(block.norm), attention=attention)

    network = _each_block(model, change_block).architecture.network
    trunk, embedding = replace(network.trunk, norm=change(network.trunk.norm)), network.embedding
    if isinstance(embedding, TextEmbedding | ImageEmbedding):
        embedding = replace(embedding, norm=change(embedding.norm))
    heads = {name: replace(head, norm=change(head.norm)) for name, head in network.heads.items()}
    return _network(model, replace(network, trunk=trunk, embedding=embedding, heads=heads))


def _transposed(model: LoadedModel) -> Variants:
    """Square matrices that a file stores as (in, out), or that were taken for such."""
    for names, text in (
        (("attention.output",), "the output projection's matrix is"),
        (("attention.query", "attention.key", "attention.value"), "the matrices of queries, keys and values are"),
        (("attention.query", "attention.key", "attention.value", "attention.output"), "the attention's matrices are"),
    ):
        changed = {
            name: array.T
            for name, array in model.params.items()
            if name.startswith("blocks.") and name.endswith(tuple(f".{n}.weight" for n in names))
        }
        if changed and all(len(set(array.shape)) == 1 for array in changed.values()):
            yield f"{text} transposed: (in, out), as in Conv1D", _params(model, changed)


def _rope_pairing(model: LoadedModel) -> Variants:
    for rope in _ropes(model)[:1]:
        current, other = rope.pairing, "neighbours" if rope.pairing == "halves" else "halves"
        yield (
            f"the rotary embedding pairs {other} instead of {current}",
            _with_ropes(model, partial(replace, pairing=other)),
        )


def _rope_base(model: LoadedModel) -> Variants:
    for rope in _ropes(model)[:1]:
        for theta in (1e4, 1e5, 1.5e5, 2.5e5, 5e5, 1e6, 5e6, 1e7):
            if theta != rope.theta:
                text = f"the base of the rotary embedding is {theta:g} instead of {rope.theta:g}"
                yield text, _with_ropes(model, partial(replace, theta=theta))


def _rope_scaling(model: LoadedModel) -> Variants:
    if any(rope.kind != "default" or rope.factors is not None for rope in _ropes(model)):
        changed = _with_ropes(model, partial(replace, kind="default", factors=None))
        yield "the scaling of the rotary embedding is ignored", changed


def _rope_missing(model: LoadedModel) -> Variants:
    if _ropes(model):
        trunk = replace(model.architecture.network.trunk, ropes=())
        yield "queries and keys are not rotated", _network(model, replace(model.architecture.network, trunk=trunk))


def _key_heads(model: LoadedModel) -> Variants:
    """Query head h reads key head h mod G: the key heads are repeated as a whole."""
    attention = model.architecture.network.trunk.blocks[0].attention
    heads, groups = attention.heads, attention.key_heads
    if groups == heads or groups == 1:
        return
    changed: Params = {}
    for name, array in model.params.items():
        if name.startswith("blocks.") and (".attention.key." in name or ".attention.value." in name):
            parts = array.reshape(groups, -1, *array.shape[1:])
            changed[name] = np.concatenate([parts] * (heads // groups)).reshape(-1, *array.shape[1:])
    blocks = _changed_attention(model, key_heads=heads)
    yield "query heads read the key heads in the order 0 1 0 1 instead of 0 0 1 1", _params(blocks, changed)


def _position_offset(model: LoadedModel) -> Variants:
    table = model.params.get("embedding.position")
    if table is None or not isinstance(model.architecture.network.embedding, TextEmbedding):
        return
    for offset in (1, 2, -1, -2):
        text = f"positions start {abs(offset)} {'later' if offset > 0 else 'earlier'}"
        moved: Array = np.roll(table, -offset, axis=0)
        yield text, _params(model, {"embedding.position": moved})


def _interpolation(model: LoadedModel) -> Variants:
    embedding = model.architecture.network.embedding
    if isinstance(embedding, ImageEmbedding):
        for name in INTERPOLATIONS:
            if name != embedding.interpolation:
                text = f"positions are resampled by {name} instead of {embedding.interpolation}"
                yield text, _embedding(model, replace(embedding, interpolation=name))


def _prefix_order(model: LoadedModel) -> Variants:
    embedding = model.architecture.network.embedding
    if isinstance(embedding, ImageEmbedding):
        for order in permutations(embedding.prefix):
            if order != embedding.prefix:
                text = f"prefix tokens are in the order {', '.join(order)} instead of {', '.join(embedding.prefix)}"
                yield text, _embedding(model, replace(embedding, prefix=order))


def _prefix_positions(model: LoadedModel) -> Variants:
    """Registers with positions, or positions that are added to the patches alone."""
    embedding = model.architecture.network.embedding
    table = model.params.get("embedding.position")
    if isinstance(embedding, ImageEmbedding) and table is not None and embedding.positioned:
        rows = len(table) - embedding.grid[0] * embedding.grid[1]
        zeroed: Array = np.where(np.arange(len(table))[:, None] < rows, 0, table)
        yield "the prefix tokens get no positions", _params(model, {"embedding.position": zeroed})


def _without(text: str, *parts: str, blocks: bool = True) -> Callable[[LoadedModel], Variants]:
    """A variant that leaves parameters out."""

    def make(model: LoadedModel) -> Variants:
        inside = "blocks." if blocks else ""
        left_out = [n for n in model.params if n.startswith(inside) and any(part in n for part in parts)]
        if left_out:
            remaining = {name: array for name, array in model.params.items() if name not in left_out}
            yield text, replace(model, params=remaining)

    return make


def _without_bias(model: LoadedModel) -> Variants:
    projections = ("query", "key", "value", "output")
    variants = {f"the bias of the {part} projection is not added": (part,) for part in projections}
    for text, parts in {**variants, "the biases of queries, keys and values are not added": projections[:3]}.items():
        ends = tuple(f".attention.{part}.bias" for part in parts)
        changed = {name: np.zeros_like(array) for name, array in model.params.items() if name.endswith(ends)}
        if changed:
            yield text, _params(model, changed)


def _norm_order(model: LoadedModel) -> Variants:
    post_norm = model.architecture.network.trunk.blocks[0].post_norm
    if all(f"blocks.0.norm_{i}.gain" in model.params for i in (1, 2)):
        text = "norms stand before the sublayers" if post_norm else "norms stand after the residual sums"
        yield text, _blocks(model, post_norm=not post_norm)


def _gain_offset(model: LoadedModel) -> Variants:
    norm = model.architecture.network.trunk.norm
    if norm.offset:
        changed = {n: a - a.dtype.type(norm.offset) for n, a in model.params.items() if n.endswith("gain")}
        yield "gains are used as the file has them, without the one that is added", _params(model, changed)


def _embedding_scale(model: LoadedModel) -> Variants:
    embedding = model.architecture.network.embedding
    if isinstance(embedding, TextEmbedding) and embedding.scale != 1.0:
        text = f"the words' embeddings are not multiplied by {embedding.scale:g}"
        yield text, _embedding(model, replace(embedding, scale=1.0))


def _scale(model: LoadedModel) -> Variants:
    attention = model.architecture.network.trunk.blocks[0].attention
    rows, width = model.params["blocks.0.attention.query.weight"].shape
    for scale, text in (
        (1.0, "the logits are not scaled"),
        (width**-0.5, "the logits are divided by √D"),
        ((rows // attention.heads) ** -0.5, "the logits are divided by √d"),
    ):
        if attention.scale != scale:
            yield text, _changed_attention(model, scale=scale)


def _attention_option(text: str, **options: Any) -> Callable[[LoadedModel], Variants]:
    def make(model: LoadedModel) -> Variants:
        blocks = model.architecture.network.trunk.blocks
        if any(getattr(b.attention, name) != value for b in blocks for name, value in options.items()):
            yield text, _changed_attention(model, **options)

    return make


# by the code of each mistake, in the order in which they are tried
VARIANTS: dict[str, Callable[[LoadedModel], Variants]] = {
    "activation": _activation,
    "norm-epsilon": _epsilon,
    "weights-transposed": _transposed,
    "rope-layout": _rope_pairing,
    "rope-base": _rope_base,
    "rope-scaling-ignored": _rope_scaling,
    "rope-missing": _rope_missing,
    "groups-tiled": _key_heads,
    "position-offset": _position_offset,
    "position-interpolation": _interpolation,
    "prefix-order": _prefix_order,
    "prefix-positions": _prefix_positions,
    "layer-scale-missing": _without("LayerScale is left out", ".attention_scale", ".mlp_scale"),
    "qk-norm-missing": _without("queries and keys are not normalised", ".query_norm", ".key_norm"),
    "branch-norm-missing": _without("the sublayers' outputs are not normalised", ".attention_norm", ".mlp_norm"),
    "embedding-norm-missing": _without("the embedding is not normalised", "embedding.norm", blocks=False),
    "token-types-missing": _without("token types are not embedded", "embedding.type", blocks=False),
    "bias-missing": _without_bias,
    "norm-order": _norm_order,
    "gain-offset-missing": _gain_offset,
    "embedding-scale-missing": _embedding_scale,
    "scale": _scale,
    "causal-missing": _attention_option("queries see the keys after their own", causal=False),
    "causal-added": _attention_option("queries do not see the keys after their own", causal=True),
    "window-ignored": _attention_option("the window has no influence", window=None),
    "softcap-ignored": _attention_option("the softcap has no influence", softcap=None),
}


def _network(model: LoadedModel, network: Network) -> LoadedModel:
    return replace(model, architecture=replace(model.architecture, network=network))


def _params(model: LoadedModel, changed: Mapping[str, Array]) -> LoadedModel:
    return replace(model, params={**model.params, **changed})


def _embedding(model: LoadedModel, embedding: TextEmbedding | ImageEmbedding) -> LoadedModel:
    return _network(model, replace(model.architecture.network, embedding=embedding))


def _blocks(model: LoadedModel, **options: Any) -> LoadedModel:
    return _each_block(model, lambda block: replace(block, **options))


def _changed_attention(model: LoadedModel, **options: Any) -> LoadedModel:
    return _each_block(model, lambda block: replace(block, attention=replace(block.attention, **options)))


def _each_block(model: LoadedModel, change: Callable[[BlockOptions], BlockOptions]) -> LoadedModel:
    network = model.architecture.network
    blocks = tuple(change(block) for block in network.trunk.blocks)
    return _network(model, replace(network, trunk=replace(network.trunk, blocks=blocks)))


def _ropes(model: LoadedModel) -> list[Rope]:
    return [rope for rope in model.architecture.network.trunk.ropes if rope is not None]


def _with_ropes(model: LoadedModel, change: Callable[[Rope], Rope]) -> LoadedModel:
    network = model.architecture.network
    ropes = tuple(None if rope is None else change(rope) for rope in network.trunk.ropes)
    return _network(model, replace(network, trunk=replace(network.trunk, ropes=ropes)))
