"""The attention of the class token in every layer and head, or without a class token the mean of all rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.faithfulness_sentences import describe_faithfulness, summarize_faithfulness
from headwise.figures.measurements import (
    Facts,
    extreme_head,
    first_and_last_layer,
    measure_distances,
    measure_faithfulness,
    measure_rows,
    profile_heads,
)
from headwise.figures.mosaic import draw_map_mosaic
from headwise.figures.panels import (
    COLUMN,
    NARROW,
    PAGE,
    add_bar,
    add_panel_bar,
    draw_input,
    draw_map,
    label_panel,
    name_panels,
)
from headwise.figures.record import AttentionRecord
from headwise.figures.role_sentences import describe_roles, measure_role_facts, summarize_roles
from headwise.figures.save import new_figure
from headwise.figures.strips import draw_strips
from headwise.figures.view import DEFAULT_VIEW, Head, Scale, View, head_title
from headwise.figures.words import draw_words, shown_window
from headwise.metrics.concentration import self_weight
from headwise.shapes import Array

PANELS = {"image": 8, "text": 6, "other": 6, "series": 8}  # for models with many heads
_COLUMNS = 3  # of panels chosen by role
_PANEL = 1.02  # inches, so that a figure fits one column of a paper


def measure(record: AttentionRecord, view: View = DEFAULT_VIEW) -> Facts:
    """Measure the maps of all heads, and the distances over which tokens attend."""
    profiles, maps = profile_heads(record), record.maps.astype(np.float64)
    facts = measure_rows(record, maps, record.reader) | measure_faithfulness(record) | measure_role_facts(record)
    facts |= panel_facts(record, maps, view)
    if record.has_class_token:
        itself = self_weight(record.weights.astype(np.float64))[:, :, 0]
        facts |= extreme_head("max_self", itself) | extreme_head("min_self", itself, least=True)
        facts |= first_and_last_layer("self", itself)
    facts |= first_and_last_layer("distance", profiles.distance) | measure_distances(profiles)
    return facts | {"class_weight": float(profiles.class_weight.mean())}


def panel_facts(record: AttentionRecord, maps: Array, view: View) -> Facts:
    """How many panels there are, their scales, and of a long text which tokens are shown."""
    facts = view.facts(maps, view.heads(record, PANELS[record.kind], maps=maps))
    if record.kind in ("text", "other"):
        start, stop = shown_window(record, maps)
        facts |= {"window_start": start + 1, "window_stop": stop, "window": stop - start}
    return facts


def draw(record: AttentionRecord, view: View = DEFAULT_VIEW) -> Figure:
    """Draw the input with its tokens, and the map of each layer and head, or of heads chosen by role.

    The figure is between one column of a paper (3.5 inches) and two (7.2) wide, depending on the number of heads.
    """
    if record.has_class_token and record.kind == "image":
        on_class = self_weight(record.weights)[:, :, 0]
        return draw_rows(record, record.maps, on_class, "attention weight of the class token", view=view)
    reader = {None: "mean attention weight received", 0: "attention weight of the class token"}
    label = reader.get(record.reader, "attention weight of the last token")
    return draw_rows(record, record.maps, None, label, view=view)


def draw_rows(
    record: AttentionRecord, maps: Array, on_class: Array | None, label: str, token: int = 0, view: View = DEFAULT_VIEW
) -> Figure:
    """Draw one row of the heads, (L, H, N): over an image, as shaded words, or as strips below a series.

    `on_class` (L, H), the weight on the class token, is written below each panel; `token`, from 1 to N, is framed.
    """
    heads = view.heads(record, PANELS[record.kind], maps=maps)
    scale = view.scales(maps, heads)
    if record.kind == "series":
        return draw_strips(record, maps, heads, scale, label)
    if record.kind != "image":
        return draw_words(record, maps, heads, scale, label, token)
    if len(heads) < maps.shape[0] * maps.shape[1]:
        return _draw_chosen(record, maps, heads, scale, label, token)
    if maps.shape[1] > NARROW or maps.shape[0] > NARROW or scale.mode != "shared":
        return draw_map_mosaic(record, maps, scale, label)
    return _draw_grid(record, maps, on_class, label, token, scale)


def _draw_grid(
    record: AttentionRecord, maps: Array, on_class: Array | None, label: str, token: int, scale: Scale
) -> Figure:
    layers, heads, _ = maps.shape
    panel = min(1.05, 4.4 / heads)
    width = max(COLUMN, min(PAGE, 2.8 + heads * 1.1))
    panel_height = panel * min(1.5, record.size[0] / record.size[1])
    with new_figure(width, max(2.2, 0.3 + layers * (panel_height + 0.1))) as figure:
        sides = figure.subfigures(1, 2, width_ratios=(min(2.1, 0.4 * width), 0.55 + heads * panel), squeeze=False)
        left = sides[0, 0].subplots()
        draw_input(left, record)
        label_panel(left, record, token)
        grid = sides[0, 1].subplots(layers, heads, squeeze=False)
        for layer, head in np.ndindex(layers, heads):
            draw_map(grid[layer, head], maps[layer, head], record, scale.norm((layer, head)))
            label_panel(grid[layer, head], record, token)
            if on_class is not None:
                _label_class_weight(grid[layer, head], float(on_class[layer, head]), heads, panel)
        below = "" if on_class is None or heads <= NARROW else "below each panel: cls"
        name_panels(sides[0, 1], grid, column_label=below)
        add_bar(sides[0, 1], grid.ravel().tolist(), label)
    return figure


def _draw_chosen(
    record: AttentionRecord, maps: Array, heads: list[Head], scale: Scale, label: str, token: int
) -> Figure:
    """Draw the input, and next to it the maps (L, H, N) of these heads, named by layer, head and role."""
    rows = -(-(len(heads) + 1) // _COLUMNS)
    tall = _PANEL * min(1.5, record.size[0] / record.size[1])
    room = 0.35 * rows + 0.65 if scale.mode == "shared" else 0.6 * rows + 0.3  # for titles and colour bars
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04, hspace=0.03)
    with new_figure(COLUMN, rows * tall + room, layout) as figure:
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel().tolist()
        draw_input(grid[0], record)
        grid[0].set_title(f"input\n{record.num_tokens} tokens", fontsize=6.5, linespacing=1.15, pad=3)
        grid[0].set_xlabel(grid[0].get_xlabel().replace("; ", "\n").replace(" (", "\n("), fontsize=6)
        label_panel(grid[0], record, token)
        for axes, head in zip(grid[1:], heads, strict=False):
            draw_map(axes, maps[head], record, scale.norm(head))
            label_panel(axes, record, token)
            axes.set_title(head_title(record, head), fontsize=6.5, linespacing=1.15, pad=3)
            if scale.mode != "shared":
                add_panel_bar(axes, float(scale.ends[head]) or 1)
        for axes in grid[len(heads) + 1 :]:
            axes.axis("off")
        if scale.mode == "shared":
            add_bar(figure, grid[: len(heads) + 1], label, image=grid[1], below=True)
        else:
            add_panel_bar(grid[0], 1, visible=False)  # so that the input is as large as the panels
            figure.supxlabel(label, fontsize=6.5)
    return figure


def _label_class_weight(axes: Axes, weight: float, heads: int, panel: float) -> None:
    """Write the weight on the class token below a panel, in letters that fit the panel's width in inches."""
    text = f"cls {weight:.2f}" if heads <= NARROW else f"{weight:.2f}"
    axes.set_xlabel(text, fontsize=min(6.5, 22 * panel), labelpad=1.5)


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    whose = sentences.reader_name(record)
    title = f"What {whose} attend{'' if record.reader is None else 's'} to" + sentences.title_suffix(record)
    panels, colors = _describe_panels(record, facts), sentences.describe_colors(record, facts)
    ranking = record.last_layer_map
    return write_caption(
        facts,
        title,
        shown=[sentences.describe_input(record), panels, colors, sentences.describe_input_changes(record)],
        reading=[_describe_reading(record)],
        findings=[
            describe_roles(record, facts),
            sentences.describe_prediction(record),
            _describe_class_token(record, facts),
            sentences.describe_concentration(facts),
            sentences.describe_ink(facts),
            sentences.describe_agreement(facts),
            _describe_distances(record, facts),
        ],
        limits=[sentences.LIMITS, describe_faithfulness(record, ranking, "the last layer's maps, averaged over heads")],
        alternative=[f"{title}: {sentences.describe_alternative(facts)}", sentences.describe_extremes(facts)],
        short=(
            [_summarize_panels(record, facts), sentences.summarize_scale(facts)],
            [summarize_roles(record, facts), _summarize_depth(facts), *sentences.describe_prediction(record)],
            [summarize_faithfulness(record, ranking), sentences.summarize_source(record)],
        ),
    )


def _summarize_panels(record: AttentionRecord, facts: Facts) -> str:
    """What the panels are and how they are read, in two sentences."""
    heads = sentences.summarize_heads(facts)
    weight = "mean weight that it receives" if record.reader is None else "weight on it"
    return f"{heads}: the darker a token, the larger the {weight}; an even spread would be {{uniform:.3f}}."


def _summarize_depth(facts: Facts) -> str:
    if facts["layers"] == 1 or not sentences.is_known(facts, "effective"):
        return ""
    change = sentences.trend(facts, "effective", "grows", "shrinks")
    return (
        f"With depth the effective number of tokens {change} "
        "({effective_first:.1f} in the first layer, {effective_last:.1f} in the last, of {tokens})."
    )


def _describe_panels(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    if facts["panels"] < facts["all_heads"]:
        panel = (
            "Each panel is one head, named by its layer <l> and its number <h>, both from <zero>; {panels} of "
            "{all_heads} heads are shown, chosen by role and depth: "
        )
    else:
        where = " on the right" if record.kind == "image" else ""
        panel = f"Each panel{where}, layer <l> from top to bottom and head <h> from left to right, both from <zero>: "
    if record.reader is None:
        yield panel + (
            f"the mean <received> of all rows of {sentences.describe_weights(record)}, which is the average fraction "
            "of an output in that head that is taken from token <m>."
        )
    else:
        row = "<class row>" if record.has_class_token else "<last row>"
        yield panel + (
            f"the row {row} of {sentences.describe_weights(record)}, which is the fraction of "
            f"{sentences.reader_name(record)}'s output in that head that is taken from token <m>."
        )
    if record.has_class_token and record.kind == "image" and facts["panels"] == facts["all_heads"]:
        yield sentences.describe_class_weight(record, "<class to class>, the weight of the class token on itself")
    elif record.is_prefix.any():
        yield f"The weight on the {sentences.prefix_name(record)} is not drawn."
    if "window" in facts and facts["window"] < facts["tokens"]:
        yield "Of {tokens} tokens, numbers {window_start} to {window_stop} are shown, which receive the most weight."


def _describe_reading(record: AttentionRecord) -> Iterator[str]:
    if record.reader is not None:
        yield (
            "A dark token is one whose value vector makes up much of what this head passes on to "
            f"{sentences.reader_name(record)}."
        )
        also = ", also the class token," if record.has_class_token else ""
        yield f"A head that attended equally to all tokens{also} would show {{uniform:.3f}} everywhere."
    else:
        yield "A dark token is one whose value vector makes up much of what this head passes on, averaged over queries."
        yield "A head that attended equally to all tokens would show {uniform:.3f} everywhere."
    which = (
        "<p of patches>" if record.has_class_token and record.kind == "image" else "<p received> the weights of a panel"
    )
    yield f"The effective number of tokens is <effective> with {which}: as many equal weights have the same entropy."


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
    reference = "the {uniform_distance:.1f} {unit} of an even spread over the visible tokens"
    if facts["tokens"] > 1 and sentences.is_known(facts, "distance"):
        yield (
            "The {input}'s tokens attend to each other over a mean distance, <distance>, "
            + ("of " if facts["layers"] == 1 else "")
            + sentences.describe_distance(facts)
        )
        reference = "that"
    yield from sentences.describe_locality(facts, f"at most {{local:.0%}} of {reference}")
    if record.is_prefix.any() and record.is_self_attention:
        location = "has" if record.is_prefix.sum() == 1 else "have"
        yield (
            f"These distances exclude the {sentences.prefix_name(record)}, which {location} no location, and with it "
            "{class_weight:.0%} of the tokens' weight."
        )
