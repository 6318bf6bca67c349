"""The matrix of attention weights of every layer and head, or of heads chosen by role."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.colors import HEATMAP, MARK
from headwise.figures.faithfulness_sentences import NO_RANKING, NO_RANKING_IN_SHORT
from headwise.figures.measurements import (
    Facts,
    even_values,
    extreme_head,
    first_and_last_layer,
    list_heads,
    measure_base,
    measure_distances,
    profile_heads,
)
from headwise.figures.mosaic import draw_matrix_mosaic, pool, pooling_factor
from headwise.figures.panels import COLUMN, NARROW, PAGE, add_bar, add_panel_bar, frame, name_panels
from headwise.figures.record import AttentionRecord
from headwise.figures.role_sentences import describe_roles, measure_role_facts, summarize_roles
from headwise.figures.save import new_figure
from headwise.figures.view import DEFAULT_VIEW, Head, Scale, View, head_title
from headwise.metrics.concentration import effective_number, entropy, normalize_rows, self_weight

_PANELS = 6  # of heads chosen by role
_MAX_WORDS = 32  # with more tokens, they are numbered instead of named
_NARROW_WORDS = 20  # up to this number, words are legible next to two panels in one column of a paper
_MAX_SEPARATED = 100  # with more tokens, the line after the prefix tokens would cover the first rows and columns
_FLAT = 0.25  # of the width: a matrix with less height is stretched
_LEAST_HEIGHT = 0.5  # inches of a matrix
_CELLS = 280  # of the side of a panel that is drawn without pooling


def measure(record: AttentionRecord, view: View = DEFAULT_VIEW) -> Facts:
    """Measure how much the rows of each matrix differ, and how much tokens attend to themselves."""
    weights = record.weights.astype(np.float64)
    p = normalize_rows(weights)
    information = entropy(p.mean(axis=2)) - entropy(p).mean(axis=2)  # 0 bits: all rows are the same
    effective = (effective_number(p) / np.maximum(record.counts, 1)[:, None]).mean(axis=2)
    profiles, heads = profile_heads(record), _heads(record, view)
    facts = measure_base(record) | view.facts(weights, heads) | measure_distances(profiles) | measure_role_facts(record)
    facts |= {"pooled": _pooling(record, view)}
    facts |= list_heads("query_independent", information <= facts["query_dependence"])
    facts |= extreme_head("max_information", information)
    if record.is_self_attention:
        facts |= extreme_head("max_self", self_weight(weights)[:, :, record.content].mean(axis=2))
        facts |= even_values("even_self", (1 / record.counts[:, record.content]).mean(axis=1))
    facts |= list_heads("uniform", effective >= facts["near_uniform"])
    return facts | first_and_last_layer("class_weight", profiles.class_weight)


def _heads(record: AttentionRecord, view: View) -> list[Head]:
    named = record.kind in ("text", "other") and record.weights.shape[-1] <= _MAX_WORDS and bool(record.words)
    return view.heads(record, _PANELS, _PANELS) if named else view.heads(record, _PANELS)  # words need room


def _is_mosaic(record: AttentionRecord, view: View) -> bool:
    layers, heads, *_ = record.weights.shape
    full = len(_heads(record, view)) == layers * heads
    return full and (
        heads > NARROW or layers > NARROW or view.scales(record.weights, _heads(record, view)).mode != "shared"
    )


def _pooling(record: AttentionRecord, view: View) -> int:
    """How many cells on a side share one pixel."""
    layers, heads, rows, keys = record.weights.shape
    if _is_mosaic(record, view):
        return pooling_factor(max(rows, keys), heads, layers)
    across = heads if len(_heads(record, view)) == layers * heads else 3
    return max(1, -(-int(max(rows, keys)) // int(min(_CELLS, 4.8 / across * 200))))


def draw(record: AttentionRecord, view: View = DEFAULT_VIEW) -> Figure:
    """Draw matrices with a row for each query and a column for each key.

    The figure is between one column of a paper (3.5 inches) and two (7.2) wide, depending on the number of heads.
    """
    heads = _heads(record, view)
    scale = view.scales(record.weights, heads)
    if _is_mosaic(record, view):
        return draw_matrix_mosaic(record, scale)
    if len(heads) < record.weights.shape[0] * record.weights.shape[1] or record.kind != "image":
        return _draw_chosen(record, heads, scale, _pooling(record, view))
    return _draw_grid(record, scale, _pooling(record, view))


def _draw_grid(record: AttentionRecord, scale: Scale, pooled: int) -> Figure:
    layers, heads = record.weights.shape[:2]
    width = max(COLUMN, min(PAGE, 1.2 + 1.5 * heads))
    panel = min(1.5, (width - 1.2) / heads)
    with new_figure(width, max(2.0, 0.55 + layers * (panel + 0.08))) as figure:
        grid = figure.subplots(layers, heads, squeeze=False)
        for axes, (layer, head) in zip(grid.ravel().tolist(), np.ndindex(layers, heads), strict=True):
            _draw_matrix(axes, record, layer, head, scale.norm((layer, head)), pooled)
        name_panels(figure, grid, row_label="from token", column_label="to token")
        wide = heads <= NARROW  # otherwise there is room for the ticks of one panel only
        for axes in grid[-1, : None if wide else 1]:
            axes.tick_params(labelbottom=True)
        for axes in grid[None if wide else -1 :, 0]:
            axes.tick_params(labelleft=True)
        if not wide:
            figure.align_ylabels(grid[:, 0])
        add_bar(figure, grid.ravel().tolist(), "attention weight")
    return figure


def _draw_chosen(record: AttentionRecord, heads: list[Head], scale: Scale, pooled: int) -> Figure:
    """A panel with its own title for each head, and words at the axes where they fit."""
    named = bool(record.words) and record.kind in ("text", "other") and record.weights.shape[-1] <= _MAX_WORDS
    narrow = named and max(record.weights.shape[2:]) <= _NARROW_WORDS
    columns = min(2 if narrow else 3, len(heads))
    rows = -(-len(heads) // columns)
    width = COLUMN if narrow or columns == 1 else PAGE
    margin = 0.6 if narrow or scale.mode != "shared" else 1.1  # words, and a colour bar
    side = (width - margin) / columns - 0.1
    tall = max(_LEAST_HEIGHT, min(side * record.weights.shape[2] / record.weights.shape[3], 2.6))
    below = 0.35 * (scale.mode != "shared") * rows + 0.35 * (scale.mode == "shared" and narrow)
    size = (width, min(9.0, rows * (tall + 0.35) + below + 0.2 + 0.4 * named))
    with new_figure(*size) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for place, (axes, head) in enumerate(zip(grid.ravel().tolist(), heads, strict=False)):
            _draw_matrix(axes, record, *head, scale.norm(head), pooled)
            axes.set_title(head_title(record, head), fontsize=7, linespacing=1.15, pad=3)
            if named:
                _name_ticks(axes, record, 90 if narrow else 120, place % columns == 0, place + columns >= len(heads))
            else:
                axes.tick_params(labelleft=place % columns == 0, labelbottom=place + columns >= len(heads))
            if scale.mode != "shared":
                add_panel_bar(axes, float(scale.ends[head]))
        for axes in grid.ravel()[len(heads) :]:
            axes.axis("off")
        if not named:
            figure.supylabel("from token", fontsize=7.5)
            figure.supxlabel("to token", fontsize=7.5)
        if scale.mode == "shared":
            add_bar(figure, grid.ravel().tolist()[: len(heads)], "attention weight", below=narrow)
    return figure


def _name_ticks(axes: Axes, record: AttentionRecord, side: int, first_column: bool, last_row: bool) -> None:
    """Words for the rows of the first column, and for the columns of the last row, `side` points long."""
    n, m = record.weights.shape[2:]
    first = _first(record)
    size = max(5.0, min(7.0, side / max(n, m)))
    names = [word.strip().replace("\n", "⏎") or "␣" for word in record.words]
    queries = [word.strip() for word in record.query_words] or names
    axes.set_yticks(np.arange(n) + first, queries if first_column else [""] * n, fontsize=size)
    axes.set_xticks(np.arange(m) + first, names if last_row else [""] * m, fontsize=size, rotation=90)
    axes.tick_params(labelleft=first_column, labelbottom=last_row, labelsize=size)


def _first(record: AttentionRecord) -> int:
    """The number of the first token: the input's are numbered from 1 if at most a class token precedes them."""
    return 1 - int(record.is_prefix[: len(record.is_prefix) - record.num_tokens].sum())


def _draw_matrix(axes: Axes, record: AttentionRecord, layer: int, head: int, norm: Normalize, pooled: int) -> None:
    first = _first(record)
    n, m = record.weights.shape[2:]
    extent = (first - 0.5, first + m - 0.5, first + n - 0.5, first - 0.5)
    pixels = pool(record.weights[layer, head], pooled)
    axes.imshow(pixels, cmap=HEATMAP, norm=norm, interpolation="nearest", extent=extent)
    if n < _FLAT * m:
        axes.set_aspect("auto")
    if record.has_class_token and record.kind == "image" and m <= _MAX_SEPARATED:  # a line after the prefix tokens
        axes.axhline(0.5, color=MARK, linewidth=0.5)
        axes.axvline(0.5, color=MARK, linewidth=0.5)
    axes.set(xticks=[max(first, 1), first + m - 1], yticks=[max(first, 1), first + n - 1])
    if record.has_class_token:
        axes.set(xticks=[first, first + m - 1], yticks=[first, first + n - 1])
    axes.tick_params(length=0, pad=1.5, labelsize=6, labelbottom=False, labelleft=False)
    frame(axes)


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    title = "Attention weights" + sentences.title_suffix(record)
    matrices = "{panels} matrices" if facts["panels"] > 1 else "one matrix"
    return write_caption(
        facts,
        title,
        shown=[_describe_panels(record, facts), sentences.describe_input_changes(record)],
        reading=[_describe_reading(record, facts)],
        findings=[
            describe_roles(record, facts),
            sentences.describe_prediction(record),
            _describe_findings(record, facts),
        ],
        limits=[sentences.LIMITS, NO_RANKING],
        alternative=[f"{title}: {matrices} of {{rows}} × {{keys}} weights.", _query_independent(facts)],
        short=(
            [_summarize_panels(record, facts), sentences.summarize_scale(facts)],
            [summarize_roles(record, facts), _summarize_query_independent(facts)],
            [NO_RANKING_IN_SHORT, sentences.summarize_source(record)],
        ),
    )


def _where(record: AttentionRecord) -> str:
    """Where an even spread has the value that is stated: with a causal mask, only the last row sees all tokens."""
    return " in the last row" if record.is_causal else ""


def _summarize_panels(record: AttentionRecord, facts: Facts) -> str:
    pooled = " A pixel shows the largest of {pooled} × {pooled} weights." if facts["pooled"] > 1 else ""
    return (
        f"{sentences.summarize_heads(facts)}: a row for each query, a column for each key, the darker the larger the "
        f"weight; an even spread would be {{uniform:.3f}}{_where(record)}.{pooled}"
    )


def _describe_panels(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    matrix = (
        f"the matrix of {sentences.describe_weights(record)}: row <n> contains the weights of query token <n> on the "
        "tokens <m>."
    )
    if facts["panels"] < facts["all_heads"]:
        yield (
            "Each panel is one head, named by layer <l> and head <h>, both counted from <zero>; {panels} of "
            f"{{all_heads}} heads are shown, chosen by role and depth: {matrix}"
        )
    else:
        order = "layer <l> from top to bottom and head <h> from left to right, counted from <zero>"
        yield f"Each panel, {order}, is {matrix}"
    yield _describe_tokens(record, facts)
    if facts["pooled"] > 1:
        yield (
            "There are fewer pixels than weights: each pixel shows the largest of {pooled} × {pooled} neighbouring "
            "weights."
        )
    parts = ["the matrices are complete"] * (facts["pooled"] == 1)
    parts += ["rows sum to one" if record.unverified else "every row sums to one"] * record.rows_sum_to_one
    complete = ", and ".join(parts).capitalize() + ". " if parts else ""
    yield complete + sentences.describe_scale(facts)


def _describe_tokens(record: AttentionRecord, facts: Facts) -> str:
    if not record.is_self_attention:
        queries = "is one query" if facts["rows"] == 1 else "are {rows} queries"
        keys = "one key, which is another token" if facts["keys"] == 1 else "{keys} keys, which are other tokens"
        if record.kind == "image" and facts["keys"] > 1:
            keys = "{keys} keys, which are parts of the image of {box_height} × {box_width} pixels"
        return f"There {queries} and {keys}."
    size = ", {box_height} × {box_width} pixels each," if record.kind == "image" else ""
    if record.has_class_token and record.kind == "image":
        lines = ", before the orange lines," if record.weights.shape[-1] <= _MAX_SEPARATED else ""
        which = "row and column" if record.is_prefix.sum() == 1 else "{prefix} rows and columns"
        return (
            f"The first {which}{lines} belong to the {sentences.prefix_name(record)}; the {{tokens}} tokens of the "
            f"image{size} follow in reading order."
        )
    if record.kind == "image":
        return (
            "The tokens, {tokens} of {box_height} × {box_width} pixels, are in reading order; there is no class token."
        )
    special = f", and {{prefix}} {sentences.prefix_name(record)}" if record.is_prefix.any() else ""
    return f"The rows and columns are the {{tokens}} tokens of the {{input}}{special}, in order."


def _describe_reading(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    if record.is_self_attention:
        yield (
            "A dark column is a token that all others attend to; a dark diagonal means that tokens attend to "
            "themselves, and lines next to it that they attend to their neighbours in reading order."
        )
    else:
        yield "A dark column is a token that all queries attend to."
    yield f"An even tint is a head that averages all tokens ({{uniform:.3f}} each{_where(record)})."
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
    if record.is_self_attention:
        yield (
            f"The {{input}}'s tokens attend to themselves{where}, with a weight of {{max_self:.0%}} on average; an "
            "even spread over the visible tokens would give {even_self:.0%}."
        )
        yield from sentences.describe_locality(
            facts, "mean distance at most {local:.0%} of the {uniform_distance:.1f} {unit} of an even spread"
        )
    yield sentences.describe_heads(
        facts, "uniform", "is", "nearly uniform (at least {near_uniform:.0%} of the tokens effective, mean over rows)"
    )
    if record.is_prefix.any() and record.is_self_attention and facts["layers"] > 1:
        yield (
            f"The {{input}}'s tokens put {{class_weight_first:.0%}} of their weight on the "
            f"{sentences.prefix_name(record)} in the first layer and {{class_weight_last:.0%}} in the last (means over "
            "heads)."
        )


def _summarize_query_independent(facts: Facts) -> str:
    heads = sentences.count(facts, "query_independent_heads", "head")
    return _query_independent(facts).replace("Of {all_heads} heads, {query_independent_heads}", heads)


def _query_independent(facts: Facts) -> str:
    return sentences.describe_heads(
        facts, "query_independent", "has", "the same pattern for all queries (at most {query_dependence} bits)"
    )
