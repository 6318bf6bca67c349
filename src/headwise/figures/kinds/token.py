"""The attention of one token of the image in every layer and head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from headwise.errors import DataError
from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.faithfulness_sentences import NO_RANKING, NO_RANKING_IN_SHORT
from headwise.figures.kinds.maps import draw_rows, panel_facts
from headwise.figures.measurements import (
    Facts,
    even_values,
    extreme_head,
    first_and_last_layer,
    list_heads,
    measure_rows,
    normalize_or_nan,
)
from headwise.figures.record import AttentionRecord
from headwise.figures.role_sentences import measure_role_facts, summarize_roles
from headwise.figures.view import DEFAULT_VIEW, View


def measure(record: AttentionRecord, token: int, view: View = DEFAULT_VIEW) -> Facts:
    """Measure the row of one token, 1 to N, in all heads.

    Raises DataError if there is no such token.
    """
    _check_token(record, token)
    maps = record.row(token).astype(np.float64)
    itself = maps[:, :, token - 1]
    index, from_token = record.index(token), record.token_distances[token - 1]
    visible = record.visible_by_layer[:, index][:, record.content]
    distance = normalize_or_nan(maps) @ from_token
    even = visible @ from_token / visible.sum(axis=1)
    facts = measure_rows(record, maps, index) | {"token": token} | even_values("uniform_distance", even)
    facts |= measure_role_facts(record) | panel_facts(record, maps, view)
    facts |= even_values("uniform", 1 / record.counts[:, index]) | {"word": record.word(index).strip()}
    facts |= extreme_head("max_self", itself) | extreme_head("min_self", itself, least=True)
    facts |= first_and_last_layer("distance", distance)
    facts |= list_heads("local", distance <= facts["local"] * even[:, None])
    if record.has_class_token:
        on_class = record.weights[:, :, index, 0].astype(np.float64)
        facts |= extreme_head("max_class", on_class) | {"class_weight": float(on_class.mean())}
    return facts


def draw(record: AttentionRecord, token: int, view: View = DEFAULT_VIEW) -> Figure:
    """Draw the input and the map of each layer and head, as for the class token; the token itself is framed.

    Raises DataError if there is no such token.
    """
    _check_token(record, token)
    on_class = record.weights[:, :, record.index(token), 0] if record.has_class_token else None
    return draw_rows(record, record.row(token), on_class, f"attention weight of token {token}", token, view)


def _check_token(record: AttentionRecord, token: int) -> None:
    record.index(token)
    if token == 0:
        raise DataError("token: expected a token of the image, 1 or more; the class token's attention is figure maps.")


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    name = " “{word}”" if record.words and record.kind != "image" else ""
    title = f"What token {{token}}{name} attends to" + sentences.title_suffix(record)
    panels, colors = _describe_panels(record, facts), sentences.describe_colors(record, facts)
    return write_caption(
        facts,
        title,
        shown=[sentences.describe_input(record), panels, colors, sentences.describe_input_changes(record)],
        reading=[_describe_reading(record)],
        findings=[
            sentences.describe_prediction(record),
            _describe_self_weights(record, facts),
            sentences.describe_concentration(facts),
            sentences.describe_ink(facts),
            sentences.describe_agreement(facts),
            _describe_distances(facts),
        ],
        limits=[sentences.LIMITS, NO_RANKING],
        alternative=[f"{title}: {sentences.describe_alternative(facts)}", sentences.describe_extremes(facts)],
        short=(
            [_summarize_panels(facts), sentences.summarize_scale(facts)],
            [f"Its weight on itself {sentences.describe_self_weight(facts)}.", summarize_roles(record, facts)],
            [NO_RANKING_IN_SHORT],
        ),
    )


def _summarize_panels(facts: Facts) -> str:
    heads = sentences.summarize_heads(facts)
    return f"{heads}: the darker a token, the larger the weight on it; an even spread would be {{uniform:.3f}}."


def _describe_panels(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    if facts["panels"] < facts["all_heads"]:
        panel = "Each panel is one of {panels} heads chosen by role from {all_heads}, named by layer <l> and head <h>: "
    else:
        where = " on the right" if record.kind == "image" else ""
        panel = f"Each panel{where}, layer <l> from top to bottom and head <h> from left to right, both from <zero>: "
    yield (
        f"{panel}"
        f"the row <row> of {sentences.describe_weights(record)} for <n> = {{token}}, the token with the thick orange "
        "frame, which is the fraction of its output in that head that is taken from token <m>."
    )
    if record.has_class_token and record.kind == "image" and facts["panels"] == facts["all_heads"]:
        yield sentences.describe_class_weight(record, "<to class>, its weight on the class token")


def _describe_reading(record: AttentionRecord) -> Iterator[str]:
    yield "A dark token is one whose value vector makes up much of what this head passes on to token {token}."
    yield "A head that attended equally to all tokens would show {uniform:.3f} everywhere."
    which = "<p of row>" if record.has_class_token else "<p received> the weights of a panel"
    yield f"The effective number of tokens is <effective> with {which}: as many equal weights have the same entropy."


def _describe_self_weights(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    yield (
        f"The weight of token {{token}} on itself {sentences.describe_self_weight(facts)}; an even spread over the "
        "visible tokens would give {uniform:.0%}."
    )
    if record.has_class_token and facts["all_heads"] == 1:
        yield "Its weight on the class token is {class_weight:.0%}."
    elif record.has_class_token:
        yield (
            "Its weight on the class token is {class_weight:.0%} on average, and at most {max_class:.0%}, in layer "
            "{max_class_layer}, head {max_class_head}."
        )


def _describe_distances(facts: Facts) -> Iterator[str]:
    if facts["tokens"] == 1 or not sentences.is_known(facts, "distance"):
        return
    yield (
        "It attends over a mean distance, <distance of row>, "
        + ("of " if facts["layers"] == 1 else "")
        + sentences.describe_distance(facts)
    )
    yield sentences.describe_heads(facts, "local", "is", "local (at most {local:.0%} of that)")
