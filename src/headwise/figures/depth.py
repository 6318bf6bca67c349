"""Profiles by depth: how far and how evenly each head attends, layer by layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headwise.figures.nan_stats import nan_mean
from headwise.figures.panels import PAGE
from headwise.figures.record import AttentionRecord
from headwise.figures.save import fix_layout, style
from headwise.metrics.concentration import drop_class_token, entropy, normalize_rows
from headwise.metrics.spatial import attention_distance
from headwise.shapes import Array

__all__ = ["Profiles", "draw_depth", "profiles"]

_DOT, _LINE, _EVEN = "#1f4e8c", "#111111", "#8a8a8a"


class Profiles(NamedTuple):
    """Two measures of every layer and head, and what an even spread would have.

    Attributes
    ----------
    distance : ndarray of shape (L, H)
        Mean distance in pixels between a token of the image and those that it attends to, the class token left out;
        NaN where no token of the image gives it any weight.
    even_distance : float
    entropy : ndarray of shape (L, H)
        In bits, the mean over all rows, the class token's too.
    even_entropy : float
    dropped : ndarray of shape (L, H)
        Mean weight on the class token that the distance leaves out; 0 without a class token.
    """

    distance: Array
    even_distance: float
    entropy: Array
    even_entropy: float
    dropped: Array


def profiles(drawn: AttentionRecord) -> Profiles:
    """Measure the arrays that were drawn."""
    weights = drawn.weights.astype(np.float64)
    kept, dropped = (
        drop_class_token(weights) if drawn.classed else (normalize_rows(weights), np.zeros(weights.shape[:-1]))
    )
    giving = kept.any(axis=-1).mean(
        axis=-1
    )  # of the image's tokens, those that give it any weight, the others having no distance
    distance = attention_distance(kept, drawn.boxes)
    even = np.full((drawn.tokens, drawn.tokens), 1 / drawn.tokens)
    return Profiles(
        np.divide(distance, giving, out=np.full_like(distance, np.nan), where=giving > 0),
        float(attention_distance(even, drawn.boxes)),
        entropy(normalize_rows(weights)).mean(axis=-1),
        float(np.log2(weights.shape[-1])),
        dropped.mean(axis=-1),
    )


def draw_depth(drawn: AttentionRecord) -> Figure:
    """Distance and entropy of every head by layer, their mean, and what an even spread would have.

    Parameters
    ----------
    drawn : Drawn

    Returns
    -------
    Figure
        As wide as two columns of a paper (7.2 inches).
    """
    found = profiles(drawn)
    with style():
        figure = Figure(figsize=(PAGE, 2.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_profile(left, found.distance, found.even_distance, "mean attention distance (pixels)")
        _draw_profile(right, found.entropy, found.even_entropy, "mean entropy (bits)")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        fix_layout(figure)
    return figure


def _draw_profile(axes: Axes, values: Array, even: float, label: str) -> None:
    layers, heads = values.shape
    across = np.repeat(np.arange(layers), heads)
    axes.axhline(even, color=_EVEN, linewidth=0.9, linestyle=(0, (4, 2)), label="an even spread")
    axes.plot(across, values.ravel(), "o", color=_DOT, markersize=4, markeredgewidth=0, alpha=0.65, label="a head")
    axes.plot(range(layers), nan_mean(values), "-", color=_LINE, linewidth=1.1, label="mean over heads")
    axes.set(xlabel="layer", ylabel=label, xticks=range(layers), xlim=(-0.4, layers - 0.6))
    axes.set_ylim(0, 1.08 * np.nanmax([even, *values.ravel()]) or 1)  # one token is nowhere far from itself
