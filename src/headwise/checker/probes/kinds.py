"""What a probe is, which kinds there are, and which arguments a function takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwise.checker.state import Case
from headwise.checker.target import TargetSizes


@dataclass(frozen=True, slots=True)
class Probe:
    """One input: the kind of probe that it is, and the arguments."""

    name: str
    case: Case


@dataclass(frozen=True, slots=True)
class Interface:
    """The arguments that a function takes.

    Attributes
    ----------
    kind : {"self_attention", "multi_head", "cross_attention", "attention"}
        Which arguments there are.
    takes : frozenset of str
        The arguments that it has, optional ones too.
    needs : frozenset of str
        Those without which it cannot be called.
    axes : str
        The layout of the tokens, such as ``"BND"``, or of queries, keys and values, such as ``"BHNd"``.
    batched : bool
        Whether it takes tokens with a batch axis as well as without.
    fused : bool
        Whether it takes the matrices of queries, keys and values as one, so that they have one size.
    key_mask : bool
        Whether its mask is of keys alone, (B, M).
    masks_apart : bool
        Whether its mask is of the tokens and its other mask of the context, so that one of them counts at a time.
    mask_axes : str
        The axes of its mask, if they are documented: ``"BM"``, ``"NM"``, ``"BNM"``, ``"BHNM"``; else empty.
    dtype : {"float64", "float32"}
        The type of the arguments; float32 for a function that says that it works in that.
    heads : int or None
        The only number of heads that it takes; None for any.
    key_heads : int or None
        The number of heads of keys and values, for a function of tokens with fewer of them; None for as many.
    one_query : bool
        Whether it takes queries without an axis of tokens, such as (d,) with keys (M, d) and values (M, e).
    unprojected : bool
        Whether its tokens are queries, keys and values themselves: its matrices are the identity.
    unscaled : bool
        Whether it may leave out the scale, as introductions do before there are projections.
    packed : {"", "qkv", "kv"}
        What comes in one array, so that it has one size: queries, keys and values, or keys and values.
    preallocated : bool
        Whether its cache has room for the new keys and values, and it is told at which place they belong.
    prefix_each : bool
        Whether the length of the prefix is an array, with a number for each item.
    bias_table : bool
        Whether its bias is a table, so that it depends only on the distance of query and key.
    window : tuple of int
        The window to try: (left, right).
    implicit : mapping
        Options that apply although there is no argument for them: ``{"causal": True}`` for a function whose name says
        so.
    sizes : TargetSizes or None
        The only sizes that it takes, for a module.
    """

    kind: str
    takes: frozenset[str]
    needs: frozenset[str]
    axes: str = "BND"
    batched: bool = False
    fused: bool = False
    key_mask: bool = False
    masks_apart: bool = False
    mask_axes: str = ""
    dtype: str = "float64"
    heads: int | None = None
    key_heads: int | None = None
    one_query: bool = False
    unprojected: bool = False
    unscaled: bool = False
    packed: str = ""
    preallocated: bool = False
    prefix_each: bool = False
    bias_table: bool = False
    window: tuple[int | None, int | None] = (2, 1)
    implicit: Mapping[str, Any] = field(default_factory=dict)
    sizes: TargetSizes | None = None

    @property
    def of_tokens(self) -> bool:
        """Whether it takes tokens and projects them, or has them projected already."""
        return self.kind != "attention"

    @property
    def cached(self) -> bool:
        """Whether keys of earlier tokens are apart from those of the queries' own."""
        return "kpast" in self.takes

    @property
    def one_token(self) -> bool:
        """Whether queries are of one token, with an axis for it or without."""
        return self.one_query or self.preallocated

    @property
    def batch(self) -> bool:
        """Whether it is called with a batch axis."""
        return "B" in self.axes

    @property
    def multi_head(self) -> bool:
        """Whether it takes several heads."""
        return "heads" in self.takes or self.kind == "multi_head" or "H" in self.axes


@dataclass(frozen=True, slots=True)
class ProbeShape:
    """The sizes of one round of probes."""

    batch: int
    heads: int
    tokens: int
    keys: int
    width: int  # of one head
    values: int
    model: int  # for matrices that are not square

    @classmethod
    def of_round(cls, number: int, interface: Interface) -> ProbeShape:
        """Sizes that share no factor, other ones each round; a module's own where they are fixed."""
        shape = (cls(2, 3, 5, 7, 2, 4, 11), cls(3, 2, 7, 5, 6, 3, 13))[number]
        if interface.packed:
            shape = replace(shape, values=shape.width if interface.of_tokens else shape.model)
        if interface.packed == "qkv" or "segments" in interface.takes:
            shape = replace(shape, keys=shape.tokens)
        sizes = interface.sizes
        if sizes is None:
            return shape
        tokens, keys = (sizes.tokens or min(n, sizes.max_tokens or n) for n in (shape.tokens, shape.keys))
        tokens = sizes.queries or tokens
        return cls(shape.batch, sizes.heads, tokens, keys, sizes.width, sizes.values, sizes.model)


# what each kind of probe tries, in words; the order is the order in which mistakes are looked for
PROBES = {
    "uniform": "queries of zero, so that every key counts the same",
    "plain": "ordinary tokens",
    "sharp": "tokens four times as large, so that the softmax is nearly a choice",
    "batch": "several items at once",
    "no-output": "no output matrix",
    "biased": "biases of the projections",
    "context": "a context of another length",
    "groups": "fewer key heads than query heads",
    "columns": "tokens as columns, asked for",
    "scale": "a scale that is asked for",
    "temperature": "a temperature",
    "softcap": "a softcap",
    "slopes": "slopes of a bias that falls with the distance",
    "bias": "a bias of the logits",
    "mask": "a mask of queries and keys",
    "mask-each": "another mask for each item and head",
    "mask-keys": "a padding mask",
    "causal": "causal",
    "window": "a window",
    "lengths": "items of different lengths",
    "segments": "several sequences in one row",
    "prefix": "a prefix that every query sees",
    "rotary": "rotary positions",
    "sinks": "attention sinks",
    "aligned": "causal, with fewer queries than keys",
    "together": "everything at once",
    "empty-rows": "queries that may attend to nothing",
    "hidden-nan": "NaN behind the mask",
    "large-logits": "logits in the thousands",
    "float32": "float32 arguments",
    "wide": "sizes that differ where they may",
}
