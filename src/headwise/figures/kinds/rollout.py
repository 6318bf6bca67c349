"""Attention rollout: the attention of the class token through all layers up to each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.colors import HEATMAP
from headwise.figures.faithfulness_sentences import describe_faithfulness, summarize_faithfulness
from headwise.figures.measurements import (
    Facts,
    check_self_attention,
    first_and_last_layer,
    first_largest,
    measure_base,
    measure_faithfulness,
    name_token,
    normalize_or_nan,
    reached_tokens,
)
from headwise.figures.panels import PAGE, add_bar, draw_input, draw_map, scale_from_zero
from headwise.figures.record import AttentionRecord
from headwise.figures.save import new_figure
from headwise.metrics import effective_number, rollout, weight_on_foreground
from headwise.shapes import Array

_MAX_WORDS = 48  # with more tokens, they are not named
_SHORT = (
    "Rollout multiplies the mean attention of the layers with half a residual connection: dark is a token from which "
    "much could have come, if only weights mattered; an even spread would be {uniform:.3f}."
)
_MAX_COLUMNS = 6  # of panels in one row
_LIMITS = (
    "Rollout multiplies attention weights with half a residual connection; it ignores values, MLPs and normalisation, "
    "and therefore how much each path contributes and with which sign.",
    "Products of such averages become even with depth for any model, so evenness in the last panels is not a finding.",
)


def rollout_rows(record: AttentionRecord) -> Array:
    """(L, T): the class token's row of the rollout through the first layer, the first two … all of them.

    Without a class token, the mean over all rows.
    """
    weights = record.weights.astype(np.float64)
    cumulative = np.stack([rollout(weights[: last + 1]) for last in range(len(weights))])  # (L, T, T)
    return cumulative.mean(axis=1) if record.reader is None else cumulative[:, record.reader]


def last_rollout_map(record: AttentionRecord) -> Array:
    """(N,): the rollout through all layers, without the weight of the class token on itself."""
    return np.asarray(rollout_rows(record)[-1, record.content])


def measure(record: AttentionRecord) -> Facts:
    """Measure the rollout through all layers, and how it changes with depth."""
    check_self_attention(record, "rollout")
    rows = rollout_rows(record)
    maps = rows[:, record.content]
    p = normalize_or_nan(maps)
    top = first_largest(maps[-1])
    base = {name: value for name, value in measure_base(record).items() if name not in ("uniform_low", "uniform_high")}
    even = 1 / reached_tokens(record).sum(axis=1)
    facts = base | measure_faithfulness(record)
    facts |= {"uniform": float(even.mean() if record.reader is None else even[record.reader])}
    facts |= first_and_last_layer("effective", effective_number(p)[:, None])
    facts |= {"scale_mode": "shared", "panels": facts["layers"], "scale_max": float(maps.max())}
    facts |= name_token(record, "top", top) | {"top_share": float(p[-1, top])}
    facts |= {"uniform_share": 1 / record.num_tokens, "last_layer": facts["layers"] - 1}
    if facts["ink_area"] > 0:
        facts |= {"rollout_ink": float(weight_on_foreground(p, record.ink, record.boxes)[-1])}
    if record.has_class_token:
        facts |= {"class_weight": float(rows[-1, 0])}
    return facts


def draw(record: AttentionRecord) -> Figure:
    """Draw the input with its tokens, and the rollout up to each layer, on one scale, at most 7.2 inches wide."""
    check_self_attention(record, "rollout")
    rollouts = rollout_rows(record)
    maps = rollouts[:, record.content]
    if record.kind != "image":
        return _draw_sequence(record, maps)
    columns = min(_MAX_COLUMNS, len(maps))
    rows = -(-len(maps) // columns)
    panel = min(1.3, 5.2 / (columns + 0.8))
    panel_height = panel * min(1.5, record.size[0] / record.size[1])
    size = (min(PAGE, 2.6 + columns * (panel + 0.1)), max(1.9, rows * (panel_height + 0.4)))
    with new_figure(*size) as figure:
        sides = figure.subfigures(1, 2, width_ratios=(1.6, 0.7 + columns * panel), squeeze=False)
        draw_input(sides[0, 0].subplots(), record)
        grid = sides[0, 1].subplots(rows, columns, squeeze=False).ravel().tolist()
        scale = scale_from_zero(maps)
        for layer, axes in enumerate(grid[: len(maps)]):
            draw_map(axes, maps[layer], record, scale)
            axes.set_title("layer 0" if layer == 0 else f"layers 0–{layer}")
            if record.has_class_token:
                axes.set_xlabel(f"cls {rollouts[layer, 0]:.2f}", fontsize=6.5, labelpad=1.5)
        for axes in grid[len(maps) :]:
            axes.axis("off")
        add_bar(sides[0, 1], grid, "rollout weight")
    return figure


def _draw_sequence(record: AttentionRecord, maps: Array) -> Figure:
    """A matrix of (L, N) rollouts with the names of the tokens where they fit."""
    layers, tokens = maps.shape
    with new_figure(PAGE, 1.1 + 0.18 * layers) as figure:
        axes = figure.subplots()
        axes.imshow(maps, cmap=HEATMAP, norm=scale_from_zero(maps), aspect="auto", interpolation="nearest")
        axes.set(ylabel="layers up to", yticks=range(0, layers, 1 + layers // 16))
        if tokens <= _MAX_WORDS and record.words:
            names = [record.word(int(key)).strip() for key in record.content]
            axes.set_xticks(range(tokens), names, rotation=90, fontsize=6.5)
        else:
            axes.set_xlabel("token")
        axes.tick_params(length=0)
        add_bar(figure, [axes], "rollout weight")
    return figure


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    whose = sentences.reader_name(record)
    title = f"Attention rollout of {whose}" + sentences.title_suffix(record)
    panels, colors = _describe_panels(record), sentences.describe_colors(record, facts)
    maps = f"{sentences.count(facts, 'layers', 'heat map')} over {sentences.count(facts, 'tokens', 'token')}"
    maps += ", each through one more layer" if facts["layers"] > 1 else ""
    return write_caption(
        facts,
        title,
        shown=[sentences.describe_input(record), panels, colors, sentences.describe_input_changes(record)],
        reading=[_describe_reading(record)],
        findings=[sentences.describe_prediction(record), _describe_findings(facts)],
        limits=[_LIMITS, describe_faithfulness(record, last_rollout_map(record), "the last panel")],
        alternative=[f"{title}: {maps}.", _describe_top_token(facts)],
        short=(
            [_SHORT],
            [
                _describe_top_token(facts).replace("In the last, the darkest is", "Through all layers the largest is"),
                *_describe_change(facts),
            ],
            [summarize_faithfulness(record, last_rollout_map(record)), sentences.summarize_source(record)],
        ),
    )


def _describe_panels(record: AttentionRecord) -> Iterator[str]:
    row = "row <class rollout>" if record.has_class_token else "mean of all rows, <received rollout>,"
    row = "last row" if record.reader and not record.has_class_token else row
    panels = "panel on the right" if record.kind == "image" else "row of the figure"
    if len(record.weights) > 1:
        panels = panels.replace(" ", "s ", 1) + ", from layer <zero> alone to all layers up to {last_layer}"
    yield (
        f"The {panels}: the {row} of <rollout>, where <residual mixture> is half the mean over heads and half the "
        "residual connection."
    )
    if record.has_class_token and record.kind == "image":
        yield sentences.describe_class_weight(
            record, "<class to class rollout>, the weight of the class token on itself"
        )


def _describe_reading(record: AttentionRecord) -> Iterator[str]:
    yield "A dark token is one from which much could have come, if only attention weights mattered."
    yield "A uniform rollout would show {uniform:.3f} for each token."
    which = "<p of rollout>" if record.has_class_token else "<p received> the weights of a panel"
    yield f"The effective number of tokens is <effective> with {which}."


def _describe_findings(facts: Facts) -> Iterator[str]:
    if np.isnan(facts["top_share"]):
        yield "Through all layers, no weight is on the {input}."
    else:
        yield (
            f"Through all layers, the largest weight is on {sentences.token_name(facts, 'top')}: {{top_share:.0%}} of "
            "the weight on the {input}; a uniform share would be {uniform_share:.0%}."
        )
    if "class_weight" in facts:
        yield "The weight of the class token on itself is {class_weight:.0%}."
    yield from _describe_change(facts)
    if facts["ink_area"] > 0 and not np.isnan(facts["rollout_ink"]):
        favours = facts["rollout_ink"] >= facts["ink_ratio"] * facts["ink_area"]
        yield (
            "The last panel has {rollout_ink:.0%} of its weight on ink, uniform attention {ink_area:.0%}: "
            + ("at least" if favours else "less than")
            + " {ink_ratio} times as much, so "
            + ("it favours ink." if favours else "it does not favour ink.")
        )


def _describe_change(facts: Facts) -> Iterator[str]:
    if facts["layers"] > 1 and sentences.is_known(facts, "effective"):
        yield (
            f"From the first panel to the last, the rollout {sentences.trend(facts, 'effective', 'widens', 'narrows')} "
            "({effective_first:.1f} and {effective_last:.1f} effective tokens of {tokens})."
        )


def _describe_top_token(facts: Facts) -> str:
    if np.isnan(facts["top_share"]):
        return "In the last, all tokens are white: no weight is on the {input}."
    name = sentences.token_name(facts, "top")
    return f"In the last, the darkest is {name}, with {{top_share:.0%}} of the weight on the {{input}}."
