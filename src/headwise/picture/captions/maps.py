"""The caption of the class token's map for every layer and head, or of what all rows attend to on average."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.metrics.concentration import self_weight
from headwise.picture.captions.distances import distance_facts, far, locality
from headwise.picture.captions.facts import Facts, alike, arrays, digit, ends, known, place, verdict
from headwise.picture.captions.row import (
    LIMITS,
    extremes,
    kept_on_itself,
    left,
    notation,
    painted,
    panels_in_words,
    row_facts,
    seen,
    spread,
)
from headwise.picture.captions.trust import trust_facts, trusted
from headwise.picture.captions.written import Caption, stated
from headwise.picture.depth import profiles
from headwise.picture.drawn import Drawn

__all__ = ["maps_caption", "maps_facts"]


def maps_facts(drawn: Drawn) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    found = profiles(drawn)
    facts = row_facts(drawn, drawn.maps.astype(np.float64)) | trust_facts(drawn)
    if drawn.classed:
        kept = self_weight(drawn.weights.astype(np.float64))[:, :, 0]
        facts |= place("self_most", kept) | place("self_least", kept, least=True) | ends("self", kept)
    facts |= ends("distance", found.distance) | distance_facts(found)
    return facts | {"dropped": float(found.dropped.mean())}


def maps_caption(drawn: Drawn) -> Caption:
    """Measure the class token's maps, or without one the mean of all rows, and let the rules write."""
    facts = maps_facts(drawn)
    title = ("What the class token attends to" if drawn.classed else "What the tokens attend to") + digit(drawn)
    return Caption(
        stated(facts, title)[0],
        stated(facts, left(drawn), _panels(drawn), painted(drawn, facts), arrays(drawn)),
        stated(facts, _reading(drawn)),
        stated(facts, verdict(drawn), _on_itself(drawn, facts), spread(facts), seen(facts), _among(drawn, facts)),
        stated(facts, LIMITS, trusted(drawn, drawn.last, "the last layer's maps, averaged over heads")),
        stated(facts, f"{title}: {panels_in_words(facts)}", extremes(facts)),
    )


def _panels(drawn: Drawn) -> Iterator[str]:
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


def _reading(drawn: Drawn) -> Iterator[str]:
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


def _on_itself(drawn: Drawn, facts: Facts) -> Iterator[str]:
    if not drawn.classed:
        return
    means = ""
    if facts["all_heads"] > 1 and alike(facts, "self_least", "self_most"):
        means = " in every head"
    elif facts["all_heads"] > 1:
        means = "; the mean over heads is {self_first:.0%}"
        means += " in the first layer and {self_last:.0%} in the last" if facts["layers"] > 1 else ""
    yield f"On itself the class token {kept_on_itself(facts)} of its attention{means}."


def _among(drawn: Drawn, facts: Facts) -> Iterator[str]:
    of_what = "an even spread's {even_distance:.1f} pixels"
    if facts["tokens"] > 1 and known(facts, "distance"):
        yield "Among themselves the image's tokens attend over a mean distance, <distance>, of " + far(facts)
        of_what = "that"
    yield from locality(facts, f"local (at most {{local:.0%}} of {of_what})")
    if drawn.classed:
        yield (
            "The class token, which has no place, is left out of these distances, and with it {dropped:.0%} of the "
            "tokens' weight."
        )
