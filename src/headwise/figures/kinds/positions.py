"""The similarity of the learned position embeddings, and how it decreases with distance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from headwise.errors import DataError
from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.colors import ACCENT, AVERAGE, HEATMAP, MISSING, REFERENCE
from headwise.figures.measurements import Facts, measure_base
from headwise.figures.panels import PAGE, add_bar, frame
from headwise.figures.record import AttentionRecord
from headwise.figures.save import new_figure
from headwise.metrics import position_similarity, spearman, token_centers
from headwise.shapes import Array
from headwise.text import distinguishing_decimals

_LIMITS = (
    "Positions are added to the tokens before the first layer; that two are similar does not show how attention uses "
    "them.",
    "The embedding's bias and the mean pixel are part of the same sum, so a direction that all positions share has no "
    "meaning by itself.",
)


def _similarities(record: AttentionRecord) -> Array:
    """(N, N): the cosine between the position embeddings of every two tokens."""
    if record.num_tokens < 2:
        raise DataError("positions: expected two tokens or more, to compare; the image is one token.")
    if not record.positions.size:
        raise DataError(
            "positions: expected the position embeddings, (N, D); these arrays have none. They are in the model, not "
            "in its attention weights."
        )
    return position_similarity(record.positions.astype(np.float64))


def _distances(record: AttentionRecord) -> Array:
    """(N, N): the distance in pixels between the centres of every two tokens."""
    centers = token_centers(record.boxes)
    return np.asarray(np.hypot(*(centers[:, None] - centers).T)).round(6)


def measure(record: AttentionRecord) -> Facts:
    """Measure the cosines between the position embeddings, and how they depend on distance.

    Raises DataError if the position embeddings are unknown, or there is only one token.
    """
    similarity, distance = _similarities(record), _distances(record)
    n = len(similarity)
    pairs, diagonal = np.triu_indices(n, 1), np.eye(n, dtype=bool)
    cosine, between = similarity[pairs], distance[pairs]
    to_others = np.where(diagonal, np.inf, distance)
    is_nearest = to_others == to_others.min(axis=1, keepdims=True)
    most_similar = np.where(diagonal, -np.inf, similarity).argmax(axis=1)
    best = int(cosine.argmax())
    return measure_base(record) | {
        "embedding_dim": record.positions.shape[1],
        "pairs": len(cosine),
        "min_cosine": float(cosine.min()),
        "max_cosine": float(cosine.max()),
        "most_similar_first": int(pairs[0][best]) + 1,
        "most_similar_second": int(pairs[1][best]) + 1,
        "nearest_cosine": float(cosine[between == between.min()].mean()),
        "farthest_cosine": float(cosine[between == between.max()].mean()),
        "nearest_distance": float(between.min()),
        "farthest_distance": float(between.max()),
        "rank_correlation": spearman(between, cosine),
        "nearest_matches": int(is_nearest[np.arange(n), most_similar].sum()),
        "expected_matches": float((is_nearest.sum(axis=1) / (n - 1)).sum()),
    }


def draw(record: AttentionRecord) -> Figure:
    """Draw the matrix of cosines, and every pair's cosine against the distance between the two tokens.

    Raises DataError if the position embeddings are unknown, or there is only one token.
    """
    similarity, distance = _similarities(record), _distances(record)
    with new_figure(PAGE, 2.7) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
        _draw_matrix(left, similarity)
        add_bar(figure, [left], "cosine")
        _draw_by_distance(right, similarity, distance)
    return figure


def _draw_matrix(axes: Axes, similarity: Array) -> None:
    n = len(similarity)
    diagonal = np.eye(n, dtype=bool)
    pairs = similarity[~diagonal]
    scale = Normalize(float(pairs.min()), float(pairs.max()))
    without_diagonal = np.where(diagonal, np.nan, similarity)  # every cosine with itself is one
    axes.imshow(
        without_diagonal, cmap=HEATMAP, norm=scale, interpolation="nearest", extent=(0.5, n + 0.5, n + 0.5, 0.5)
    )
    axes.set_facecolor(MISSING)
    axes.set(xlabel="token", ylabel="token", xticks=[1, n], yticks=[1, n])
    axes.tick_params(length=0)
    frame(axes)


def _draw_by_distance(axes: Axes, similarity: Array, distance: Array) -> None:
    pairs = np.triu_indices(len(similarity), 1)
    x, cosine = distance[pairs], similarity[pairs]
    axes.axhline(0, color=REFERENCE, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.plot(x, cosine, "o", color=ACCENT, markersize=2.5, markeredgewidth=0, alpha=0.5, label="a pair of tokens")
    steps = np.unique(x)
    means = [float(cosine[x == step].mean()) for step in steps]
    axes.plot(steps, means, "-", color=AVERAGE, linewidth=1.1, label="mean at this distance")
    axes.set(xlabel="distance between tokens (pixels)", ylabel="cosine")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0)


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    title = "Similarity of the learned position embeddings"
    plots = "a matrix of {tokens} × {tokens} cosines, and a plot of each cosine against distance"
    return write_caption(
        facts,
        title,
        shown=[_SHOWN, sentences.describe_input_changes(record)],
        reading=[_READING],
        findings=[_describe_findings(facts)],
        limits=[_LIMITS],
        alternative=[f"{title}: {plots}.", _describe_order(facts)],
        short=([_SHORT], [_describe_order(facts), _NEAREST], []),
    )


_SHOWN = (
    "Left: <cosine> for every two of the {tokens} tokens' position embeddings, <e> of {embedding_dim} numbers each; "
    "the tokens, of {box_height} × {box_width} pixels, are in reading order.",
    "The grey diagonal is the similarity of each token to itself; the scale runs from {min_cosine:.2f} to "
    "{max_cosine:.2f}, the least and the largest of all others. The class token is excluded.",
    "Right: the same {pairs} cosines against the distance between the centres of the two tokens, and their mean at "
    "each distance.",
)
_SHORT = (
    "Cosines between the position embeddings of {tokens} tokens, as a matrix and against distance; the class token is "
    "excluded. Dark near the diagonal and falling on the right means that nearby tokens have similar positions."
)
_NEAREST = (
    "The nearest tokens ({nearest_distance:.1f} pixels) have a mean cosine of {nearest_cosine:.2f}, the farthest "
    "({farthest_distance:.1f} pixels) one of {farthest_cosine:.2f}."
)
_READING = (
    "If the model has learned the locations of its tokens, nearby tokens are similar: dark next to the diagonal, and "
    "falling on the right.",
    "Cosines of random directions would be near <zero>.",
)


def _describe_findings(facts: Facts) -> Iterator[str]:
    yield _describe_order(facts)
    yield _NEAREST
    yield "The most similar are tokens {most_similar_first} and {most_similar_second}, with {max_cosine:.2f}."
    yield (
        "For {nearest_matches} of {tokens} tokens the most similar token is one of the nearest; by chance it would be "
        "{expected_matches:.1f}."
    )


def _describe_order(facts: Facts) -> str:
    correlation, threshold = facts["rank_correlation"], facts["position_correlation"]
    order = "Similarity is not ordered by distance"
    if correlation <= -threshold:
        order = "The nearer two tokens are, the more similar are their positions"
    elif correlation >= threshold:
        order = "The farther apart two tokens are, the more similar are their positions"
    decimals = distinguishing_decimals(abs(correlation), threshold)
    return order + (
        f" (the rank correlation between cosine and distance is {{rank_correlation:.{decimals}f}}; ordered means at "
        "least {position_correlation} in absolute value)."
    )
