"""What the checker can probe in place of a plain function: a module, or an object that holds its own weights.

`headwise.checker.modules.find_targets` makes the targets of an object; `headwise.checker.core.check` probes them. The
two share the work like this. A target knows the parameters: which of them is Wq, in which order a fused matrix holds
queries, keys and values, how many heads there are. The core knows everything else, as it does for a function: it reads
the signature of `Target.forward` (tokens, context, masks, causal flags, position and cache arguments, under their usual
names), makes inputs of the target's sizes, tries mask polarities and layouts, and compares with the reference.

Several targets of one object are alternatives, for example two orders of a fused matrix, the usual one first. The core
judges them in this order and keeps the one with the fewest mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwise.checker.reference.state import Change
from headwise.shapes import Array


class Memory(Protocol):
    """What a module holds at one time besides its parameters."""

    @property
    def arrays(self) -> list[Array]:
        """Its arrays."""

    def restore(self) -> None:
        """Let the module hold this again."""


@dataclass(frozen=True, slots=True)
class TargetSizes:
    """The sizes at which a target has to be probed."""

    model: int  # D, the width of the tokens
    heads: int  # H
    key_heads: int  # G
    # d and e, of one head: Wq is (H·d, D), Wk (G·d, C), Wv (G·e, C)
    width: int
    values: int
    output: int  # the width of the output
    # C, the width of the tokens that keys and values are made from; D unless it attends to a context of another width
    context: int
    tokens: int | None = None  # the only number of tokens that it takes, for a table of fixed size; None for any
    queries: int | None = None  # the only number of queries that it has, where they are learned; None for any
    # whether each head projects only its own slice of the features, so that Wq, Wk and Wv are block-diagonal
    sliced: bool = False
    shared: bool = False  # whether these blocks are equal: every head is projected with the same matrix


@dataclass(frozen=True, slots=True)
class Target:
    """A copy of a module in float64 and eval mode, and how to put weights into it."""

    name: str  # what reports call it, such as ``"Net.layers.0.attn"``
    # ``"self_attention"``, ``"multi_head"``, or ``"attention"`` if it holds no projections and takes q, k and v
    kind: str
    forward: Callable[..., Any]  # the bound method, or function, to call; arrays are passed through `convert`
    # ``load(weights)`` writes arrays, float64 or float32, into the copy, perhaps before every call. The keys are those
    # of `parameters`, and the arrays in the reference's layout: Wq (H·d, D), head h owning rows h·d … (h+1)·d − 1;
    # Wk (G·d, C); Wv (G·e, C); Wo (output, H·e); biases. It fuses and transposes them as the module wants
    load: Callable[[Mapping[str, Array]], None]
    parameters: frozenset[str]  # which of Wq, Wk, Wv, Wo, bq, bk, bv, bo the module has
    sizes: TargetSizes | None  # None for a target without weights, which takes any sizes
    convert: Callable[[Array], Any]  # from a NumPy array, also a mask, to what `forward` takes, such as a tensor
    # from names of arguments of `forward` that the core would not recognise to the reference's names, as
    # ``{"kv_cache": "cache"}``; an empty role leaves the argument at its default
    roles: Mapping[str, str] = field(default_factory=dict)
    # arguments that are always passed, by the names of `forward`: flags without a default, empty caches
    arguments: Mapping[str, Any] = field(default_factory=dict)
    axes: str = ""  # of the tokens if they are known: ``"BND"``, ``"ND"``, ``"NBD"``, ``"BDN"``; empty to try
    # what True means in a mask of queries and keys where the framework defines it: ``"attends"`` or ``"hides"``
    mask: str = "any"
    # entries of the catalogue that it contains by design (``"norm-added"`` for a LayerNorm among its parts), which are
    # reported as conventions and not as mistakes
    components: frozenset[str] = frozenset()
    # those that are known already, each with the change of the reference that it is: the search starts there
    design: tuple[tuple[str, Change], ...] = ()
    lowers: bool = False  # whether its framework computes in float32 whatever it is given: no choice of the module
    coarse: bool = False  # whether some of its numbers, such as angles, may be rounded to float32
    # lets tables that it learns besides its projections, such as those of positions, say nothing
    empty_tables: Callable[[], None] | None = None
    rotates: Callable[[], bool] | None = None  # whether a call of it rotates queries and keys, seen by what it runs
    capped: bool = False  # whether a softcap is among its attributes
    unscaled: bool = False  # whether it is of a family that has no scale, such as T5
    # the window that it stores as a number, and what it says that it counts, as in `meaning_of_window`
    window: tuple[int, str] | None = None
    tables: tuple[str, ...] = ()  # the names of these tables
    neutral: tuple[str, ...] = ()  # the names of what says nothing in any case, such as a gate
    gate: str = ""  # the name of a parameter that is taken for a gate; empty without one
    # which norms and scales change nothing, given whether a call of the module repeats its outputs; and whether each is
    # one of several norms of queries and keys, another of which changes them
    without_effect: Callable[[Callable[[], bool]], dict[str, bool]] | None = None
    # which tables have entries that change nothing, in words, given the same, and the same with many tokens
    used_in_part: Callable[[Callable[[], bool], Callable[[], bool] | None], list[str]] | None = None
    # whether a bias of positions (H, N, M) is a table's numbers divided by √d
    scales_table: Callable[[Array], bool] | None = None
    contradiction: Callable[[], str] | None = None  # what its tables of distances do that none does, in a sentence
    # its attributes that choose one of several computations of the same: names, values, and what sets them
    switches: Sequence[tuple[str, bool, Callable[[bool], None]]] = ()
    train: Callable[[bool], None] | None = None  # turns the training mode on or off
    state: Callable[[], Memory] | None = None  # returns what it holds now besides its parameters, such as a cache
    # whether a flag that it stores says that no token sees a later one, and nothing that is passed could say it
    causal: bool = False
    # what was inferred, in the words of a report: ``"a fused matrix in the order (3, H, d)"``, ``"4 heads"``
    conventions: tuple[str, ...] = ()
    source: str = ""  # the text of the file that it is from, for finding the line of a mistake
    function: str = "forward"  # the name in `source` of the method or function at which that search starts
