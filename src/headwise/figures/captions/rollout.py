"""The caption of attention rollout."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.captions.caption import Caption, to_statements
from headwise.figures.captions.faithfulness import describe_faithfulness, faithfulness_facts
from headwise.figures.captions.measurements import (
    Facts,
    base_measurements,
    first_and_last_layer,
    input_notes,
    is_known,
    pluralize_heads,
    title_suffix,
    trend,
    verdict,
)
from headwise.figures.captions.row import describe_colors, describe_input
from headwise.figures.nan_stats import among_tokens
from headwise.figures.record import AttentionRecord
from headwise.figures.rollout import last_rollout_map, rollout_map
from headwise.metrics.concentration import effective_number
from headwise.metrics.spatial import weight_on_foreground

__all__ = ["rollout_caption", "rollout_facts"]

_LIMITS = (
    "Rollout multiplies attention weights and half a residual path; values, MLPs and normalisation are left out, and "
    "with them how much each path carries and with which sign.",
    "Products of such averages even out with depth whatever the model has learned, so evenness in the last panels is "
    "no finding.",
)


def rollout_facts(drawn: AttentionRecord) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    through = rollout_map(drawn)
    maps = through[:, int(drawn.classed) :]
    p = among_tokens(maps)
    order = np.argsort(-maps[-1], kind="stable")
    on_ink = weight_on_foreground(p, drawn.ink, drawn.boxes)
    facts = (
        base_measurements(drawn)
        | faithfulness_facts(drawn)
        | first_and_last_layer("effective", effective_number(p)[:, None])
    )
    facts |= {"scale_top": float(maps.max()), "first_token": int(order[0]) + 1, "first_share": float(p[-1, order[0]])}
    facts |= {"even_share": 1 / drawn.tokens, "last_ink": float(on_ink[-1]), "last_layer": facts["layers"] - 1}
    if drawn.classed:
        facts |= {"dropped": float(through[-1, 0])}
    return facts


def rollout_caption(drawn: AttentionRecord) -> Caption:
    """Measure the rollout, and let the rules write."""
    facts = rollout_facts(drawn)
    whose = "the class token" if drawn.classed else "the tokens"
    title = f"What reaches {whose} by attention rollout" + title_suffix(drawn)
    return Caption(
        to_statements(facts, title)[0],
        to_statements(facts, describe_input(drawn), _shown(drawn), describe_colors(drawn, facts), input_notes(drawn)),
        to_statements(facts, _reading(drawn)),
        to_statements(facts, verdict(drawn), _findings(facts)),
        to_statements(facts, _LIMITS, describe_faithfulness(drawn, last_rollout_map(drawn), "the last panel")),
        to_statements(
            facts,
            f"{title}: {pluralize_heads(facts, 'layers', 'heat map')} over {pluralize_heads(facts, 'tokens', 'token')}"
            + (", one more layer in each." if facts["layers"] > 1 else "."),
            _most(facts),
        ),
    )


def _shown(drawn: AttentionRecord) -> Iterator[str]:
    read = "row <class rollout>" if drawn.classed else "mean of all rows, <received rollout>,"
    panels = (
        "panels on the right, from layer <from 0> alone to all layers up to {last_layer}"
        if len(drawn.weights) > 1
        else "panel on the right"
    )
    yield (
        f"The {panels}: the {read} of <rollout>, where <mixed> mixes the mean over heads, half and half, with the "
        "residual path."
    )
    if drawn.classed:
        yield (
            "Below each panel, cls is <class to class rollout>, what the class token keeps of itself and no panel can "
            "show; with it, a panel's weights sum to one."
        )


def _reading(drawn: AttentionRecord) -> Iterator[str]:
    yield "A dark token is one from which much could have come, if weights were all that counted."
    yield "An even share of the whole would be {uniform:.3f} a token."
    which = "<p of rollout>" if drawn.classed else "<p received> a panel's weights"
    yield f"The effective number of tokens is <effective> with {which}."


def _findings(facts: Facts) -> Iterator[str]:
    if np.isnan(facts["first_share"]):
        yield "Through all layers nothing comes from the image."
    else:
        yield (
            "Through all layers the most comes from token {first_token}: {first_share:.0%} of what comes from the "
            "image, where an even share would be {even_share:.0%}."
        )
    if "dropped" in facts:
        yield "The class token keeps {dropped:.0%} of itself."
    if facts["layers"] > 1 and is_known(facts, "effective"):
        yield (
            f"From the first panel to the last the rollout {trend(facts, 'effective', 'widens', 'narrows')} "
            "({effective_first:.1f} and {effective_last:.1f} effective tokens of {tokens})."
        )
    if facts["area"] > 0 and not np.isnan(facts["last_ink"]):
        looks = facts["last_ink"] >= facts["on_ink"] * facts["area"]
        yield (
            "It puts {last_ink:.0%} on ink, where an even spread would put {area:.0%}: "
            + ("at least" if looks else "less than")
            + " {on_ink} times as much, so "
            + ("it looks at ink." if looks else "it does not single ink out.")
        )


def _most(facts: Facts) -> str:
    if np.isnan(facts["first_share"]):
        return "In the last all are white: nothing reaches it from the image."
    return "In the last the darkest is token {first_token}, with {first_share:.0%} of what reaches it from the image."
