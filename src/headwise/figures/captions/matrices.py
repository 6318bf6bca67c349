"""The caption of the full N × N matrices of every layer and head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.captions.caption import Caption, to_statements
from headwise.figures.captions.distances import distance_facts, locality
from headwise.figures.captions.faithfulness import UNRANKED
from headwise.figures.captions.measurements import (
    Facts,
    base_measurements,
    describe_count,
    extreme_head,
    first_and_last_layer,
    input_notes,
    list_heads,
    title_suffix,
    verdict,
)
from headwise.figures.captions.row import LIMITS, notation
from headwise.figures.depth import profiles
from headwise.figures.record import AttentionRecord
from headwise.metrics.concentration import effective_number, entropy, normalize_rows, self_weight

__all__ = ["matrices_caption", "matrices_facts"]


def matrices_facts(drawn: AttentionRecord) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    weights = drawn.weights.astype(np.float64)
    p = normalize_rows(weights)
    asking = entropy(p.mean(axis=2)) - entropy(p).mean(axis=2)  # 0 bits: all rows are alike
    itself = self_weight(weights)[:, :, int(drawn.classed) :].mean(axis=2)
    effective = effective_number(p).mean(axis=2)
    found = profiles(drawn)
    facts = base_measurements(drawn) | {"scale_top": float(weights.max())} | distance_facts(found)
    facts |= list_heads("blind", asking <= facts["asking"]) | extreme_head("asked", asking)
    facts |= extreme_head("self_most", itself) | list_heads("even", effective >= facts["even"] * facts["rows"])
    return facts | first_and_last_layer("dropped", found.dropped)


def matrices_caption(drawn: AttentionRecord) -> Caption:
    """Measure the matrices, and let the rules write."""
    facts = matrices_facts(drawn)
    title = "All attention weights" + title_suffix(drawn)
    matrices = "{all_heads} matrices" if facts["all_heads"] > 1 else "one matrix"
    return Caption(
        to_statements(facts, title)[0],
        to_statements(facts, _shown(drawn), input_notes(drawn)),
        to_statements(facts, _reading(drawn)),
        to_statements(facts, verdict(drawn), _findings(drawn, facts)),
        to_statements(facts, LIMITS, UNRANKED),
        to_statements(facts, f"{title}: {matrices} of {{rows}} × {{rows}} weights.", _alike(facts)),
    )


def _shown(drawn: AttentionRecord) -> Iterator[str]:
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


def _reading(drawn: AttentionRecord) -> Iterator[str]:
    yield "A dark column is a token that all attend to; a dark diagonal is tokens that attend to themselves."
    yield "Lines beside the diagonal are neighbours in reading order" + (
        ", and an even tint is a head that averages all tokens ({uniform:.3f} each)."
    )
    yield "How much who asks decides where a head looks is <asking>, in bits, over all {rows} rows."


def _findings(drawn: AttentionRecord, facts: Facts) -> Iterator[str]:
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
    yield describe_count(
        facts, "even", "nearly uniform (at least {even:.0%} of the tokens effective, the mean over rows)"
    )
    if drawn.classed and facts["layers"] > 1:
        yield (
            "On the class token the image's tokens put {dropped_first:.0%} of their weight in the first layer and "
            "{dropped_last:.0%} in the last, means over heads."
        )


def _alike(facts: Facts) -> str:
    return describe_count(facts, "blind", "the same for all who ask (at most {asking} bits)")
