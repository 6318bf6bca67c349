"""What the page measures of each token's row of a view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from headwise.figures import AttentionRecord
from headwise.figures.measurements import UNITS, normalize_or_nan
from headwise.metrics import effective_number, entropy, weight_on_foreground
from headwise.shapes import Array


class Measure(NamedTuple):
    """A measure of each token's row of a view: its name, its unit, and the number of decimals shown."""

    name: str
    unit: str
    decimals: int


# entropy, effective number, distance and ink are of the weights on the input's tokens, normalised to sum to one without
# prefix tokens
MEASURES = {
    "entropy": Measure("entropy", "bits", 2),
    "effective": Measure("effective number of tokens", "", 1),
    "distance": Measure("mean distance", "", 1),
    "ink": Measure("weight on ink", "%", 1),
    "class": Measure("", "%", 1),
    "itself": Measure("weight on itself", "%", 1),
}


def measures_of(record: AttentionRecord) -> dict[str, Measure]:
    """The measures that suit a record, with their names and units for it."""
    names = set(MEASURES)
    if not record.is_prefix.any():
        names.remove("class")
    if not record.is_self_attention:
        names -= {"distance", "itself"}
    if record.kind != "image" or record.image.ndim == 3:
        names.remove("ink")
    named = MEASURES | {
        "class": MEASURES["class"]._replace(name=f"weight on {prefix_name(record)}"),
        "distance": MEASURES["distance"]._replace(unit=UNITS[record.kind]),
    }
    return {key: measure for key, measure in named.items() if key in names}


def prefix_name(record: AttentionRecord) -> str:
    """The prefix tokens in words."""
    if record.kind == "text":
        return "special tokens"
    return "the class token" if record.has_class_token and record.is_prefix.sum() == 1 else "prefix tokens"


def measure_views(matrices: Sequence[Array], record: AttentionRecord) -> dict[str, Array]:
    """Each measure of every row of every view (N, M): arrays (V, N) by the names in `MEASURES`.

    They are NaN for a prefix token's distance, since it has no location, for the weight on ink of an image without any,
    and for the first four if a token gives the input no weight.
    """
    rows = [_measure(matrix.astype(np.float64), record) for matrix in matrices]
    return {key: np.stack([row[key] for row in rows]) for key in measures_of(record)}


def _measure(matrix: Array, record: AttentionRecord) -> dict[str, Array]:
    p = normalize_or_nan(matrix[:, record.content])
    bits = entropy(p)
    measured = {"entropy": bits, "effective": effective_number(p)}
    measured["class"] = 100 * matrix[:, record.is_prefix].sum(axis=1)
    if record.is_self_attention:
        measured["itself"] = 100 * np.diagonal(matrix)
        measured["distance"] = np.full(len(matrix), np.nan)
        measured["distance"][record.content] = (p[record.content] * record.token_distances).sum(axis=-1)
    if record.ink.any():
        measured["ink"] = 100 * weight_on_foreground(p, record.ink, record.boxes)
    else:
        measured["ink"] = np.full(len(matrix), np.nan)
    return measured
