"""The caption of one token's view: its row of every layer and head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.metrics.spatial import token_centers
from headwise.picture.captions.distances import far
from headwise.picture.captions.facts import (
    Facts,
    arrays,
    counted,
    digit,
    ends,
    known,
    named,
    place,
    verdict,
)
from headwise.picture.captions.maps import maps_caption
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
from headwise.picture.captions.trust import UNRANKED
from headwise.picture.captions.written import Caption, stated
from headwise.picture.drawn import Drawn
from headwise.picture.known import among_tokens

__all__ = ["token_caption", "token_facts"]


def token_facts(drawn: Drawn, token: int) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    maps = drawn.row(token).astype(np.float64)
    itself = maps[:, :, token - 1]
    c = token_centers(drawn.boxes)
    far = np.hypot(*(c - c[token - 1]).T)
    distance = among_tokens(maps) @ far
    facts = row_facts(drawn, maps) | {"token": token, "even_distance": float(far.mean())}
    facts |= place("self_most", itself) | place("self_least", itself, least=True) | ends("self", itself)
    facts |= ends("distance", distance) | named("local", distance <= facts["local"] * far.mean())
    if drawn.classed:
        on_class = drawn.weights[:, :, token, 0].astype(np.float64)
        facts |= place("class_most", on_class) | {"dropped": float(on_class.mean())}
    return facts


def token_caption(drawn: Drawn, token: int) -> Caption:
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
    title = "What token {token} attends to" + digit(drawn)
    return Caption(
        stated(facts, title)[0],
        stated(facts, left(drawn), _panels(drawn), painted(drawn, facts), arrays(drawn)),
        stated(facts, _reading(drawn)),
        stated(facts, verdict(drawn), _on_itself(drawn, facts), spread(facts), seen(facts), _from_itself(facts)),
        stated(facts, LIMITS, UNRANKED),
        stated(facts, f"{title}: {panels_in_words(facts)}", extremes(facts)),
    )


def _panels(drawn: Drawn) -> Iterator[str]:
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


def _reading(drawn: Drawn) -> Iterator[str]:
    yield "A dark token is one whose value vector makes up much of what this head passes on to token {token}."
    yield "A head that attended to every token alike would show {uniform:.3f} everywhere."
    which = "<p of row>" if drawn.classed else "<p received> a panel's weights"
    yield f"The effective number of tokens is <effective> with {which}: that many equal weights have the same entropy."


def _on_itself(drawn: Drawn, facts: Facts) -> Iterator[str]:
    yield (
        f"Token {{token}} {kept_on_itself(facts)} of its attention on itself, where an even spread would keep "
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
    if facts["tokens"] == 1 or not known(facts, "distance"):
        return
    yield "It looks over a mean distance, <distance of row>, of " + far(facts)
    yield counted(facts, "local", "local (at most {local:.0%} of that)")
