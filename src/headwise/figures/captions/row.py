"""What the captions of one row of every layer and head have in common, whoever's row it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.captions.measurements import (
    Facts,
    agreeing_pairs,
    base_measurements,
    describe_count,
    extreme_head,
    first_and_last_layer,
    head_similarity,
    is_known,
    list_heads,
    pluralize_heads,
    trend,
)
from headwise.figures.nan_stats import among_tokens
from headwise.figures.record import AttentionRecord
from headwise.metrics.concentration import effective_number
from headwise.metrics.head_agreement import head_agreement
from headwise.metrics.spatial import weight_on_foreground
from headwise.shapes import Array

__all__ = [
    "LIMITS",
    "describe_colors",
    "describe_extremes",
    "describe_input",
    "describe_prediction",
    "describe_self_weight",
    "describe_spread",
    "notation",
    "panels_in_words",
    "row_facts",
]

LIMITS = (
    "These are weights, not reasons: a token with much weight need not have decided the class, because the values, "
    "the other tokens and the residual path carry the rest.",
    "In every layer but the first, a token has already taken in others, so its weight is no longer that of its own "
    "pixels alone.",
)


def row_facts(drawn: AttentionRecord, maps: Array) -> Facts:
    """What is measured of the same row of all heads, (L, H, N)."""
    facts = base_measurements(drawn)
    p = among_tokens(maps)
    blank = np.isnan(p[..., 0])
    facts |= list_heads("blank", blank) | {"seeing": int((~blank).sum())}
    effective = effective_number(p)
    facts |= (
        extreme_head("narrow", effective, least=True)
        | extreme_head("wide", effective)
        | first_and_last_layer("effective", effective)
    )
    narrow = p[facts["narrow_layer"], facts["narrow_head"]]
    facts |= {"narrow_token": int(narrow.argmax()) + 1, "narrow_share": float(narrow.max())}
    facts |= list_heads("even", effective >= facts["even"] * drawn.tokens)
    on_ink, area = weight_on_foreground(p, drawn.ink, drawn.boxes), facts["area"]
    facts |= list_heads("ink", on_ink >= facts["on_ink"] * area) | list_heads(
        "background", on_ink * facts["on_ink"] <= area
    )
    facts |= extreme_head("inkiest", on_ink)
    if facts["seeing"] > 1:
        facts |= agreeing_pairs(head_agreement(maps[~blank]), np.flatnonzero(~blank), facts["heads"])
    return facts | {"scale_top": float(maps.max())}


def describe_input(drawn: AttentionRecord) -> str:
    """The input, and how its tokens are counted."""
    tokens = pluralize_heads({"tokens": drawn.tokens}, "tokens", "token")
    zero = "; <token 0> is the class token." if drawn.classed else "; there is no class token."
    return (
        f"Left: the input, {{height}} × {{width}} pixels, cut along the orange lines into N = {tokens} of "
        "{box_height} × {box_width} pixels, <all patches> in reading order" + zero
    )


def notation(drawn: AttentionRecord) -> str:
    """The weights' formula, with the width of a head where it is known."""
    return "the attention weights <weights>" + (" with <d> = {d}" if drawn.head_width else "")


def describe_colors(drawn: AttentionRecord, facts: Facts) -> Iterator[str]:
    """How weights became colours."""
    overlap = int(drawn.boxes[:, 2:].prod(axis=1).sum()) > drawn.image.size
    yield (
        "The weights are drawn as they are, not normalised again; each is painted evenly over the pixels of its token, "
        "enlarged without smoothing" + (", and where tokens overlap their mean is." if overlap else ".")
    )
    if facts["scale_top"] > 0:
        yield "One colour scale holds for all panels, from <from 0> to {scale_top:.3f}, the largest weight drawn."
    else:
        yield "One colour scale holds for all panels, from <from 0> to one: all weights drawn are zero."
    if drawn.ink.any():
        yield "The thin outline is the digit's own, where the ink passes {ink_level:.1f}."


def describe_spread(facts: Facts) -> Iterator[str]:
    """How concentrated the heads are, and what depth does to it."""
    if facts["blank_heads"]:
        yield describe_count(facts, "blank", "giving the image no weight, all of it being on the class token")
    if facts["blank_heads"] == facts["all_heads"]:
        return
    if facts["blank_heads"]:
        yield "What follows leaves that out."
    yield _concentration(facts)
    yield describe_count(facts, "even", "nearly uniform (at least {even:.0%} of the tokens effective)")
    if facts["layers"] > 1 and is_known(facts, "effective"):
        yield (
            f"From the first layer to the last this attention {trend(facts, 'effective', 'widens', 'narrows')} "
            "({effective_first:.1f} and {effective_last:.1f} effective tokens, means over heads)."
        )


def _concentration(facts: Facts) -> str:
    narrow = (
        "{narrow:.1f} effective tokens of {tokens}, {narrow_share:.0%} of what it gives the image being on token "
        "{narrow_token}"
    )
    if facts["all_heads"] == 1:
        return f"The head has {narrow}."
    if facts["seeing"] == 1:
        return f"Layer {{narrow_layer}}, head {{narrow_head}} has {narrow}."
    if head_similarity(facts, "narrow", "wide"):
        return "All are equally concentrated, with {narrow:.1f} effective tokens of {tokens}."
    return (
        f"The most concentrated head is layer {{narrow_layer}}, head {{narrow_head}}, with {narrow}; the most even is "
        "layer {wide_layer}, head {wide_head}, with {wide:.1f}."
    )


def describe_prediction(facts: Facts) -> Iterator[str]:
    """Which heads look at ink, and which agree."""
    if facts["area"] > 0 and facts["seeing"]:
        yield "An even spread would put {area:.0%} of its weight on ink; the most is {inkiest:.0%}, in layer " + (
            "{inkiest_layer}, head {inkiest_head}."
        )
        yield describe_count(facts, "ink", "looking at it (at least {on_ink} times as much as an even spread)")
        yield describe_count(facts, "background", "looking away from it (that share over {on_ink}, or less)")
    if facts["seeing"] > 2:
        yield (
            f"Of {{pairs}} pairs of heads, {{alike_pairs}} agree{'s' if facts['alike_pairs'] == 1 else ''}: their maps "
            "have <agreement>, with <entropies>, of at least {alike}. The nearest are layer {nearest_layer}, head "
            "{nearest_head} and layer {other_layer}, head {other_head}, with {nearest:.2f}."
        )
    elif facts["seeing"] == 2:
        yield (
            "Layer {nearest_layer}, head {nearest_head} and layer {other_layer}, head {other_head} "
            + ("agree" if facts["alike_pairs"] else "do not agree")
            + ": their maps have <agreement>, with <entropies>, of {nearest:.2f} (to agree, at least {alike})."
        )


def describe_self_weight(facts: Facts) -> str:
    """How much of its attention a token keeps on itself, in which heads the least and the most."""
    if facts["all_heads"] == 1 or head_similarity(facts, "self_least", "self_most"):
        return "keeps {self_most:.0%}"
    return (
        "keeps from {self_least:.0%} (layer {self_least_layer}, head {self_least_head}) to {self_most:.0%} (layer "
        "{self_most_layer}, head {self_most_head})"
    )


def panels_in_words(facts: Facts) -> str:
    """What there is to see, for who cannot see it."""
    tokens = pluralize_heads(facts, "tokens", "token")
    scale = (
        "from white, none, to dark blue, {scale_top:.2f}." if facts["scale_top"] > 0 else "white throughout: no weight."
    )
    if facts["all_heads"] == 1:
        return f"one heat map over {tokens}, {scale}"
    return (
        f"{{all_heads}} heat maps over {tokens}, {pluralize_heads(facts, 'layers', 'row')} of layers by "
        f"{pluralize_heads(facts, 'heads', 'column')} of heads, on one scale {scale}"
    )


def describe_extremes(facts: Facts) -> str:
    """The sharpest head and the most even, for who cannot see them."""
    if not facts["seeing"]:
        return describe_count(facts, "blank", "giving the image no weight")
    if facts["all_heads"] == 1:
        return "The darkest is token {narrow_token}, with {narrow_share:.0%} of what the head gives the image."
    if facts["seeing"] > 1 and head_similarity(facts, "narrow", "wide"):
        return "All are equally sharp and spread over {wide:.1f} tokens."
    sharpest = (
        "The sharpest, layer {narrow_layer}, head {narrow_head}, is on token {narrow_token} with {narrow_share:.0%} of "
        "what it gives the image"
    )
    return sharpest + "; the most even, layer {wide_layer}, head {wide_head}, spreads over {wide:.1f} tokens."
