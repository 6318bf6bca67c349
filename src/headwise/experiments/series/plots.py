"""The picture of what the steps of one series attend to, and the caption measured from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headwise.figures import Caption, fix_layout, style, to_statements
from headwise.metrics.concentration import effective_number
from headwise.shapes import Array, bind
from headwise.thresholds import THRESHOLDS

__all__ = ["SeriesRecord", "caption_series", "draw_series"]


@dataclass(frozen=True)
class SeriesRecord:
    """All that the picture shows and its caption says, as arrays.

    Attributes
    ----------
    x : ndarray of shape (N, V)
        The series, standardised, without padding.
    weights : ndarray of shape (L, H, N, N)
        Attention weights of every layer and head.
    probabilities : ndarray of shape (C,)
    classes : tuple of str
        Their names.
    label : int
        The true class.
    head_width : int
        d in the logits' 1/√d.
    """

    x: Array
    weights: Array
    probabilities: Array
    classes: tuple[str, ...]
    label: int
    head_width: int

    def __post_init__(self) -> None:
        bind("N V", x=self.x).bind("L H N N", weights=self.weights)


def draw_series(drawn: SeriesRecord) -> Figure:
    """The series above, and below it a heat map a layer and head, on one colour scale with a bar."""
    layers, heads, _, _ = drawn.weights.shape
    panel = 0.15 + 6.2 / max(heads, 6)
    with style():
        figure = Figure(figsize=(7.2, 1.7 + layers * panel), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(1.5, 0.2 + layers * panel), squeeze=False)[:, 0]
        _draw_input(above.subplots(), drawn)
        axes = below.subplots(layers, heads, squeeze=False)
        scale = Normalize(0, float(drawn.weights.max()))
        for layer in range(layers):
            for head in range(heads):
                _draw_map(axes[layer, head], drawn.weights[layer, head], scale)
            axes[layer, 0].set_ylabel(f"layer {layer}")
        for head in range(heads):
            axes[0, head].set_title(f"head {head}")
        bar = below.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.8, aspect=40, pad=0.01)
        bar.set_label("attention weight")
        bar.outline.set_linewidth(0.4)
        fix_layout(figure)
    return figure


def _draw_input(axes: Axes, drawn: SeriesRecord) -> None:
    steps, variables = drawn.x.shape
    reach = float(np.abs(drawn.x).max()) or 1.0
    around = (-0.5, steps - 0.5, variables - 0.5, -0.5)
    image = axes.imshow(drawn.x.T, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", extent=around)
    axes.set(xlabel="step", ylabel="variable", title="the series, standardised")
    axes.set_yticks(range(0, variables, max(1, variables // 4)))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("deviations")
    bar.outline.set_linewidth(0.4)


def _draw_map(axes: Axes, weights: Array, scale: Normalize) -> None:
    axes.imshow(weights, cmap="Blues", norm=scale, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4)


def caption_series(drawn: SeriesRecord) -> Caption:
    """Measure the arrays, and let the rules write."""
    facts = _measure(drawn)
    title = "What the steps of a series of class {label} attend to"
    return Caption(
        to_statements(facts, title)[0],
        to_statements(facts, _SHOWN[facts["variables"] == 1], _ALL_SHOWN),
        to_statements(facts, _READING),
        to_statements(facts, _findings(facts)),
        to_statements(facts, _LIMITS),
        to_statements(facts, title + ".", _SHOWN[facts["variables"] == 1], _ALL_SHOWN[0]),
    )


def _measure(drawn: SeriesRecord) -> dict[str, Any]:
    """Every number that the caption may state."""
    weights = drawn.weights.astype(np.float64)
    layers, heads, steps, _ = weights.shape
    effective = effective_number(weights).mean(axis=-1)  # (L, H): mean over the queries
    places, even = np.arange(steps), THRESHOLDS["near_uniform"].value
    distance = (weights * np.abs(places[:, None] - places)).sum(axis=-1).mean(axis=(1, 2))
    received = weights.mean(axis=(0, 1, 2))
    own = np.diagonal(weights, axis1=2, axis2=3).mean(axis=-1)
    narrow, wide, self_most = (np.unravel_index(a.argmax(), a.shape) for a in (-effective, effective, own))
    predicted = int(drawn.probabilities.argmax())
    return {
        "steps": steps,
        "variables": drawn.x.shape[1],
        "layers": layers,
        "heads": heads,
        "all_heads": layers * heads,
        "d": drawn.head_width,
        "top": float(weights.max()),
        "uniform": 1 / steps,
        "even_distance": float(np.abs(places[:, None] - places).mean()),
        "label": drawn.classes[drawn.label],
        "predicted": drawn.classes[predicted],
        "right": predicted == drawn.label,
        "probability": float(drawn.probabilities[predicted]),
        "narrow": float(effective[narrow]),
        "narrow_layer": int(narrow[0]),
        "narrow_head": int(narrow[1]),
        "wide": float(effective[wide]),
        "wide_layer": int(wide[0]),
        "wide_head": int(wide[1]),
        "even": even,
        "even_heads": int((effective >= even * steps).sum()),
        "distance_first": float(distance[0]),
        "distance_last": float(distance[-1]),
        "own": float(own[self_most]),
        "own_layer": int(self_most[0]),
        "own_head": int(self_most[1]),
        "step": int(received.argmax()),
        "received": float(received.max()),
        "times": float(received.max() * steps),
    }


_SHOWN = (  # of several variables, and of one
    "Above: the series, {steps} steps of {variables} variables, each shifted and scaled by the training series.",
    "Above: the series, {steps} steps of one variable, shifted and scaled by the training series.",
)

_ALL_SHOWN = (
    "Below, layer <l> from top to bottom and head <h> from left to right, both counted from <zero>: the attention "
    "weights <weights> with <d> = {d}, a row for each step that asks and a column for each that is attended to, in "
    "order of time.",
    "One colour scale holds for all panels, from <zero> to {top:.3f}, the largest weight drawn; padding is not "
    "shown, and has no weight.",
)

_READING = (
    "A dark column is a step that many others take much from; a dark diagonal is a step that keeps to itself and its "
    "neighbours.",
    "A head that attended to every step alike would show {uniform:.3f} everywhere, over a mean distance of "
    "{even_distance:.1f} steps.",
)

_LIMITS = (
    "These are weights, not reasons: the values, the residual path and the head, which reads every step's token, "
    "carry the rest.",
    "In every layer but the first, a token has already taken in others, so its weight is no longer that of its own "
    "step alone.",
    "This is one series; another may look otherwise.",
)


def _findings(f: dict[str, Any]) -> Iterator[str]:
    verdict = "which is right" if f["right"] else "which is wrong: it is {label}"
    yield "The model says {predicted} (probability {probability:.1%}), " + verdict + "."
    yield (
        "The most concentrated head is layer {narrow_layer}, head {narrow_head}, whose steps attend to {narrow:.1f} "
        "effective steps of {steps} on average; the most even is layer {wide_layer}, head {wide_head}, with {wide:.1f}."
    )
    yield {
        0: "No head is nearly uniform (at least {even:.0%} of the steps effective).",
        f["all_heads"]: "Every head is nearly uniform (at least {even:.0%} of the steps effective).",
    }.get(
        f["even_heads"],
        "Nearly uniform (at least {even:.0%} of the steps effective): {even_heads} of {all_heads} heads.",
    )
    first, last, changed = f["distance_first"], f["distance_last"], THRESHOLDS["depth_ratio"].value
    trend = "grows" if last >= changed * first else "shrinks" if last * changed <= first else "stays about the same"
    yield (
        "The mean distance between a step and what it attends to is {distance_first:.1f} steps in the first layer and "
        f"{{distance_last:.1f}} in the last: with depth it {trend}."
    )
    yield (
        "On itself a step keeps most in layer {own_layer}, head {own_head}: {own:.0%} on average. Over all layers, "
        "heads and steps, step {step} receives the most, {received:.1%}, {times:.1f} times an even share."
    )
