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

from collections.abc import Callable, Mapping
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
    """The sizes at which a target has to be probed.

    Attributes
    ----------
    model : int
        D, the width of the tokens.
    heads, key_heads : int
        H and G.
    width, values : int
        d and e, of one head: Wq is (H·d, D), Wk (G·d, C), Wv (G·e, C).
    output : int
        The width of the output.
    context : int
        C, the width of the tokens that keys and values are made from; D unless the target attends to a context of
        another width.
    tokens : int or None
        The only number of tokens that it takes, for a table of positions of fixed size; None for any.
    queries : int or None
        The only number of queries that it has, where they are learned; None for any.
    max_tokens : int or None
        The largest number of tokens that it takes; None for any.
    sliced : bool
        Whether each head projects only its own slice of the features: Wq, Wk and Wv are block-diagonal.
    shared : bool
        Whether these blocks are equal: every head is projected with the same matrix.
    """

    model: int
    heads: int
    key_heads: int
    width: int
    values: int
    output: int
    context: int
    tokens: int | None = None
    queries: int | None = None
    max_tokens: int | None = None
    sliced: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A copy of a module in float64 and eval mode, and how to put weights into it.

    Attributes
    ----------
    name : str
        What reports call it, such as ``"Net.layers.0.attn"``.
    kind : {"self_attention", "multi_head", "attention"}
        ``attention`` if it holds no projections and its forward method takes q, k and v.
    forward : callable
        The bound method (or function) to call. The core reads its signature, and passes arrays through `convert`.
    load : callable
        ``load(weights)`` writes the given arrays into the copy; the keys are those of `parameters`, the arrays in the
        reference's layout: Wq (H·d, D), head h owning rows h·d … (h+1)·d − 1; Wk (G·d, C); Wv (G·e, C); Wo (output,
        H·e); bq, bk, bv, bo. It fuses and transposes them as the module wants. It may be called before every call of
        `forward`, and its arrays may be float64 or float32.
    parameters : frozenset of str
        The projections and biases that the module has, among Wq, Wk, Wv, Wo, bq, bk, bv, bo.
    sizes : TargetSizes or None
        None for a target without weights, which takes any sizes.
    convert : callable
        From a NumPy array to what `forward` takes, for example a torch tensor; masks go through it as well.
    roles : mapping
        Names of parameters of `forward` that the core would not recognise, to the reference's names: ``{"kv_cache":
        "cache"}``. A role of ``""`` leaves the parameter at its default.
    arguments : mapping
        Arguments that are always passed, by the names of `forward`: flags without a default, empty caches.
    axes : str
        The axes of the tokens if they are known: ``"BND"``, ``"ND"``, ``"NBD"``, ``"BDN"``; empty to try.
    mask : {"attends", "hides", "any"}
        What True means in a mask of queries and keys, where the framework defines it.
    components : frozenset of str
        Codes of entries of the catalogue that the module contains by design (``"norm-added"`` for a LayerNorm among
        its parts, ``"residual-added"``): they are reported as conventions and not as mistakes.
    design : tuple of (str, Change)
        Those of them that are known already, each as the change of the reference that it is: the search starts there.
    lowers : bool
        Whether its framework computes in float32 whatever it is given, so that this is no choice of the module.
    coarse : bool
        Whether some of its numbers, such as angles, may be rounded to float32.
    empty_tables : callable or None
        Lets tables that the module learns besides its projections, such as those of positions, say nothing.
    rotates : callable or None
        Whether a call of it rotates queries and keys, seen by what it runs.
    capped : bool
        Whether a softcap is among its attributes.
    unscaled : bool
        Whether it is of a family that has no scale, such as T5.
    window : (int, str) or None
        The window that it stores as a number, and what it says that it counts, as in `Documentation.window`.
    tables, neutral : tuple of str
        The names of these tables, and those of what says nothing in any case, such as a gate.
    gate : str
        The name of a parameter that is taken for a gate; empty without one.
    without_effect : callable or None
        Which norms and scales change nothing, given what calls the module and says whether its outputs are as before;
        and whether each is one of several norms of queries and keys, another of which changes them.
    used_in_part : callable or None
        Which tables have entries that change nothing, in words, given the same, and the same with many tokens.
    contradiction : callable or None
        What its tables of distances do that none does, in a sentence; empty for none.
    train : callable or None
        Turns the training mode on or off, where there is one.
    state : callable or None
        Returns what the module holds now besides its parameters, such as a cache.
    causal : bool
        Whether a flag that it stores says that no token sees a later one, and nothing that is passed could say it.
    conventions : tuple of str
        What was inferred, in the words of a report: ``"a fused matrix in the order (3, H, d)"``, ``"4 heads"``.
    source : str
        The text of the file that the module is from, for finding the line of a mistake.
    function : str
        The name of the method or function in `source` at which the search for that line starts.
    """

    name: str
    kind: str
    forward: Callable[..., Any]
    load: Callable[[Mapping[str, Array]], None]
    parameters: frozenset[str]
    sizes: TargetSizes | None
    convert: Callable[[Array], Any]
    roles: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    axes: str = ""
    mask: str = "any"
    components: frozenset[str] = frozenset()
    design: tuple[tuple[str, Change], ...] = ()
    lowers: bool = False
    coarse: bool = False
    empty_tables: Callable[[], None] | None = None
    rotates: Callable[[], bool] | None = None
    capped: bool = False
    unscaled: bool = False
    window: tuple[int, str] | None = None
    tables: tuple[str, ...] = ()
    neutral: tuple[str, ...] = ()
    gate: str = ""
    without_effect: Callable[[Callable[[], bool]], dict[str, bool]] | None = None
    used_in_part: Callable[[Callable[[], bool], Callable[[], bool] | None], list[str]] | None = None
    contradiction: Callable[[], str] | None = None
    train: Callable[[bool], None] | None = None
    state: Callable[[], Memory] | None = None
    causal: bool = False
    conventions: tuple[str, ...] = ()
    source: str = ""
    function: str = "forward"
