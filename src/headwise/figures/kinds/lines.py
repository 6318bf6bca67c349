"""Attention between words as lines, from each query on the left to the keys on the right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from headwise.errors import DataError
from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.colors import ACCENT
from headwise.figures.faithfulness_sentences import NO_RANKING, NO_RANKING_IN_SHORT
from headwise.figures.measurements import Facts, measure_base
from headwise.figures.panels import PAGE
from headwise.figures.record import AttentionRecord
from headwise.figures.role_sentences import describe_roles, measure_role_facts, summarize_roles
from headwise.figures.save import new_figure
from headwise.figures.view import DEFAULT_VIEW, View, head_title

_PANELS = 4
_MAX_WORDS = 48
_LEAST = 0.05  # smaller weights have no line


def is_available(record: AttentionRecord) -> bool:
    """Whether there are words, and not too many."""
    return bool(record.words) and record.kind in ("text", "other") and max(record.weights.shape[2:]) <= _MAX_WORDS


def measure(record: AttentionRecord, view: View = DEFAULT_VIEW) -> Facts:
    """Measure how many lines there are, and how much of the weight they stand for."""
    _check(record)
    heads = view.heads(record, _PANELS, _PANELS)
    weights = np.array([record.weights[head] for head in heads], np.float64)
    lines = weights >= _LEAST
    share = float((weights * lines).sum() / max(weights.sum(), 1e-30))
    facts = measure_base(record) | measure_role_facts(record)
    return facts | {"panels": len(heads), "least_line": _LEAST, "lines": int(lines.sum()), "line_share": share}


def draw(record: AttentionRecord, view: View = DEFAULT_VIEW) -> Figure:
    """Draw a panel of lines for each head."""
    _check(record)
    heads = view.heads(record, _PANELS, _PANELS)
    columns = min(_PANELS, len(heads))
    rows = -(-len(heads) // columns)
    tall = 0.125 * max(record.weights.shape[2:]) + 0.45
    with new_figure(PAGE if columns > 1 else 3.5, rows * tall + 0.1) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for axes, head in zip(grid, heads, strict=False):
            _draw_lines(axes, record, head)
            axes.set_title(head_title(record, head), fontsize=7, linespacing=1.15, pad=3)
        for axes in grid[len(heads) :]:
            axes.axis("off")
    return figure


def _draw_lines(axes: Axes, record: AttentionRecord, head: tuple[int, int]) -> None:
    weights = record.weights[head]
    keys = [word.strip().replace("\n", "⏎") or "␣" for word in record.words]
    queries = [word.strip() for word in record.query_words] or keys
    n, m = np.nonzero(weights >= _LEAST)
    colors = np.tile(np.array([int(ACCENT[i : i + 2], 16) / 255 for i in (1, 3, 5)] + [1.0]), (len(n), 1))
    colors[:, 3] = np.clip(weights[n, m], 0, 1)
    segments = np.stack([np.stack([np.zeros(len(n)), n], axis=1), np.stack([np.ones(len(n)), m], axis=1)], axis=1)
    axes.add_collection(LineCollection(list(segments), colors=colors, linewidths=1.1))
    for side, words, place in (("right", queries, -0.04), ("left", keys, 1.04)):
        for row, word in enumerate(words):
            axes.text(place, row, word, ha=side, va="center_baseline", fontsize=6.5)
    axes.set(xlim=(-0.75, 1.75), ylim=(max(weights.shape) - 0.5, -0.7))
    axes.axis("off")


def _check(record: AttentionRecord) -> None:
    if not is_available(record):
        raise DataError(
            f"lines: expected a text of at most {_MAX_WORDS} tokens, with their words; use figure matrices."
        )


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    title = "Attention between words" + sentences.title_suffix(record)
    return write_caption(
        facts,
        title,
        shown=[_describe_lines(record, facts), sentences.describe_input_changes(record)],
        reading=[_READING],
        findings=[describe_roles(record, facts), sentences.describe_prediction(record)],
        limits=[sentences.LIMITS, NO_RANKING],
        alternative=[f"{title}: {{panels}} panels with {{lines}} lines between {{rows}} and {{keys}} words."],
        short=(
            [f"{sentences.summarize_heads(facts)}: {_SHORT}"],
            [summarize_roles(record, facts)],
            [NO_RANKING_IN_SHORT, sentences.summarize_source(record)],
        ),
    )


_SHORT = (
    "lines from each query (left) to the keys (right), the darker the larger the weight; weights below "
    "{least_line:.0%} have no line, and the {lines} lines are {line_share:.0%} of the weight."
)
_READING = ("A dark line is a word from which much of this head's output for the query is taken.",)


def _describe_lines(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    yield (
        f"{sentences.summarize_heads(facts)}, named by layer <l> and head <h>, both from <zero>: a line from query <n> "
        f"on the left to key <m> on the right is a weight of {sentences.describe_weights(record)}, the darker the "
        "larger, on one scale from <zero> to one."
    )
    yield (
        "Weights below {least_line:.0%} have no line; the {lines} lines stand for {line_share:.0%} of the weight of "
        "these heads."
    )
