"""Conventions: choices that are neither right nor wrong, and that a verdict reports before its mistakes.

Some are ways of calling a function, such as the orientation of its matrices. The others are parts of the operation
itself, such as rotary positions; like mistakes they are changes of the reference, and the search finds them in the same
way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headwise.checker.reference.definition import rotated_halves, rotated_neighbours
from headwise.checker.reference.stages import (
    NORMS,
    SLOPES,
    alibi,
    aligned_with_last,
    divided_with,
    hide_own_key,
    hide_queries_too,
    joined,
    mask_of_tokens_last,
    one_mask,
    one_more,
    rotary,
    rotary_after,
    rotary_without_context,
    scale_that_divides,
    show_own_key,
    signed_distances,
    temperature_alone,
    unhidden,
    unscaled,
    without_hidden,
    zero_padding,
)
from headwise.checker.reference.state import Change
from headwise.errors import DataError

__all__ = ["CONVENTIONS", "Convention", "Requirements"]


@dataclass(frozen=True, slots=True)
class Convention:
    """One convention."""

    code: str  # its stable name
    phrase: str  # the convention in a few words, which can follow "right, with"
    changes: tuple[Change, ...] = ()  # the reference with it, in the variants in use; empty for a way of calling
    of_positions: bool = False  # whether the changes depend on the positions of the tokens
    untested: str = ""  # what the check cannot know where a function follows it


CONVENTIONS = {
    convention.code: convention
    for convention in (
        Convention("weights-in-out", "(in, out) matrices"),
        Convention("tokens-before-heads", "tokens before heads"),
        Convention("tokens-before-batch", "tokens before the batch"),
        Convention("tokens-as-columns", "tokens as columns"),
        Convention("heads-stacked", "one matrix for each head"),
        Convention("weights-fused", "several projections in one matrix"),
        Convention("mask-hides", "True = hidden"),
        Convention("mask-additive", "a mask of numbers that are added"),
        Convention("padding-hides", "True = padding"),
        Convention("window-as-number", "a window given as one number"),
        Convention("bias-table", "a bias given as a table of distances"),
        Convention("output-tokens-first", "an output with tokens before heads"),
        Convention("output-merged", "an output with the heads side by side"),
        Convention("weights-only", "the attention weights alone, and no output"),
        Convention(
            "context-and-tokens",
            "keys and values from the context and the tokens together",
            ({"+arrange": joined(True)}, {"+arrange": joined(False)}),
        ),
        Convention(
            "masks-apart",
            "one mask for its tokens and another for its context",
            (
                {"+arrange": one_mask},
                {"+arrange": one_mask, "+mask": hide_queries_too},
                {"+arrange": mask_of_tokens_last},
            ),
        ),
        Convention(
            "padding-hides-queries",
            "padding that hides queries too",
            ({"+mask": hide_queries_too}, {"+finish": zero_padding}),
        ),
        Convention(
            "own-key-hidden",
            "tokens that do not see themselves",
            ({"+mask": hide_own_key},),
            untested="whether tokens are meant not to see themselves",
        ),
        Convention(
            "own-key-visible",
            "tokens that see themselves, whatever the graph says",
            ({"+mask": show_own_key},),
            untested="whether tokens are meant to see themselves where the graph has no self-loop",
        ),
        Convention("keys-cached", "keys and values of earlier tokens in a cache"),
        Convention("kv-packed", "keys and values in one array"),
        Convention("qkv-packed", "queries, keys and values in one array"),
        Convention("unprojected", "its tokens themselves as queries, keys and values"),
        Convention("unscaled", "logits without a scale", ({"scale": unscaled},)),
        Convention("equal-lengths", "only as many keys as queries"),
        Convention("equal-widths", "square matrices only: it is right where Wq, Wk and Wv are D × D"),
        Convention("equal-value-widths", "only values as wide as keys"),
        Convention("float32", "float32 computation"),
        Convention("causal-unasked", "causal by construction"),
        Convention("causal-without-mask", "causal where no mask is passed"),
        Convention("window-built-in", "a built-in window"),
        Convention(
            "pattern-built-in",
            "a built-in pattern of the keys that a query sees",
            of_positions=True,
            untested="whether these are the keys that a query is meant to see",
        ),
        Convention("causal-aligned-end", "the last query aligned with the last key", ({"align": aligned_with_last},)),
        Convention(
            "scale-divides",
            "a scale that divides the logits",
            ({"scale": scale_that_divides},),
            untested="whether its scale is meant to divide",
        ),
        Convention("temperature", "a temperature in place of √d", ({"scale": temperature_alone},)),
        Convention(
            "alibi",
            "ALiBi",
            tuple({"+bias": alibi(symmetric=True, slopes_of=own)} for own in SLOPES),
            of_positions=True,
        ),
        Convention(
            "signed-distances",
            "a linear bias that grows for later keys",
            (
                {"bias": signed_distances},
                *({"+bias": alibi(symmetric=False, slopes_of=own)} for own in SLOPES),
            ),
            of_positions=True,
        ),
        Convention(
            "rope",
            "rotary positions",
            tuple(
                {"+rotate": rotary(turn, base, part)}
                for base, part in ((1e4, 1), (5e5, 1), (1e6, 1), (1e4, 4), (1e4, 2))
                for turn in (rotated_halves, rotated_neighbours)
            ),
            of_positions=True,
        ),
        Convention(
            "rope-without-context",
            "rotary positions where it is given no context",
            tuple(
                {"+rotate": rotary_without_context(turn, base)}
                for base in (1e4, 5e5, 1e6)
                for turn in (rotated_halves, rotated_neighbours)
            ),
            of_positions=True,
        ),
        Convention(
            "rope-cached",
            "rotary positions, and a cache of rotated keys",
            tuple(
                {"+rotate": rotary_after(turn, base, whole)}
                for base in (1e4, 5e5, 1e6)
                for whole in (False, True)
                for turn in (rotated_halves, rotated_neighbours)
            ),
            of_positions=True,
        ),
        Convention(
            "rope-by-head",
            "rotary positions, with angles of its own in each head",
            of_positions=True,
            untested="whether angles of its own in each head are meant",
        ),
        Convention(
            "grid-by-columns",
            "tokens of the grid column by column",
            untested="whether the tokens of the grid are meant to come column by column",
        ),
        Convention("position-bias", "a bias of positions", of_positions=True),
        Convention("qk-norm", "normalised queries and keys", tuple({"+split": norm} for norm in NORMS)),
        Convention(
            "qk-norm-of-all-heads",
            "queries and keys normalised over all heads together",
            untested="whether queries and keys are meant to be normalised over all heads together",
        ),
        Convention("heads-last", "the heads as the last axis of the features that are split, as it says"),
        Convention("softcap-built-in", "a built-in softcap of the logits"),
        Convention("scale-configured", "a scale of the logits that its configuration gives"),
        Convention("sparsemax", "sparsemax in place of the softmax"),
        Convention("entmax", "entmax in place of the softmax"),
        Convention("relu-weights", "a ReLU in place of the softmax"),
        Convention("sigmoid-weights", "a sigmoid in place of the softmax"),
        Convention("kernel-weights", "a product of features in place of the softmax (linear attention)"),
        Convention("talking-heads", "heads that are mixed before and after the softmax"),
        Convention("scale-learned", "a learned scale of the logits"),
        Convention(
            "softmax-epsilon",
            "a small number added to the softmax's denominator",
            tuple(
                {"divide": divided_with(eps), **hiding}
                for hiding in ({}, {"hide": unhidden, "+exponentiate": without_hidden})
                for eps in (1e-8, 1e-6, 1e-5, 1e-7, 1e-9, 1e-10, 1e-12)
            ),
        ),
        Convention("softmax-plus-one", "one more in the softmax's denominator", ({"+hide": one_more},)),
        Convention("positions-inside", "positions added to its tokens", of_positions=True),
        Convention("sinks", "attention sinks"),
        Convention("registers", "learned tokens among its keys"),
        Convention("keys-latent", "keys and values made from a latent vector"),
        Convention("keys-reduced", "keys and values of a smaller image", of_positions=True),
        Convention("gated", "a gate on its output"),
        Convention("set-block", "the residual connections of a Set Transformer"),
        Convention("norm-inside", "a norm of its own"),
        Convention("residual-inside", "a residual connection of its own"),
        Convention("activation-last", "an activation after a residual connection of its own"),
        Convention(
            "residual-normalised", "a residual connection of the normalised tokens in place of those it is given"
        ),
    )
}
# what a requirement may be called besides the convention itself: the default that it excludes
_DEFAULTS = {
    "weights-out-in": ("matrices", "out-in"),
    "mask-attends": ("mask", "attends"),
    "heads-before-tokens": ("axes", "BHNd"),
    "tokens-as-rows": ("axes", "ND"),
    "weights-in-out": ("matrices", "in-out"),
    "mask-hides": ("mask", "hides"),
    "mask-additive": ("mask", "adds"),
    "padding-hides": ("padding", "hides"),
    "padding-attends": ("padding", "attends"),
    "tokens-before-heads": ("axes", "BNHd"),
    "tokens-as-columns": ("axes", "DN"),
    "tokens-before-batch": ("axes", "NBD"),
    "causal": ("causal", "yes"),
}


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the caller requires of a function's conventions; an empty string leaves it to be detected."""

    matrices: str = ""  # the orientation of the matrices
    # what True means in a mask
    mask: str = ""
    padding: str = ""
    axes: str = ""  # the layout, as in ``"BNHd"`` or ``"DN"``
    causal: str = ""  # whether it has to be causal by construction
    args: tuple[str, ...] = ()  # what its positional arguments are, in order; empty to infer it from their names

    @classmethod
    def of(
        cls,
        weights: str = "any",
        mask: str = "any",
        convention: str | Iterable[str] = (),
        args: str | Iterable[str] = (),
    ) -> Requirements:
        """From the options of a check.

        Raises DataError if one of them is not known.
        """
        fields: dict[str, str] = {}
        for name, value, allowed in (
            ("weights", weights, ("in-out", "out-in")),
            ("mask", mask, ("hides", "attends", "adds")),
        ):
            if value not in ("any", *allowed):
                raise DataError(f"{name}: expected one of {', '.join(allowed)}, any; got {value!r}.")
            if value != "any":
                fields["matrices" if name == "weights" else name] = value
        for code in [convention] if isinstance(convention, str) else convention:
            if code not in _DEFAULTS:
                raise DataError(f"convention: expected some of {', '.join(_DEFAULTS)}; got {code!r}.")
            name, value = _DEFAULTS[code]
            fields[name] = value
        order = tuple(a.strip() for a in (args.split(",") if isinstance(args, str) else args) if a.strip())
        return cls(**fields, args=order)
