"""The T × T matrix of attention weights of every layer and head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from headwise.figures import sentences
from headwise.figures.caption import Caption, to_statements
from headwise.figures.colors import HEATMAP, MARK
from headwise.figures.measurements import (
    Facts,
    extreme_head,
    first_and_last_layer,
    list_heads,
    measure_base,
    measure_distances,
    profile_heads,
)
from headwise.figures.panels import COLUMN, NARROW, PAGE, add_bar, frame, name_panels, scale_from_zero
from headwise.figures.record import AttentionRecord
from headwise.figures.save import fix_layout, style
from headwise.metrics.concentration import effective_number, entropy, normalize_rows, self_weight

__all__ = ["describe", "draw", "measure"]


def measure(record: AttentionRecord) -> Facts:
    """Measure how much the rows of each matrix differ, and how much tokens attend to themselves."""
    weights = record.weights.astype(np.float64)
    p = normalize_rows(weights)
    information = entropy(p.mean(axis=2)) - entropy(p).mean(axis=2)  # 0 bits: all rows are the same
    itself = self_weight(weights)[:, :, int(record.has_class_token) :].mean(axis=2)
    effective = effective_number(p).mean(axis=2)
    profiles = profile_heads(record)
    facts = measure_base(record) | {"scale_max": float(weights.max())} | measure_distances(profiles)
    facts |= list_heads("query_independent", information <= facts["query_dependence"])
    facts |= extreme_head("max_information", information) | extreme_head("max_self", itself)
    facts |= list_heads("uniform", effective >= facts["near_uniform"] * facts["rows"])
    return facts | first_and_last_layer("class_weight", profiles.class_weight)


def draw(record: AttentionRecord) -> Figure:
    """Draw one matrix for each layer and head, a row for each query and a column for each key, on one scale.

    The figure is between one column of a paper (3.5 inches) and two (7.2) wide, depending on the number of heads.
    """
    layers, heads = record.weights.shape[:2]
    width = max(COLUMN, min(PAGE, 1.2 + 1.5 * heads))
    panel = min(1.5, (width - 1.2) / heads)
    with style():
        figure = Figure(figsize=(width, max(2.0, 0.55 + layers * (panel + 0.08))), layout="constrained")
        grid = figure.subplots(layers, heads, squeeze=False)
        scale = scale_from_zero(record.weights)
        for axes, (layer, head) in zip(grid.ravel().tolist(), np.ndindex(layers, heads), strict=True):
            _draw_matrix(axes, record, layer, head, scale)
        name_panels(figure, grid, row_label="from token", column_label="to token")
        wide = heads <= NARROW  # otherwise there is room for the ticks of one panel only
        for axes in grid[-1, : None if wide else 1]:
            axes.tick_params(labelbottom=True)
        for axes in grid[None if wide else -1 :, 0]:
            axes.tick_params(labelleft=True)
        if not wide:
            figure.align_ylabels(grid[:, 0])
        add_bar(figure, grid.ravel().tolist(), "attention weight")
        fix_layout(figure)
    return figure


def _draw_matrix(axes: Axes, record: AttentionRecord, layer: int, head: int, scale: Normalize) -> None:
    first = int(not record.has_class_token)  # the image's tokens are numbered from 1
    end = record.num_tokens + 0.5
    extent = (first - 0.5, end, end, first - 0.5)
    axes.imshow(record.weights[layer, head], cmap=HEATMAP, norm=scale, interpolation="nearest", extent=extent)
    if record.has_class_token:  # separate it from the image's tokens
        axes.axhline(0.5, color=MARK, linewidth=0.5)
        axes.axvline(0.5, color=MARK, linewidth=0.5)
    ticks = [first, record.num_tokens]
    axes.set(xticks=ticks, yticks=ticks)
    axes.tick_params(length=0, pad=1.5, labelsize=6, labelbottom=False, labelleft=False)
    frame(axes)


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    title = "All attention weights" + sentences.title_suffix(record)
    matrices = "{all_heads} matrices" if facts["all_heads"] > 1 else "one matrix"
    return Caption(
        to_statements(facts, title)[0],
        to_statements(facts, _describe_panels(record), sentences.describe_input_changes(record)),
        to_statements(facts, _describe_reading(facts)),
        to_statements(facts, sentences.describe_prediction(record), _describe_findings(record, facts)),
        to_statements(facts, sentences.LIMITS, sentences.NO_RANKING),
        to_statements(facts, f"{title}: {matrices} of {{rows}} × {{rows}} weights.", _query_independent(facts)),
    )


def _describe_panels(record: AttentionRecord) -> Iterator[str]:
    yield (
        "Each panel, layer <l> from top to bottom and head <h> from left to right, counted from <zero>, is the matrix "
        f"of {sentences.describe_weights(record)}: row <n> contains the weights of query token <n> on the tokens <m>."
    )
    if record.has_class_token:
        yield (
            "The first row and column, before the orange lines, belong to the class token; the {tokens} tokens of the "
            "image, {box_height} × {box_width} pixels each, follow in reading order."
        )
    else:
        yield (
            "The tokens, {tokens} of {box_height} × {box_width} pixels, are in reading order; there is no class token."
        )
    yield (
        "The matrices are complete, and every row sums to one; all panels share one colour scale, from <zero> to "
        "{scale_max:.3f}, the largest weight."
    )


def _describe_reading(facts: Facts) -> Iterator[str]:
    yield (
        "A dark column is a token that all others attend to; a dark diagonal means that tokens attend to themselves, "
        "and lines next to it that they attend to their neighbours in reading order."
    )
    yield "An even tint is a head that averages all tokens ({uniform:.3f} each)."
    yield (
        "The mutual information between query and attended token, <mutual information> in bits over "
        f"{sentences.count(facts, 'rows', 'row')}, measures how much a head's pattern depends on the query."
    )


def _describe_findings(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    yield _query_independent(facts)
    if facts["max_information"] > facts["query_dependence"]:
        yield (
            "The pattern depends on the query most in layer {max_information_layer}, head {max_information_head} "
            "({max_information:.1f} bits)."
        )
    where = ", most in layer {max_self_layer}, head {max_self_head}" if facts["all_heads"] > 1 else ""
    yield (
        f"The image's tokens attend to themselves{where}, with a weight of {{max_self:.0%}} on average; for uniform "
        "attention it would be {uniform:.0%}."
    )
    yield from sentences.describe_locality(
        facts, "mean distance at most {local:.0%} of the {uniform_distance:.1f} pixels of uniform attention"
    )
    yield sentences.describe_heads(
        facts, "uniform", "is", "nearly uniform (at least {near_uniform:.0%} of the tokens effective, mean over rows)"
    )
    if record.has_class_token and facts["layers"] > 1:
        yield (
            "The image's tokens put {class_weight_first:.0%} of their weight on the class token in the first layer and "
            "{class_weight_last:.0%} in the last (means over heads)."
        )


def _query_independent(facts: Facts) -> str:
    return sentences.describe_heads(
        facts, "query_independent", "has", "the same pattern for all queries (at most {query_dependence} bits)"
    )
