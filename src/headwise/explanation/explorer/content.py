"""What the explorer's page shows of one image: every view of its weights, measured and described.

A view is a matrix of attention weights: those of one head, the mean over a layer's heads or over all heads, or rollout.
Numbers are passed on as whole multiples of the last digit shown, so that the page prints what the library computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from headwise.figures import AttentionRecord, CaptionedFigure
from headwise.figures.measurements import nan_mean, normalize_or_nan
from headwise.metrics.concentration import effective_number, entropy
from headwise.metrics.rollout import rollout
from headwise.metrics.spatial import attention_distance, token_centers, weight_on_foreground
from headwise.shapes import Array
from headwise.text import Statement, as_html

__all__ = ["DECIMALS", "MEASURES", "Measure", "build_views", "image_content", "measure_all", "to_fixed_point"]

DECIMALS = 3  # of a weight


class Measure(NamedTuple):
    """A measure of each token's row of a view: its name, its unit, and the number of decimals shown."""

    name: str
    unit: str
    decimals: int


# all but the last two are of the weights on the image's tokens, normalised to sum to one without the class token
MEASURES = {
    "entropy": Measure("entropy", "bits", 2),
    "effective": Measure("effective number of tokens", "", 1),
    "distance": Measure("mean distance", "pixels", 1),
    "ink": Measure("weight on ink", "%", 1),
    "class": Measure("weight on the class token", "%", 1),
    "itself": Measure("weight on itself", "%", 1),
}


def build_views(weights: Array) -> dict[str, Array]:
    """Every matrix that the page can show, by its name in a link.

    Parameters
    ----------
    weights : ndarray of shape (L, H, N, N)

    Returns
    -------
    dict
        ``"1.3"`` is layer 1, head 3; ``"1.mean"`` the mean over its heads; ``"mean"`` that over all; ``"rollout"``.

    Examples
    --------
    >>> import numpy as np
    >>> list(build_views(np.full((2, 2, 5, 5), 0.2)))
    ['0.0', '0.1', '0.mean', '1.0', '1.1', '1.mean', 'mean', 'rollout']
    """
    views: dict[str, Array] = {}
    for layer, layer_weights in enumerate(weights):
        views |= {f"{layer}.{head}": matrix for head, matrix in enumerate(layer_weights)}
        views[f"{layer}.mean"] = layer_weights.mean(axis=0)
    return views | {"mean": weights.mean(axis=(0, 1)), "rollout": rollout(weights)}


def measure_all(matrices: Array, record: AttentionRecord) -> dict[str, Array]:
    """Each measure of every row of every view.

    Parameters
    ----------
    matrices : ndarray of shape (V, 1 + N, 1 + N)
    record : AttentionRecord

    Returns
    -------
    dict
        By the names in `MEASURES`, arrays (V, 1 + N); NaN for the class token's distance, since it has no location,
        for the weight on ink of an image without any, and for the first four if a token gives the image no weight.
    """
    p = normalize_or_nan(matrices[..., 1:])
    centers = token_centers(record.boxes)
    between = np.linalg.norm(centers[:, None] - centers, axis=-1)
    distance = np.full(matrices.shape[:-1], np.nan)
    distance[:, 1:] = (p[:, 1:] * between).sum(axis=-1)
    ink = (
        weight_on_foreground(p, record.ink, record.boxes) if record.ink.any() else np.full(matrices.shape[:-1], np.nan)
    )
    return {
        "entropy": entropy(p),
        "effective": effective_number(p),
        "distance": distance,
        "ink": 100 * ink,
        "class": 100 * matrices[..., 0],
        "itself": 100 * np.diagonal(matrices, axis1=-2, axis2=-1),
    }


def to_fixed_point(values: Array, decimals: int) -> Any:
    """Whole multiples of the last decimal shown, as nested lists; None for NaN.

    Examples
    --------
    >>> to_fixed_point(np.array([[0.12345, 1.0], [np.nan, -0.00001]]), 3)
    [[123, 1000], [None, 0]]
    """
    rounded = np.rint(np.asarray(values, np.float64) * 10**decimals)
    known = ~np.isnan(rounded)
    whole = np.where(known, rounded, 0).astype(np.int64)
    return whole.tolist() if known.all() else np.where(known, whole, np.array(None)).tolist()


def image_content(record: AttentionRecord) -> dict[str, Any]:
    """One image for the page, as JSON types.

    Parameters
    ----------
    record : AttentionRecord
        With a class token.
    """
    views = build_views(record.weights.astype(np.float64))
    matrices = np.stack(list(views.values()))
    rows = measure_all(matrices, record)
    # without the first part, which describes the printed figure
    parts = list(CaptionedFigure(record).caption.parts.items())[1:]
    return {
        "label": record.label,
        "pixels": to_fixed_point(record.image.ravel() * 255, 0),
        "probabilities": to_fixed_point(record.probabilities, DECIMALS),
        "ranked": np.argsort(-record.probabilities, kind="stable").tolist(),
        "weights": to_fixed_point(matrices.reshape(len(matrices), -1), DECIMALS),
        "rows": {key: to_fixed_point(values, MEASURES[key].decimals) for key, values in rows.items()},
        "means": {key: to_fixed_point(nan_mean(values), MEASURES[key].decimals) for key, values in rows.items()},
        "descriptions": [" ".join(map(as_html, view)) for view in _describe_views(list(views), rows, record)],
        "caption": [[as_html(Statement(heading)), " ".join(map(as_html, part))] for heading, part in parts],
    }


def _describe_views(names: Sequence[str], rows: dict[str, Array], record: AttentionRecord) -> Iterator[list[Statement]]:
    """What the measures of each view show, over all tokens."""
    tokens = record.num_tokens
    uniform = np.full((tokens, tokens), 1 / tokens)
    shared: dict[str, Any] = {
        "tokens": tokens,
        "ink_area": 100 * float(weight_on_foreground(uniform[0], record.ink, record.boxes)),
        "uniform_distance": float(attention_distance(uniform, record.boxes)),
    }
    means = {key: nan_mean(values) for key, values in rows.items()}
    for i, name in enumerate(names):
        opening, position = _opening(name)
        facts = shared | position | {key: float(values[i]) for key, values in means.items()}
        templates = [opening + _concentration(facts)]
        if not np.isnan(facts["ink"]):
            templates.append("Of this, {ink:.1f}% falls on ink, which covers {ink_area:.1f}% of the image.")
        templates.append(
            "The class token receives {class:.1f}% of the attention; {itself:.1f}% stays on the same token."
        )
        yield [Statement(template, facts) for template in templates]


def _concentration(facts: dict[str, Any]) -> str:
    """How concentrated the weights on the image are; tokens that give it none are left out."""
    if np.isnan(facts["effective"]):
        return ": no token gives the image any weight."
    concentration = (
        ": a token's weight on the image has {effective:.1f} effective tokens of {tokens} ({entropy:.2f} bits)"
    )
    if np.isnan(facts["distance"]):
        return concentration + "; the image's own tokens give it no weight."
    return concentration + ", at a mean distance of {distance:.1f} pixels (uniform attention: {uniform_distance:.1f})."


def _opening(view: str) -> tuple[str, dict[str, Any]]:
    """The beginning of a sentence on a view, with the numbers in it."""
    layer, _, head = view.partition(".")
    if view == "mean":
        return "The mean over all layers and heads", {}
    if view == "rollout":
        return "Rollout, the product of attention and residual connections through all layers", {}
    if head == "mean":
        return "Layer {layer}, the mean of its heads", {"layer": int(layer)}
    return "Layer {layer}, head {head}", {"layer": int(layer), "head": int(head)}
