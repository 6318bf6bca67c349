"""The attention of the class token in every layer and head, or without a class token the mean of all rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headwise.figures import sentences
from headwise.figures.caption import Caption, to_statements
from headwise.figures.measurements import (
    Facts,
    extreme_head,
    first_and_last_layer,
    measure_distances,
    measure_faithfulness,
    measure_rows,
    profile_heads,
)
from headwise.figures.panels import (
    COLUMN,
    NARROW,
    PAGE,
    add_bar,
    draw_input,
    draw_map,
    label_panel,
    name_panels,
    scale_from_zero,
)
from headwise.figures.record import AttentionRecord
from headwise.figures.save import fix_layout, style
from headwise.metrics.concentration import self_weight
from headwise.shapes import Array

__all__ = ["describe", "draw", "draw_rows", "measure"]


def measure(record: AttentionRecord) -> Facts:
    """Measure the maps of all heads, and the distances over which tokens attend."""
    profiles = profile_heads(record)
    facts = measure_rows(record, record.maps.astype(np.float64)) | measure_faithfulness(record)
    if record.has_class_token:
        itself = self_weight(record.weights.astype(np.float64))[:, :, 0]
        facts |= extreme_head("max_self", itself) | extreme_head("min_self", itself, least=True)
        facts |= first_and_last_layer("self", itself)
    facts |= first_and_last_layer("distance", profiles.distance) | measure_distances(profiles)
    return facts | {"class_weight": float(profiles.class_weight.mean())}


def draw(record: AttentionRecord) -> Figure:
    """Draw the input with its tokens, and the map of each layer and head, on one scale.

    The figure is between one column of a paper (3.5 inches) and two (7.2) wide, depending on the number of heads.
    """
    if not record.has_class_token:
        return draw_rows(record, record.maps, None, "mean attention weight received")
    on_class = self_weight(record.weights)[:, :, 0]
    return draw_rows(record, record.maps, on_class, "attention weight of the class token")


def draw_rows(record: AttentionRecord, maps: Array, on_class: Array | None, label: str, token: int = 0) -> Figure:
    """Draw one row of every layer and head, (L, H, N), with the weight on the class token, (L, H), below each panel.

    Parameters
    ----------
    record : AttentionRecord
    maps : ndarray of shape (L, H, N)
    on_class : ndarray of shape (L, H), optional
    label : str
        Of the colour bar.
    token : int
        The token to be framed, 1 to N; 0 for none.
    """
    layers, heads, _ = maps.shape
    panel = min(1.05, 4.4 / heads)
    width = max(COLUMN, min(PAGE, 2.8 + heads * 1.1))
    panel_height = panel * min(1.5, record.size[0] / record.size[1])
    with style():
        figure = Figure(figsize=(width, max(2.2, 0.3 + layers * (panel_height + 0.1))), layout="constrained")
        sides = figure.subfigures(1, 2, width_ratios=(min(2.1, 0.4 * width), 0.55 + heads * panel), squeeze=False)
        left = sides[0, 0].subplots()
        draw_input(left, record)
        label_panel(left, record, token)
        grid = sides[0, 1].subplots(layers, heads, squeeze=False)
        scale = scale_from_zero(maps)
        for layer, head in np.ndindex(layers, heads):
            draw_map(grid[layer, head], maps[layer, head], record, scale)
            label_panel(grid[layer, head], record, token)
            if on_class is not None:
                _label_class_weight(grid[layer, head], float(on_class[layer, head]), heads, panel)
        below = "" if on_class is None or heads <= NARROW else "below each panel: cls"
        name_panels(sides[0, 1], grid, column_label=below)
        add_bar(sides[0, 1], grid.ravel().tolist(), label)
        fix_layout(figure)
    return figure


def _label_class_weight(axes: Axes, weight: float, heads: int, panel: float) -> None:
    """Write the weight on the class token below a panel, in letters that fit the panel's width in inches."""
    text = f"cls {weight:.2f}" if heads <= NARROW else f"{weight:.2f}"
    axes.set_xlabel(text, fontsize=min(6.5, 22 * panel), labelpad=1.5)


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    whose = "the class token attends" if record.has_class_token else "the tokens attend"
    title = f"What {whose} to" + sentences.title_suffix(record)
    panels, colors = _describe_panels(record), sentences.describe_colors(record, facts)
    return Caption(
        to_statements(facts, title)[0],
        to_statements(
            facts, sentences.describe_input(record), panels, colors, sentences.describe_input_changes(record)
        ),
        to_statements(facts, _describe_reading(record)),
        to_statements(
            facts,
            sentences.describe_prediction(record),
            _describe_class_token(record, facts),
            sentences.describe_concentration(facts),
            sentences.describe_ink(facts),
            sentences.describe_agreement(facts),
            _describe_distances(record, facts),
        ),
        to_statements(
            facts,
            sentences.LIMITS,
            sentences.describe_faithfulness(
                record, record.last_layer_map, "the last layer's maps, averaged over heads"
            ),
        ),
        to_statements(facts, f"{title}: {sentences.describe_alternative(facts)}", sentences.describe_extremes(facts)),
    )


def _describe_panels(record: AttentionRecord) -> Iterator[str]:
    panel = "Each panel on the right, layer <l> from top to bottom and head <h> from left to right, both from <zero>: "
    if not record.has_class_token:
        yield panel + (
            f"the mean <received> of all rows of {sentences.describe_weights(record)}, which is the average fraction "
            "of an output in that head that is taken from token <m>."
        )
        return
    yield panel + (
        f"the row <class row> of {sentences.describe_weights(record)}, which is the fraction of the class token's "
        "output in that head that is taken from token <m>."
    )
    yield (
        "Below each panel, cls is <class to class>, the weight of the class token on itself, which has no place in the "
        "image; together with it, the weights of a panel sum to one."
    )


def _describe_reading(record: AttentionRecord) -> Iterator[str]:
    if record.has_class_token:
        yield "A dark token is one whose value vector makes up much of what this head passes on to the class token."
        yield ("A head that attended equally to all tokens, also the class token, would show {uniform:.3f} everywhere.")
    else:
        yield "A dark token is one whose value vector makes up much of what this head passes on, averaged over queries."
        yield "A head that attended equally to all tokens would show {uniform:.3f} everywhere."
    which = "<p of patches>" if record.has_class_token else "<p received> the weights of a panel"
    yield (f"The effective number of tokens is <effective> with {which}: so many equal weights have the same entropy.")


def _describe_class_token(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    if not record.has_class_token:
        return
    means = ""
    if facts["all_heads"] > 1 and sentences.heads_are_equal(facts, "min_self", "max_self"):
        means = " in every head"
    elif facts["all_heads"] > 1:
        means = "; the mean over heads is {self_first:.0%}"
        means += " in the first layer and {self_last:.0%} in the last" if facts["layers"] > 1 else ""
    yield f"The weight of the class token on itself {sentences.describe_self_weight(facts)}{means}."


def _describe_distances(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    reference = "the {uniform_distance:.1f} pixels of uniform attention"
    if facts["tokens"] > 1 and sentences.is_known(facts, "distance"):
        yield (
            "The image's tokens attend to each other over a mean distance, <distance>, of "
            + sentences.describe_distance(facts)
        )
        reference = "that"
    yield from sentences.describe_locality(facts, f"at most {{local:.0%}} of {reference}")
    if record.has_class_token:
        yield (
            "These distances exclude the class token, which has no location, and with it {class_weight:.0%} of the "
            "tokens' weight."
        )
