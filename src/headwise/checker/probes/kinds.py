"""What a probe is, which kinds there are, and which arguments a function takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwise.checker.reference.state import Case
from headwise.checker.target import TargetSizes


@dataclass(frozen=True, slots=True)
class Probe:
    """One input: the kind of probe that it is, and the arguments."""

    name: str
    case: Case


@dataclass(frozen=True, slots=True)
class Interface:
    """The arguments that a function takes."""

    kind: str  # which arguments there are
    takes: frozenset[str]  # the arguments that it has, optional ones too
    needs: frozenset[str]  # those without which it cannot be called
    axes: str = "BND"  # the layout of the tokens, such as ``"BND"``, or of queries, keys and values, such as ``"BHNd"``
    batched: bool = False  # whether it takes tokens with a batch axis as well as without
    fused: bool = False  # whether it takes the matrices of queries, keys and values as one, so that they have one size
    key_mask: bool = False  # whether its mask is of keys alone, (B, M)
    graph: bool = False  # whether its mask is the adjacency matrix of a graph
    # whether its mask is of the tokens and its other mask of the context, so that one of them counts at a time
    masks_apart: bool = False
    # the axes of its mask, if they are documented: ``"BM"``, ``"NM"``, ``"BNM"``, ``"B11M"``, ``"BHNM"``; else empty
    mask_axes: str = ""
    dtype: str = "float64"  # the type of the arguments; float32 for a function that says that it works in that
    compiled: bool = False  # whether its framework compiles for every size
    heads: int | None = None  # the only number of heads that it takes; None for any
    # the number of heads of keys and values, for a function of tokens with fewer of them; None for as many
    key_heads: int | None = None
    # whether it takes queries without an axis of tokens, such as (d,) with keys (M, d) and values (M, e)
    one_query: bool = False
    # whether its tokens are queries, keys and values themselves: its matrices are the identity
    unprojected: bool = False
    pooled: bool = False  # whether its only query is a vector for all items
    unscaled: bool = False  # whether it may leave out the scale, as introductions do before there are projections
    packed: str = ""  # what comes in one array, so that it has one size: queries, keys and values, or keys and values
    # whether its cache has room for the new keys and values, and it takes the place at which they belong
    preallocated: bool = False
    prefix_each: bool = False  # whether the length of the prefix is an array, with a number for each item
    grid: bool = False  # whether it takes the height and the width of the grid that its tokens are
    even: bool = False  # whether the width of a head has to be even, as for rotations
    bias_table: bool = False  # whether its bias is a table, so that it depends only on the distance of query and key
    bias_of_heads: bool = False  # whether its bias has an entry for each head, from which it knows how many there are
    bias_shared: bool = False  # whether its bias is one for all items
    segments_shared: bool = False  # whether the places where sequences begin are those of all items
    window: tuple[int | None, int | None] = (2, 1)  # the window to try: (left, right)
    # options that apply although there is no argument for them: ``{"causal": True}`` for a function whose name says
    # so
    implicit: Mapping[str, Any] = field(default_factory=dict)
    mask_replaces_limits: bool = False  # whether a mask that is passed takes the place of causal and of a window
    sizes: TargetSizes | None = None  # the only sizes that it takes, for a module

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
        if interface.grid:  # two features of each pair for each side
            shape = (cls(2, 3, 6, 6, 4, 4, 12), cls(3, 2, 12, 12, 4, 3, 16))[number]
        else:
            shape = (cls(2, 3, 5, 7, 2, 4, 11), cls(3, 2, 7, 5, 6, 3, 13))[number]
        return shape.within(interface)

    def within(self, interface: Interface) -> ProbeShape:
        """The sizes as an interface restricts them; a module's own where they are fixed."""
        shape = self
        if interface.packed:
            shape = replace(shape, values=shape.width if interface.of_tokens else shape.model)
        if interface.packed == "qkv" or "segments" in interface.takes:
            shape = replace(shape, keys=shape.tokens)
        if interface.even:
            shape = replace(shape, width=shape.width + shape.width % 2)
        if "cos" in interface.takes and interface.of_tokens:  # the angle of a single pair passes for those of any
            shape = replace(shape, width=max(4, shape.width))
        sizes = interface.sizes
        if sizes is None:
            return shape
        tokens, keys = (sizes.tokens or n for n in (shape.tokens, shape.keys))
        tokens = sizes.queries or tokens
        others = {sizes.heads, sizes.key_heads, sizes.heads // sizes.key_heads}  # so that none passes for another
        batch = next(n for n in range(shape.batch, shape.batch + 4) if n not in others)
        return ProbeShape(batch, sizes.heads, tokens, keys, sizes.width, sizes.values, sizes.model)


# what each kind of probe tries, in words; the order is the order in which mistakes are looked for
PROBES = {
    "uniform": "queries of zero, so that every key counts the same",
    "plain": "ordinary tokens",
    "sharp": "tokens four times as large, so that the softmax is nearly a choice",
    "batch": "several items at once",
    "no-output": "no output matrix",
    "biased": "biases of the projections",
    "context": "a context of another length",
    "values": "values of other tokens than the keys",
    "groups": "fewer key heads than query heads",
    "columns": "tokens as columns, asked for",
    "scale": "a scale that is asked for",
    "temperature": "a temperature",
    "softcap": "a softcap",
    "topk": "the largest logits alone",
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
    "aligned": "causal, with other numbers of queries than of keys",
    "together": "everything at once",
    "empty-rows": "queries that may attend to nothing",
    "hidden-nan": "NaN behind the mask",
    "large-logits": "logits in the thousands",
    "float32": "float32 arguments",
    "wide": "widths, and numbers of queries and keys, that differ",
    "single": "one item, also with a single token",
    "long": "many tokens",
}
