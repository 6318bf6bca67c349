"""The caption of one token's view: its row of every layer and head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.captions.caption import Caption, to_statements
from headwise.figures.captions.distances import describe_distance
from headwise.figures.captions.faithfulness import UNRANKED
from headwise.figures.captions.maps import maps_caption
from headwise.figures.captions.measurements import (
    Facts,
    describe_count,
    extreme_head,
    first_and_last_layer,
    input_notes,
    is_known,
    list_heads,
    title_suffix,
    verdict,
)
from headwise.figures.captions.row import (
    LIMITS,
    describe_colors,
    describe_extremes,
    describe_input,
    describe_prediction,
    describe_self_weight,
    describe_spread,
    notation,
    panels_in_words,
    row_facts,
)
from headwise.figures.nan_stats import among_tokens
from headwise.figures.record import AttentionRecord
from headwise.metrics.spatial import token_centers

__all__ = ["token_caption", "token_facts"]


def token_facts(drawn: AttentionRecord, token: int) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    maps = drawn.row(token).astype(np.float64)
    itself = maps[:, :, token - 1]
    c = token_centers(drawn.boxes)
    far = np.hypot(*(c - c[token - 1]).T)
    distance = among_tokens(maps) @ far
    facts = row_facts(drawn, maps) | {"token": token, "even_distance": float(far.mean())}
    facts |= (
        extreme_head("self_most", itself)
        | extreme_head("self_least", itself, least=True)
        | first_and_last_layer("self", itself)
    )
    facts |= first_and_last_layer("distance", distance) | list_heads("local", distance <= facts["local"] * far.mean())
    if drawn.classed:
        on_class = drawn.weights[:, :, token, 0].astype(np.float64)
        facts |= extreme_head("class_most", on_class) | {"dropped": float(on_class.mean())}
    return facts


def token_caption(drawn: AttentionRecord, token: int) -> Caption:
    """Measure one token's row of every layer and head, and let the rules write; 0 is the class token.

    Raises
    ------
    DataError
        If there is no such token.
    """
    drawn.index(token)
    if token == 0:
        return maps_caption(drawn)
    facts = token_facts(drawn, token)
    title = "What token {token} attends to" + title_suffix(drawn)
    return Caption(
        to_statements(facts, title)[0],
        to_statements(facts, describe_input(drawn), _panels(drawn), describe_colors(drawn, facts), input_notes(drawn)),
        to_statements(facts, _reading(drawn)),
        to_statements(
            facts,
            verdict(drawn),
            _on_itself(drawn, facts),
            describe_spread(facts),
            describe_prediction(facts),
            _from_itself(facts),
        ),
        to_statements(facts, LIMITS, UNRANKED),
        to_statements(facts, f"{title}: {panels_in_words(facts)}", describe_extremes(facts)),
    )


def _panels(drawn: AttentionRecord) -> Iterator[str]:
    yield (
        "Each panel on the right, layer <l> from top to bottom and head <h> from left to right, both from <from 0>: "
        f"the row <row> of {notation(drawn)} for <n> = {{token}}, the token with the thick orange frame, which says "
        "how "
        "much of its output in that head is taken from token <m>."
    )
    if drawn.classed:
        yield (
            "Below each panel, cls is <to class>, the weight that it puts on the class token and no panel can show; "
            "with "
            "it, a panel's weights sum to one."
        )


def _reading(drawn: AttentionRecord) -> Iterator[str]:
    yield "A dark token is one whose value vector makes up much of what this head passes on to token {token}."
    yield "A head that attended to every token alike would show {uniform:.3f} everywhere."
    which = "<p of row>" if drawn.classed else "<p received> a panel's weights"
    yield f"The effective number of tokens is <effective> with {which}: that many equal weights have the same entropy."


def _on_itself(drawn: AttentionRecord, facts: Facts) -> Iterator[str]:
    yield (
        f"Token {{token}} {describe_self_weight(facts)} of its attention on itself, where an even spread would keep "
        "{uniform:.0%}."
    )
    if drawn.classed and facts["all_heads"] == 1:
        yield "On the class token it puts {dropped:.0%}."
    elif drawn.classed:
        yield (
            "On the class token it puts {dropped:.0%} on average, and the most, {class_most:.0%}, in layer "
            "{class_most_layer}, head {class_most_head}."
        )


def _from_itself(facts: Facts) -> Iterator[str]:
    if facts["tokens"] == 1 or not is_known(facts, "distance"):
        return
    yield "It looks over a mean distance, <distance of row>, of " + describe_distance(facts)
    yield describe_count(facts, "local", "local (at most {local:.0%} of that)")
