"""The caption of the class token's map for every layer and head, or of what all rows attend to on average."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.captions.caption import Caption, to_statements
from headwise.figures.captions.distances import describe_distance, distance_facts, locality
from headwise.figures.captions.faithfulness import describe_faithfulness, faithfulness_facts
from headwise.figures.captions.measurements import (
    Facts,
    extreme_head,
    first_and_last_layer,
    head_similarity,
    input_notes,
    is_known,
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
from headwise.figures.depth import profiles
from headwise.figures.record import AttentionRecord
from headwise.metrics.concentration import self_weight

__all__ = ["maps_caption", "maps_facts"]


def maps_facts(drawn: AttentionRecord) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    found = profiles(drawn)
    facts = row_facts(drawn, drawn.maps.astype(np.float64)) | faithfulness_facts(drawn)
    if drawn.classed:
        kept = self_weight(drawn.weights.astype(np.float64))[:, :, 0]
        facts |= (
            extreme_head("self_most", kept)
            | extreme_head("self_least", kept, least=True)
            | first_and_last_layer("self", kept)
        )
    facts |= first_and_last_layer("distance", found.distance) | distance_facts(found)
    return facts | {"dropped": float(found.dropped.mean())}


def maps_caption(drawn: AttentionRecord) -> Caption:
    """Measure the class token's maps, or without one the mean of all rows, and let the rules write."""
    facts = maps_facts(drawn)
    title = ("What the class token attends to" if drawn.classed else "What the tokens attend to") + title_suffix(drawn)
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
            _among(drawn, facts),
        ),
        to_statements(
            facts, LIMITS, describe_faithfulness(drawn, drawn.last, "the last layer's maps, averaged over heads")
        ),
        to_statements(facts, f"{title}: {panels_in_words(facts)}", describe_extremes(facts)),
    )


def _panels(drawn: AttentionRecord) -> Iterator[str]:
    each = "Each panel on the right, layer <l> from top to bottom and head <h> from left to right, both from <from 0>: "
    if not drawn.classed:
        yield each + (
            f"the mean <received> of all rows of {notation(drawn)}, which says how much of the outputs in that head is "
            "taken from token <m>."
        )
        return
    yield each + (
        f"the row <class row> of {notation(drawn)}, which says how much of the class token's output in that head is "
        "taken from token <m>."
    )
    yield (
        "Below each panel, cls is <class to class>, the weight that the class token keeps on itself and no panel can "
        "show; with it, a panel's weights sum to one."
    )


def _reading(drawn: AttentionRecord) -> Iterator[str]:
    if drawn.classed:
        yield "A dark token is one whose value vector makes up much of what this head passes on to the class token."
        yield (
            "A head that attended to every token alike, the class token included, would show {uniform:.3f} everywhere."
        )
    else:
        yield "A dark token is one whose value vector makes up much of what this head passes on, whoever asks."
        yield "A head that attended to every token alike would show {uniform:.3f} everywhere."
    which = "<p of patches>" if drawn.classed else "<p received> a panel's weights"
    yield f"The effective number of tokens is <effective> with {which}: that many equal weights have the same entropy."


def _on_itself(drawn: AttentionRecord, facts: Facts) -> Iterator[str]:
    if not drawn.classed:
        return
    means = ""
    if facts["all_heads"] > 1 and head_similarity(facts, "self_least", "self_most"):
        means = " in every head"
    elif facts["all_heads"] > 1:
        means = "; the mean over heads is {self_first:.0%}"
        means += " in the first layer and {self_last:.0%} in the last" if facts["layers"] > 1 else ""
    yield f"On itself the class token {describe_self_weight(facts)} of its attention{means}."


def _among(drawn: AttentionRecord, facts: Facts) -> Iterator[str]:
    of_what = "an even spread's {even_distance:.1f} pixels"
    if facts["tokens"] > 1 and is_known(facts, "distance"):
        yield "Among themselves the image's tokens attend over a mean distance, <distance>, of " + describe_distance(
            facts
        )
        of_what = "that"
    yield from locality(facts, f"local (at most {{local:.0%}} of {of_what})")
    if drawn.classed:
        yield (
            "The class token, which has no place, is left out of these distances, and with it {dropped:.0%} of the "
            "tokens' weight."
        )
