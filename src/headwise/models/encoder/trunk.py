"""The trunk of loaded models: blocks in order, which may share parameters, and the final norm.

Source of ALiBi, a bias of each head that grows linearly with the position of the key, instead of position embeddings:
Press, Smith & Lewis, "Train Short, Test Long", arXiv 2108.12409 (2021).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from headwise.models.encoder.attention import AttentionContext
from headwise.models.encoder.block import BlockOptions, EncoderBlockCache, encoder_block_backward, encoder_block_forward
from headwise.models.encoder.norms import Norm, NormCache, norm_backward, norm_forward
from headwise.models.encoder.rope import Rope
from headwise.nn.params import Params, collect, subtree, with_prefix
from headwise.shapes import Array, BoolArray, IntArray


@dataclass(frozen=True)
class TrunkOptions:
    """How the trunk computes."""

    blocks: tuple[BlockOptions, ...]  # in order of execution
    # whose parameters each block uses, ``blocks.{group}``; by default its own. ALBERT's blocks share theirs.
    groups: tuple[int, ...] = ()
    ropes: tuple[Rope | None, ...] = ()  # the rotary embedding of each block; empty for none
    alibi: bool = False  # add ALiBi's bias to the logits
    norm: Norm = field(default_factory=Norm)  # the final norm, if the parameters contain ``norm``

    def group(self, i: int) -> int:
        """Whose parameters block i uses."""
        return self.groups[i] if self.groups else i


class TrunkCache(NamedTuple):
    """Caches in the order of the forward pass, and the hidden states: the input and the output of each block."""

    options: TrunkOptions
    blocks: tuple[EncoderBlockCache, ...]
    norm: NormCache | None
    hidden_states: tuple[Array, ...]


def trunk_forward(
    x: Array,
    params: Params,
    options: TrunkOptions,
    *,
    mask: BoolArray | None = None,
    positions: IntArray | None = None,
    keep: bool = True,
    return_weights: bool = False,
) -> tuple[Array, TrunkCache]:
    """Run the blocks on x (B, N, D); params are ``blocks.{group}`` and optionally ``norm``.

    The mask broadcasts to (B, H, N, N), True attends. Positions (N,) or (B, 1, N) of rotary embeddings are 0 … N − 1 by
    default. The cache has what the backward pass needs if `keep`; without it memory does not grow with the depth.
    """
    positions = np.arange(x.shape[1]) if positions is None else positions
    bias = _alibi_bias(options, mask, x) if options.alibi else None
    rotations = {rope: rope.rotation(positions, x.dtype) for rope in dict.fromkeys(options.ropes) if rope is not None}
    caches, hidden_states = [], [x]
    for i, block in enumerate(options.blocks):
        rope = options.ropes[i] if options.ropes else None
        context = AttentionContext(mask, bias, None if rope is None else rotations[rope])
        group_params = subtree(params, f"blocks.{options.group(i)}")
        x, cache = encoder_block_forward(x, group_params, block, context, return_weights=return_weights)
        if keep:
            caches.append(cache)
            hidden_states.append(x)
    norm = None
    if gain := subtree(params, "norm"):
        x, norm = norm_forward(x, gain, options.norm)
    return x, TrunkCache(options, tuple(caches), norm, tuple(hidden_states))


def trunk_backward(dy: Array, cache: TrunkCache) -> tuple[Array, Params, tuple[Array, ...]]:
    """Gradients with respect to x and the parameters; and to the output of attention (B, H, N, e) of each block."""
    grads: Params = {}
    dx = dy
    if cache.norm is not None:
        dx = collect(grads, "norm", norm_backward(dy, cache.norm))
    totals: dict[int, Params] = defaultdict(dict)
    outputs = []
    for i in reversed(range(len(cache.blocks))):
        dx, block_grads, do = encoder_block_backward(dx, cache.blocks[i])
        outputs.append(do)
        total = totals[cache.options.group(i)]
        for name, gradient in block_grads.items():  # blocks that share parameters add their gradients
            total[name] = total[name] + gradient if name in total else gradient
    for group, total in totals.items():
        grads |= with_prefix(f"blocks.{group}", total)
    return dx, grads, tuple(reversed(outputs))


def _alibi_bias(options: TrunkOptions, mask: BoolArray | None, x: Array) -> Array:
    """Slope times the position of the key (B or 1, H, 1, M); hidden keys do not count as positions."""
    keys: IntArray = np.arange(x.shape[1])
    if mask is not None and mask.shape[1:3] == (1, 1):
        keys = (mask.cumsum(axis=-1) - 1) * mask  # (B, 1, 1, M)
    slopes = alibi_slopes(options.blocks[0].attention.heads).astype(x.dtype)
    return np.asarray(slopes[:, None, None] * keys.astype(x.dtype))


def alibi_slopes(heads: int) -> Array:
    """Slope of each head (H,): a geometric sequence; if H is no power of two, slopes of the next power follow.

    Examples
    --------
    >>> alibi_slopes(3)
    array([0.0625    , 0.00390625, 0.25      ])
    """
    power = 2 ** math.floor(math.log2(heads))
    first = 2.0 ** (-8 / power * np.arange(1, power + 1))
    extra = 2.0 ** (-8 / (2 * power) * np.arange(1, 2 * (heads - power) + 1, 2))
    return np.concatenate([first, extra])
