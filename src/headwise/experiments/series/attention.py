"""The attention of the series transformer to the steps of one series: its arrays, figure and caption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headwise.attention.textbook import softmax
from headwise.data.series import standardize
from headwise.experiments.series.result import SeriesResult
from headwise.figures import Caption, new_figure
from headwise.figures.caption import write_caption
from headwise.metrics.concentration import effective_number
from headwise.models.series import predict_series_with_attention
from headwise.shapes import Array, bind
from headwise.thresholds import THRESHOLDS


@dataclass(frozen=True)
class SeriesRecord:
    """The arrays behind the figure and its caption."""

    x: Array  # (N, V): the series, standardized, without padding
    weights: Array  # (L, H, N, N): attention weights of every layer and head
    probabilities: Array  # (C,)
    classes: tuple[str, ...]  # their names
    label: int  # the true class
    head_width: int  # d in the logits' 1/√d

    def __post_init__(self) -> None:
        bind("N V", x=self.x).bind("L H N N", weights=self.weights)


def record_series(result: SeriesResult, index: int = 0) -> SeriesRecord:
    """A test series and the attention of the transformer of seed 0, the pre-trained one if there is one."""
    method = "pre-trained" if result.plan.pretrain else "transformer"
    model = result.plan.model
    series = standardize(result.data).test.take(np.array([index]))
    length = int(series.lengths[0])
    prediction = predict_series_with_attention(series.x[:, :length], series.lengths, result.params[method], model)
    return SeriesRecord(
        series.x[0, :length],
        prediction.weights[0],
        softmax(prediction.outputs)[0],
        result.data.classes,
        int(series.labels[0]),
        model.d_model // model.n_heads,
    )


def draw_series(record: SeriesRecord) -> Figure:
    """The series above, and below it a heat map for each layer and head, on one colour scale."""
    layers, heads, _, _ = record.weights.shape
    panel = 0.15 + 6.2 / max(heads, 6)
    with new_figure(7.2, 1.7 + layers * panel) as figure:
        above, below = figure.subfigures(2, 1, height_ratios=(1.5, 0.2 + layers * panel), squeeze=False)[:, 0]
        _draw_input(above.subplots(), record)
        axes = below.subplots(layers, heads, squeeze=False)
        scale = Normalize(0, float(record.weights.max()))
        for layer in range(layers):
            for head in range(heads):
                _draw_map(axes[layer, head], record.weights[layer, head], scale)
            axes[layer, 0].set_ylabel(f"layer {layer}")
        for head in range(heads):
            axes[0, head].set_title(f"head {head}")
        bar = below.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.8, aspect=40, pad=0.01)
        bar.set_label("attention weight")
        bar.outline.set_linewidth(0.4)
    return figure


def _draw_input(axes: Axes, record: SeriesRecord) -> None:
    steps, variables = record.x.shape
    limit = float(np.abs(record.x).max()) or 1.0
    extent = (-0.5, steps - 0.5, variables - 0.5, -0.5)
    image = axes.imshow(record.x.T, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", extent=extent)
    axes.set(xlabel="step", ylabel="variable", title="the series, standardized")
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


def caption_series(record: SeriesRecord) -> Caption:
    """Measure the arrays and write the caption."""
    values = _measure(record)
    title = "Attention to the steps of a series of class {label}"
    shown = _SHOWN[values["variables"] == 1]
    return write_caption(
        values,
        title,
        shown=[shown, _PANELS],
        reading=[_READING],
        findings=[_findings(values)],
        limits=[_LIMITS],
        alternative=[title + ".", shown, _PANELS[0]],
    )


def _measure(record: SeriesRecord) -> dict[str, Any]:
    """Every number that the caption can state."""
    weights = record.weights.astype(np.float64)
    layers, heads, steps, _ = weights.shape
    effective = effective_number(weights).mean(axis=-1)  # (L, H): mean over the queries
    index, even = np.arange(steps), THRESHOLDS["near_uniform"].value
    distance = (weights * np.abs(index[:, None] - index)).sum(axis=-1).mean(axis=(1, 2))
    received = weights.mean(axis=(0, 1, 2))
    self_weight = np.diagonal(weights, axis1=2, axis2=3).mean(axis=-1)
    narrow, wide, self_most = (np.unravel_index(a.argmax(), a.shape) for a in (-effective, effective, self_weight))
    predicted = int(record.probabilities.argmax())
    return {
        "steps": steps,
        "variables": record.x.shape[1],
        "layers": layers,
        "heads": heads,
        "all_heads": layers * heads,
        "d": record.head_width,
        "top": float(weights.max()),
        "uniform": 1 / steps,
        "even_distance": float(np.abs(index[:, None] - index).mean()),
        "label": record.classes[record.label],
        "predicted": record.classes[predicted],
        "right": predicted == record.label,
        "probability": float(record.probabilities[predicted]),
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
        "self_weight": float(self_weight[self_most]),
        "self_layer": int(self_most[0]),
        "self_head": int(self_most[1]),
        "step": int(received.argmax()),
        "received": float(received.max()),
        "times": float(received.max() * steps),
    }


_SHOWN = (  # of several variables, and of one
    "Above: the series, {steps} steps of {variables} variables, standardized by the training series.",
    "Above: the series, {steps} steps of one variable, standardized by the training series.",
)

_PANELS = (
    "Below, layer <l> from top to bottom and head <h> from left to right, both counted from <zero>: the attention "
    "weights <weights> with <d> = {d}; a row is a query step and a column a key step, in order of time.",
    "One colour scale holds for all panels, from <zero> to {top:.3f}, the largest weight shown; padding has no "
    "weight and is not shown.",
)

_READING = (
    "A dark column is a step that many others attend to; a dark diagonal is attention to the step itself and its "
    "neighbours.",
    "A head with uniform attention would show {uniform:.3f} everywhere, with a mean distance of {even_distance:.1f} "
    "steps.",
)

_LIMITS = (
    "These are weights, not reasons: the values, the residual path and the classifier, which uses every step's token, "
    "carry the rest.",
    "In every layer but the first, a token already contains information from others, so its weight is not that of its "
    "own step alone.",
    "This is one series; another can look different.",
)


def _findings(v: dict[str, Any]) -> Iterator[str]:
    verdict = "which is correct" if v["right"] else "which is wrong: it is {label}"
    yield "The model predicts {predicted} (probability {probability:.1%}), " + verdict + "."
    yield (
        "The most concentrated head is layer {narrow_layer}, head {narrow_head}, whose queries attend to {narrow:.1f} "
        "effective steps of {steps} on average; the most even is layer {wide_layer}, head {wide_head}, with {wide:.1f}."
    )
    yield {
        0: "No head is nearly uniform (at least {even:.0%} of the steps effective).",
        v["all_heads"]: "Every head is nearly uniform (at least {even:.0%} of the steps effective).",
    }.get(
        v["even_heads"],
        "Nearly uniform (at least {even:.0%} of the steps effective): {even_heads} of {all_heads} heads.",
    )
    first, last, changed = v["distance_first"], v["distance_last"], THRESHOLDS["depth_ratio"].value
    trend = "grows" if last >= changed * first else "shrinks" if last * changed <= first else "stays about the same"
    yield (
        "The mean distance between a step and the steps it attends to is {distance_first:.1f} steps in the first layer "
        f"and {{distance_last:.1f}} in the last: with depth it {trend}."
    )
    yield (
        "The head with the largest self-attention is layer {self_layer}, head {self_head}: {self_weight:.0%} on "
        "average. Over all layers, heads and queries, step {step} receives the most, {received:.1%}, {times:.1f} times "
        "the uniform share."
    )
