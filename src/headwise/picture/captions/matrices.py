"""The caption of the full N × N matrices of every layer and head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.metrics.concentration import effective_number, entropy, normalize_rows, self_weight
from headwise.picture.captions.distances import distance_facts, locality
from headwise.picture.captions.facts import Facts, arrays, basics, counted, digit, ends, named, place, verdict
from headwise.picture.captions.row import LIMITS, notation
from headwise.picture.captions.trust import UNRANKED
from headwise.picture.captions.written import Caption, stated
from headwise.picture.depth import profiles
from headwise.picture.drawn import Drawn

__all__ = ["matrices_caption", "matrices_facts"]


def matrices_facts(drawn: Drawn) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    weights = drawn.weights.astype(np.float64)
    p = normalize_rows(weights)
    asking = entropy(p.mean(axis=2)) - entropy(p).mean(axis=2)  # 0 bits: all rows are alike
    itself = self_weight(weights)[:, :, int(drawn.classed) :].mean(axis=2)
    effective = effective_number(p).mean(axis=2)
    found = profiles(drawn)
    facts = basics(drawn) | {"scale_top": float(weights.max())} | distance_facts(found)
    facts |= named("blind", asking <= facts["asking"]) | place("asked", asking)
    facts |= place("self_most", itself) | named("even", effective >= facts["even"] * facts["rows"])
    return facts | ends("dropped", found.dropped)


def matrices_caption(drawn: Drawn) -> Caption:
    """Measure the matrices, and let the rules write."""
    facts = matrices_facts(drawn)
    title = "All attention weights" + digit(drawn)
    matrices = "{all_heads} matrices" if facts["all_heads"] > 1 else "one matrix"
    return Caption(
        stated(facts, title)[0],
        stated(facts, _shown(drawn), arrays(drawn)),
        stated(facts, _reading(drawn)),
        stated(facts, verdict(drawn), _findings(drawn, facts)),
        stated(facts, LIMITS, UNRANKED),
        stated(facts, f"{title}: {matrices} of {{rows}} × {{rows}} weights.", _alike(facts)),
    )


def _shown(drawn: Drawn) -> Iterator[str]:
    yield (
        "Each panel, layer <l> from top to bottom and head <h> from left to right, both from <from 0>, is the "
        "matrix of "
        f"{notation(drawn)}: row <n> is how token <n> shares its attention out to the tokens <m>."
    )
    if drawn.classed:
        yield (
            "The first row and column, before the orange lines, are the class token's; the {tokens} tokens of the "
            "image, {box_height} × {box_width} pixels each, follow in reading order."
        )
    else:
        yield (
            "The tokens, {tokens} of {box_height} × {box_width} pixels, are in reading order; none is a class token."
        )
    yield (
        "Nothing is left out, and every row sums to one; one colour scale holds for all panels, from <from 0> to "
        "{scale_top:.3f}, the largest weight."
    )


def _reading(drawn: Drawn) -> Iterator[str]:
    yield "A dark column is a token that all attend to; a dark diagonal is tokens that attend to themselves."
    yield "Lines beside the diagonal are neighbours in reading order" + (
        ", and an even tint is a head that averages all tokens ({uniform:.3f} each)."
    )
    yield "How much who asks decides where a head looks is <asking>, in bits, over all {rows} rows."


def _findings(drawn: Drawn, facts: Facts) -> Iterator[str]:
    yield _alike(facts)
    yield (
        "The most depends on who asks in layer {asked_layer}, head {asked_head} ({asked:.1f} bits)."
        if facts["asked"] > facts["asking"]
        else "In none does it depend on who asks by more."
    )
    where = " the most in layer {self_most_layer}, head {self_most_head}" if facts["all_heads"] > 1 else ""
    yield (
        f"The image's tokens attend to themselves{where}: "
        "{self_most:.0%} on average, where an even spread has {uniform:.0%}."
    )
    yield from locality(
        facts, "local (mean distance at most {local:.0%} of an even spread's {even_distance:.1f} pixels)"
    )
    yield counted(facts, "even", "nearly uniform (at least {even:.0%} of the tokens effective, the mean over rows)")
    if drawn.classed and facts["layers"] > 1:
        yield (
            "On the class token the image's tokens put {dropped_first:.0%} of their weight in the first layer and "
            "{dropped_last:.0%} in the last, means over heads."
        )


def _alike(facts: Facts) -> str:
    return counted(facts, "blind", "the same for all who ask (at most {asking} bits)")
