"""Attention distance and entropy of every head, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.colors import ACCENT, AVERAGE, REFERENCE
from headwise.figures.faithfulness_sentences import NO_RANKING, NO_RANKING_IN_SHORT
from headwise.figures.measurements import (
    Facts,
    check_self_attention,
    even_values,
    extreme_head,
    first_and_last_layer,
    measure_base,
    measure_distances,
    nan_mean,
    profile_heads,
)
from headwise.figures.panels import PAGE
from headwise.figures.record import AttentionRecord
from headwise.figures.role_sentences import measure_role_facts, summarize_roles
from headwise.figures.save import new_figure
from headwise.shapes import Array

_LIMITS = (
    "The values are those of one {input}; they may differ for another.",
    "A small distance does not make a head a detector of local features, nor does a large distance make it one of "
    "global features: the figure measures where the weights are, not what information they carry.",
)


def measure(record: AttentionRecord) -> Facts:
    """Measure the distance and entropy of every head, and their change with depth."""
    check_self_attention(record, "depth")
    profiles = profile_heads(record)
    facts = measure_base(record) | even_values("uniform_entropy", profiles.uniform_entropy)
    facts |= measure_distances(profiles)
    for name, values in (("distance", profiles.distance), ("entropy", profiles.entropy)):
        facts |= first_and_last_layer(name, values)
        facts |= extreme_head(f"min_{name}", values, least=True) | extreme_head(f"max_{name}", values)
    return facts | measure_role_facts(record) | {"class_weight": float(profiles.class_weight.mean())}


def draw(record: AttentionRecord) -> Figure:
    """Draw distance and entropy of every head by layer, with the mean over heads and the value of uniform attention."""
    check_self_attention(record, "depth")
    profiles = profile_heads(record)
    with new_figure(PAGE, 2.4) as figure:
        left, right = figure.subplots(1, 2)
        unit = measure_base(record)["unit"]
        _draw_profile(left, profiles.distance, profiles.uniform_distance, f"mean distance ({unit})")
        _draw_profile(right, profiles.entropy, profiles.uniform_entropy, "mean entropy (bits)")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _draw_profile(axes: Axes, values: Array, uniform: Array, label: str) -> None:
    layers, heads = values.shape
    x = np.repeat(np.arange(layers), heads)
    dashes = {"color": REFERENCE, "linewidth": 0.9, "linestyle": (0, (4, 2))}
    edges = np.arange(layers + 1) - 0.5
    axes.step(edges, [*uniform, uniform[-1]], where="post", label="even spread over visible tokens", **dashes)
    axes.plot(x, values.ravel(), "o", color=ACCENT, markersize=4, markeredgewidth=0, alpha=0.65, label="one head")
    axes.plot(range(layers), nan_mean(values), "-", color=AVERAGE, linewidth=1.1, label="mean over heads")
    axes.set(xlabel="layer", ylabel=label, xticks=range(0, layers, 1 + layers // 16), xlim=(-0.5, layers - 0.5))
    axes.set_ylim(0, 1.08 * np.nanmax([*uniform, *values.ravel()]) or 1)  # with one token, all distances are zero


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    title = "Attention distance and entropy by depth" + sentences.title_suffix(record)
    dots = "each of {heads} heads" if facts["heads"] > 1 else "the head"
    plots = f"two plots against {sentences.count(facts, 'layers', 'layer')} with a dot for {dots}"
    return write_caption(
        facts,
        title,
        shown=[_describe_plots(record, facts), sentences.describe_input_changes(record)],
        reading=[_describe_reading()],
        findings=[sentences.describe_prediction(record), _describe_findings(facts)],
        limits=[_LIMITS, NO_RANKING],
        alternative=[f"{title}: {plots}.", _describe_lines(facts)],
        short=(
            [_SHORT],
            [*_describe_changes(facts), summarize_roles(record, facts)],
            [NO_RANKING_IN_SHORT, sentences.summarize_source(record)],
        ),
    )


_SHORT = (
    "One dot per head, a line for their mean, dashed the value of an even spread over the visible tokens; low on the "
    "left is attention to nearby tokens, low on the right to few."
)


def _describe_plots(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    excluded = (
        f"; without the {sentences.prefix_name(record)}, which have no location, and {{class_weight:.0%}} of the weight"
        if record.is_prefix.any()
        else ""
    )
    yield (
        "Left: the mean distance in {unit} between the centre of a token and the centres of those that it attends to, "
        f"<distance>, one dot for each head{excluded}."
    )
    rows = sentences.count(facts, "rows", "row") + (
        ", including that of the class token" if record.has_class_token else ""
    )
    yield f"Right: the mean entropy of the rows of each head, <entropy>, in bits, over {rows}."
    mean = "is the mean over the {heads} heads of a layer" if record.weights.shape[1] > 1 else "connects the dots"
    yield f"Layers are counted from <zero>; the line {mean}."


def _describe_reading() -> Iterator[str]:
    yield (
        "The dashed lines are the values of an even spread over the visible tokens: {uniform_distance:.1f} {unit} and "
        "{uniform_entropy:.2f} bits."
    )
    yield "Low on the left is a head that attends to nearby tokens; low on the right, one that attends to few tokens."


def _describe_findings(facts: Facts) -> Iterator[str]:
    has_distance = facts["no_distance_heads"] < facts["all_heads"]
    if facts["all_heads"] == 1:
        distance = "The distance is {max_distance:.1f} {unit}, the" if has_distance else "The"
        yield f"{distance} entropy {'' if has_distance else 'is '}{{max_entropy:.1f}} bits."
    else:
        distances, entropies = _describe_range(facts, "distance", "{unit}"), _describe_range(facts, "entropy", "bits")
        yield f"Distances {distances}; entropies {entropies}." if has_distance else f"Entropies {entropies}."
    yield from _describe_changes(facts)
    yield from sentences.describe_locality(facts, "at most {local:.0%} of the distance of an even spread")


def _describe_changes(facts: Facts) -> Iterator[str]:
    """How both means change with depth."""
    if facts["layers"] == 1:
        return
    if sentences.is_known(facts, "distance"):
        distance = sentences.describe_trend(facts, "distance", "{unit}")
        yield f"With depth, the mean distance {distance}."
    yield f"With depth, the mean entropy {sentences.describe_trend(facts, 'entropy', 'bits')}."


def _describe_range(facts: Facts, name: str, unit: str) -> str:
    if sentences.heads_are_equal(facts, f"min_{name}", f"max_{name}"):
        return f"are {{max_{name}:.1f}} {unit} in every head"
    least, most = (f"(layer {{{end}_{name}_layer}}, head {{{end}_{name}_head}})" for end in ("min", "max"))
    return f"range from {{min_{name}:.1f}} {unit} {least} to {{max_{name}:.1f}} {most}"


def _describe_lines(facts: Facts) -> str:
    """Where the lines begin and end, for readers who cannot see them."""
    deep = facts["layers"] > 1
    distance = "goes from {distance_first:.1f} to {distance_last:.1f}" if deep else "is {distance_first:.1f}"
    entropy = "goes from {entropy_first:.1f} to {entropy_last:.1f}" if deep else "is {entropy_first:.1f}"
    if not sentences.is_known(facts, "distance"):
        return f"The mean entropy {entropy} bits."
    return f"The mean distance {distance} {{unit}}, the mean entropy {entropy.removeprefix('goes ')} bits."
