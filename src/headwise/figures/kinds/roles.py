"""The roles of all heads: a square for each layer and head, and how often each role occurs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.colors import MISSING
from headwise.figures.faithfulness_sentences import NO_RANKING
from headwise.figures.measurements import Facts, measure_base
from headwise.figures.panels import COLUMN, LUMINANCE, PAGE
from headwise.figures.record import AttentionRecord
from headwise.figures.role_sentences import describe_roles, measure_role_facts, role_counts, summarize_roles
from headwise.figures.save import new_figure
from headwise.metrics.roles import ROLES
from headwise.text import capitalize_first

COLORS = {  # distinguishable by colour-blind readers together with the letters: Okabe and Ito's palette, and greys
    "induction": "#d55e00",
    "alignment": "#cc79a7",
    "previous": "#0072b2",
    "next": "#56b4e9",
    "same": "#e69f00",
    "self": "#f0e442",
    "offset": "#005f73",
    "local": "#009e73",
    "delimiter": "#9c6644",
    "first": "#7b6ca8",
    "outlier": "#a3201f",
    "sink": "#4a4a4a",
    "uniform": "#c9d3de",
}
_LETTERS = {name: ROLES[name].phrase[:2].capitalize() for name in ROLES} | {"same": "Sm", "delimiter": "De"}
_ROW = 0.22  # inches from line to line of the legend
_MAX_LETTERED = 20  # heads or layers; in larger models the squares have no letters


def measure(record: AttentionRecord) -> Facts:
    """Count the heads of each role."""
    return measure_base(record) | measure_role_facts(record)


def draw(record: AttentionRecord) -> Figure:
    """Draw a square for each head in the colour of its main role, and a legend with counts."""
    layers, heads = record.weights.shape[:2]
    facts = measure_role_facts(record)
    side = min(0.26, 4.6 / heads, 6.5 / layers)
    size = (min(PAGE, max(COLUMN, side * heads + 2.4)), max(1.9, side * layers + 0.6))
    with new_figure(*size) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(max(side * heads, 0.8), 1.9))
        _draw_squares(left, record, side)
        left.set_anchor("N")
        _draw_legend(right, record, facts, size[1] - 0.6)
    return figure


def _draw_squares(axes: Axes, record: AttentionRecord, side: float) -> None:
    layers, heads = record.weights.shape[:2]
    roles = record.roles
    canvas = np.ones((layers, heads, 3))
    for head in np.ndindex(layers, heads):
        name = roles.name(*head)
        canvas[head] = to_rgb(COLORS[name]) if name else to_rgb("#f4f5f6")
        if name and _has_letters(record):
            axes.text(head[1], head[0], _LETTERS[name], ha="center", va="center_baseline", fontsize=min(6.5, 24 * side),
                      color=_ink(COLORS[name]))  # fmt: skip
    axes.imshow(canvas, interpolation="nearest", aspect="equal")
    axes.set_xticks(np.arange(heads + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(layers + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.0)
    axes.set(xlabel="head", xticks=range(0, heads, 1 + heads // 16))
    axes.set(ylabel="layer", yticks=range(0, layers, 1 + layers // 16))
    axes.tick_params(which="both", length=0, labelsize=6.5)
    axes.spines[:].set_visible(False)


def _has_letters(record: AttentionRecord) -> bool:
    return bool(max(record.weights.shape[:2]) <= _MAX_LETTERED)


def _draw_legend(axes: Axes, record: AttentionRecord, facts: Facts, height: float) -> None:
    names = role_counts(facts)
    none = int((record.roles.main < 0).sum())
    letters = _LETTERS if _has_letters(record) else dict.fromkeys(_LETTERS, "")
    rows = [(COLORS[name], letters[name], record.role_name(name), facts[f"role_{name}_heads"]) for name in names]
    rows += [("#f4f5f6", "", "no role above chance", none)] * bool(none)
    for y, (color, text, phrase, count) in enumerate(rows):
        box = {"facecolor": color, "edgecolor": MISSING, "linewidth": 0.4, "boxstyle": "square,pad=0.35"}
        axes.text(0.05, y, text or "  ", ha="center", va="center", bbox=box, color=_ink(color), fontsize=6.5,
                  family="DejaVu Sans Mono")  # fmt: skip
        axes.text(0.15, y, phrase, fontsize=7.5, va="center")
        axes.text(1.0, y, str(count), fontsize=7.5, va="center", ha="right")
    axes.set(xlim=(0, 1), ylim=(max(len(rows), height / _ROW) - 0.4, -0.6))
    axes.axis("off")


def _ink(color: str) -> str:
    """White on a dark colour, black on a light one."""
    return "white" if np.array(to_rgb(color)) @ LUMINANCE < 0.55 else "#111111"


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    title = "Roles of the attention heads" + sentences.title_suffix(record)
    squares = "a square for each of {all_heads} heads" if facts["all_heads"] > 1 else "one square"
    return write_caption(
        facts,
        title,
        shown=[_SHOWN, sentences.describe_input_changes(record)],
        reading=[_describe_scores(record)],
        findings=[describe_roles(record, facts)],
        limits=[_LIMITS, NO_RANKING],
        alternative=[f"{title}: {squares}.", summarize_roles(record, facts)],
        short=([_SHORT], [summarize_roles(record, facts)], _LIMITS[:1]),
    )


_SHOWN = (
    "A square for each layer (from top to bottom) and head, both from <zero>, in the colour of the head's main role; "
    "on the right, how many heads have it.",
)
_SHORT = (
    "A square for each layer and head in the colour of its main role, with counts on the right; a role needs a score "
    "of at least {role}, {role_ratio:.0f} times its chance level, and significance after correction for all tests."
)
_LIMITS = (
    "Roles describe where the weights of one {input} are; another may show others, and they do not show what the model "
    "does with what it takes from there.",
    "A head can have several roles; the square shows the narrowest of those with nearly the largest excess over "
    "chance.",
)


def _describe_scores(record: AttentionRecord) -> Iterator[str]:
    for name in record.roles.names:
        yield f"{capitalize_first(ROLES[name].phrase)} is {ROLES[name].statistic}."
