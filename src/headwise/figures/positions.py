"""What the learned positions know of each other: cosines between all of them, and how these fall with distance."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from headwise.errors import DataError
from headwise.figures.panels import COLOURS, PAGE, add_bar, frame
from headwise.figures.record import AttentionRecord
from headwise.figures.save import fix_layout, style
from headwise.metrics.positions import position_similarity
from headwise.metrics.spatial import token_centers
from headwise.shapes import Array

__all__ = ["draw_positions", "similarities", "token_distance"]


def similarities(drawn: AttentionRecord) -> Array:
    """(N, N): the cosine between every two tokens' position embeddings.

    Raises
    ------
    DataError
        If the positions are not known, or there is one token, which has no other to be compared with.
    """
    if drawn.tokens < 2:
        raise DataError("positions: expected two tokens or more, to compare; the image is one.")
    if not drawn.positions.size:
        raise DataError(
            "positions: expected the position embeddings, (N, D); none came with these arrays. They are in the model, "
            "not in its attention weights."
        )
    return position_similarity(drawn.positions.astype(np.float64))


def token_distance(drawn: AttentionRecord) -> Array:
    """(N, N): the distance in pixels between every two tokens' centres."""
    c = token_centers(drawn.boxes)
    return np.asarray(np.hypot(*(c[:, None] - c).T))


def draw_positions(drawn: AttentionRecord) -> Figure:
    """The matrix of cosines, and every pair's cosine against the distance between the two tokens.

    Parameters
    ----------
    drawn : Drawn

    Returns
    -------
    Figure
        As wide as two columns of a paper (7.2 inches).

    Raises
    ------
    DataError
        If the positions are not known, or there is one token.
    """
    found, distance = similarities(drawn), token_distance(drawn)
    with style():
        figure = Figure(figsize=(PAGE, 2.7), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
        _draw_matrix(left, found)
        add_bar(figure, [left], "cosine")
        _draw_fall(right, found, distance)
        fix_layout(figure)
    return figure


def _draw_matrix(axes: Axes, found: Array) -> None:
    n = len(found)
    others = found[~np.eye(n, dtype=bool)]
    scale = Normalize(float(others.min()), float(others.max()))
    hidden = np.where(np.eye(n, dtype=bool), np.nan, found)  # each with itself is one, and says nothing
    axes.imshow(hidden, cmap=COLOURS, norm=scale, interpolation="nearest", extent=(0.5, n + 0.5, n + 0.5, 0.5))
    axes.set_facecolor("#dddddd")
    axes.set(xlabel="token", ylabel="token", xticks=[1, n], yticks=[1, n])
    axes.tick_params(length=0)
    frame(axes)


def _draw_fall(axes: Axes, found: Array, distance: Array) -> None:
    pairs = np.triu_indices(len(found), 1)
    far, cosine = distance[pairs].round(6), found[pairs]
    axes.axhline(0, color="#8a8a8a", linewidth=0.8, linestyle=(0, (4, 2)))
    axes.plot(far, cosine, "o", color="#1f4e8c", markersize=2.5, markeredgewidth=0, alpha=0.5, label="a pair of tokens")
    steps = np.unique(far)
    means = [float(cosine[far == step].mean()) for step in steps]
    axes.plot(steps, means, "-", color="#111111", linewidth=1.1, label="mean at this distance")
    axes.set(xlabel="distance between tokens (pixels)", ylabel="cosine")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0)
