"""What the explorer's page shows of one image: every view of its weights, measured and said, ready to be printed.

A view is a matrix of attention weights: one head's, the mean over a layer's heads, over all, or their rollout. Numbers
leave here as whole multiples of the last digit that is shown, so that what a page prints is what the library computed.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from headwise.figures.captions.maps import maps_caption
from headwise.figures.maps import AttentionRecord
from headwise.figures.nan_stats import among_tokens, nan_mean
from headwise.metrics.concentration import effective_number, entropy
from headwise.metrics.rollout import rollout
from headwise.metrics.spatial import attention_distance, token_centers, weight_on_foreground
from headwise.shapes import Array
from headwise.text.formulae import Formula
from headwise.text.statement import Statement

__all__ = ["DECIMALS", "MEASURES", "Measure", "build_views", "digit_content", "measure_all", "to_fixed_point"]

DECIMALS = 3  # of a weight


class Measure(NamedTuple):
    """A number about each token's row of a view: its name, its unit, and how many decimals of it are shown."""

    name: str
    unit: str
    decimals: int


# all but the last two are of what a token gives the image's tokens, made to sum to one without the class token
MEASURES = {
    "entropy": Measure("entropy", "bits", 2),
    "effective": Measure("effective number of tokens", "", 1),
    "distance": Measure("mean distance", "pixels", 1),
    "ink": Measure("share on ink", "%", 1),
    "class": Measure("weight on the class token", "%", 1),
    "itself": Measure("weight on itself", "%", 1),
}


def build_views(weights: Array) -> dict[str, Array]:
    """Every matrix that can be looked at, by its name in a link.

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
    found: dict[str, Array] = {}
    for layer, of_layer in enumerate(weights):
        found |= {f"{layer}.{head}": matrix for head, matrix in enumerate(of_layer)}
        found[f"{layer}.mean"] = of_layer.mean(axis=0)
    return found | {"mean": weights.mean(axis=(0, 1)), "rollout": rollout(weights)}


def measure_all(matrices: Array, drawn: AttentionRecord) -> dict[str, Array]:
    """Each measure of every row of every view.

    Parameters
    ----------
    matrices : ndarray of shape (V, 1 + N, 1 + N)
    drawn : Drawn

    Returns
    -------
    dict
        By the names in `MEASURES`, arrays (V, 1 + N); NaN for the class token's distance, since it has no place, for
        the share on ink of an image without any, and for the first four where a token gives the image no weight.
    """
    p = among_tokens(matrices[..., 1:])
    places = token_centers(drawn.boxes)
    between = np.linalg.norm(places[:, None] - places, axis=-1)
    distance = np.full(matrices.shape[:-1], np.nan)
    distance[:, 1:] = (p[:, 1:] * between).sum(axis=-1)
    ink = weight_on_foreground(p, drawn.ink, drawn.boxes) if drawn.ink.any() else np.full(matrices.shape[:-1], np.nan)
    return {
        "entropy": entropy(p),
        "effective": effective_number(p),
        "distance": distance,
        "ink": 100 * ink,
        "class": 100 * matrices[..., 0],
        "itself": 100 * np.diagonal(matrices, axis1=-2, axis2=-1),
    }


def to_fixed_point(values: Array, decimals: int) -> Any:
    """Whole multiples of the last decimal shown, as nested lists; None for what is not a number.

    Examples
    --------
    >>> to_fixed_point(np.array([[0.12345, 1.0], [np.nan, -0.00001]]), 3)
    [[123, 1000], [None, 0]]
    """
    rounded = np.rint(np.asarray(values, np.float64) * 10**decimals)
    known = ~np.isnan(rounded)
    whole = np.where(known, rounded, 0).astype(np.int64)
    return whole.tolist() if known.all() else np.where(known, whole, np.array(None)).tolist()


def digit_content(drawn: AttentionRecord) -> dict[str, Any]:
    """One image for the page, as JSON can hold it.

    Parameters
    ----------
    drawn : Drawn
        With a class token.
    """
    named = build_views(drawn.weights.astype(np.float64))
    matrices = np.stack(list(named.values()))
    rows = measure_all(matrices, drawn)
    parts = list(maps_caption(drawn).parts.items())[
        1:
    ]  # the first describes the printed figure; the page says what it shows
    return {
        "label": drawn.label,
        "pixels": to_fixed_point(drawn.image.ravel() * 255, 0),
        "probabilities": to_fixed_point(drawn.probabilities, DECIMALS),
        "ranked": np.argsort(-drawn.probabilities, kind="stable").tolist(),
        "weights": to_fixed_point(matrices.reshape(len(matrices), -1), DECIMALS),
        "rows": {key: to_fixed_point(values, MEASURES[key].decimals) for key, values in rows.items()},
        "means": {key: to_fixed_point(nan_mean(values), MEASURES[key].decimals) for key, values in rows.items()},
        "said": [" ".join(map(_html, said)) for said in _said(list(named), rows, drawn)],
        "caption": [[_html(Statement(heading)), " ".join(map(_html, said))] for heading, said in parts],
    }


def _said(names: Sequence[str], rows: dict[str, Array], drawn: AttentionRecord) -> Iterator[list[Statement]]:
    """What the numbers say about each view, over all tokens."""
    tokens = len(drawn.boxes)
    even = np.full((tokens, tokens), 1 / tokens)
    about: dict[str, Any] = {
        "tokens": tokens,
        "area": 100 * float(weight_on_foreground(even[0], drawn.ink, drawn.boxes)),
        "even_distance": float(attention_distance(even, drawn.boxes)),
    }
    means = {key: nan_mean(values) for key, values in rows.items()}
    for i, name in enumerate(names):
        opening, place = _opening(name)
        facts = about | place | {key: float(values[i]) for key, values in means.items()}
        templates = [opening + _spread(facts)]
        if not np.isnan(facts["ink"]):
            templates.append("Of this, {ink:.1f}% falls on ink, which covers {area:.1f}% of the image.")
        templates.append(
            "The class token receives {class:.1f}% of the attention; {itself:.1f}% is what tokens keep for themselves."
        )
        yield [Statement(template, facts) for template in templates]


def _spread(facts: dict[str, Any]) -> str:
    """How a view's tokens share out what they give the image; some give it nothing, and are left out."""
    if np.isnan(facts["effective"]):
        return ": no token gives the image any weight."
    said = (
        ": a token spreads what it gives the image over {effective:.1f} of {tokens} tokens in effect "
        "({entropy:.2f} bits)"
    )
    if np.isnan(facts["distance"]):
        return said + "; the image's own tokens give it nothing."
    return said + ", at a mean distance of {distance:.1f} pixels (an even spread: {even_distance:.1f})."


def _opening(view: str) -> tuple[str, dict[str, Any]]:
    """How a sentence about a view begins, with the numbers in that."""
    layer, _, head = view.partition(".")
    if view == "mean":
        return "The mean over all layers and heads", {}
    if view == "rollout":
        return "Rollout, attention multiplied through all layers, half of each passing it by", {}
    if head == "mean":
        return "Layer {layer}, the mean of its heads", {"layer": int(layer)}
    return "Layer {layer}, head {head}", {"layer": int(layer), "head": int(head)}


def _html(statement: Statement) -> str:
    return statement.spelled(_mathml, html.escape)


@lru_cache(maxsize=256)
def _mathml(formula: Formula) -> str:
    """A formula is spelled once, however many captions hold it."""
    from latex2mathml.converter import convert

    return str(convert(formula.tex))
