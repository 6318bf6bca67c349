"""What the explorer's page shows of one input: every view of its weights, measured and described.

Numbers are passed on as whole multiples of the last digit shown, so that the page prints what the library computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headwise.explanation.explorer.display import displayed_input, token_names
from headwise.explanation.explorer.fixed_point import pack_weights, to_fixed_point, to_units
from headwise.explanation.explorer.measures import measure_views, measures_of
from headwise.explanation.explorer.views import build_views, choose_opening, describe_views
from headwise.figures import AttentionRecord, CaptionedFigure
from headwise.figures.gallery import default_kind
from headwise.figures.measurements import nan_mean
from headwise.metrics.roles import ROLES
from headwise.shapes import Array
from headwise.text import Statement, as_html, as_text

DECIMALS = 3  # of a probability, and of a weight on up to a hundred tokens
_FEW_KEYS = 100
_COMMON_SCALE = 64  # keys, up to which all views share one scale, from 0 to 1
_QUANTILE = 0.999  # at which other scales end
_MAX_ROWS = 150_000  # of all views, up to which each has its measures; of more, only the means of views are stored
_MAX_CLASSES = 20  # whose probabilities the page shows


def input_content(record: AttentionRecord, budget: int) -> dict[str, Any]:
    """One input for the page, as JSON types and integer arrays.

    The weights take at most `budget` bytes: the smallest are left out, and the page says which.
    """
    views = build_views(record.weights)
    matrices = list(views.values())
    rows, measures = measure_views(matrices, record), measures_of(record)
    opening = choose_opening(record)
    keys, queries = token_names(record)
    has_few_keys = record.weights.shape[-1] <= _FEW_KEYS
    has_rows = len(matrices) * len(matrices[0]) <= _MAX_ROWS
    packed = pack_weights(matrices, DECIMALS if has_few_keys else DECIMALS + 1, budget)
    return {
        "kind": record.kind,
        "layers": record.weights.shape[0],
        "heads": record.weights.shape[1],
        "views": list(views),
        "keys": keys,
        "queries": None if record.is_self_attention else queries,
        "prefix": np.flatnonzero(record.is_prefix).tolist(),
        "labels": [record.word(key).strip() for key in range(len(keys))],
        "causal": record.is_causal,
        "decimals": packed.decimals,
        "least": packed.least,
        "weights": {"counts": packed.counts, "steps": packed.steps, "values": packed.values},
        "ends": _scale_ends(matrices, packed.decimals),
        "opening": {"view": opening.view, "from": opening.query, "reason": as_html(opening.reason)},
        "roles": _roles(record),
        "measures": {key: measure._asdict() for key, measure in measures.items()},
        "rows": {key: to_units(values, measures[key].decimals) for key, values in rows.items() if has_rows},
        "means": {key: to_units(nan_mean(values), measures[key].decimals) for key, values in rows.items()},
        "descriptions": [" ".join(map(as_html, view)) for view in describe_views(list(views), rows, record)],
        **_prediction(record),
        **_caption(record),
        **displayed_input(record),
    }


def _scale_ends(matrices: list[Array], decimals: int) -> list[int]:
    """The weight at which each view's colour scale ends, in units of the last decimal."""
    if matrices[0].shape[-1] <= _COMMON_SCALE:
        return [10**decimals] * len(matrices)
    ends = [float(np.quantile(matrix, _QUANTILE)) for matrix in matrices]
    return [max(1, int(np.ceil(end * 10**decimals))) for end in ends]


def _roles(record: AttentionRecord) -> list[dict[str, Any]]:
    """The roles that heads have, the narrowest first, with the views of these heads."""
    roles = record.roles
    return [
        {
            "name": name,
            "phrase": record.role_name(name),
            "statistic": ROLES[name].statistic,
            "source": ROLES[name].source,
            "views": [f"{layer}.{head}" for layer, head in np.argwhere(roles.main == index).tolist()],
        }
        for index, name in enumerate(roles.names)
        if (roles.main == index).any()
    ]


def _prediction(record: AttentionRecord) -> dict[str, Any]:
    """The most probable classes with their probabilities; empty without any."""
    p = record.probabilities
    order = np.argsort(-p, kind="stable")[:3].tolist()
    names = dict(zip(order, record.top_names, strict=False))
    units = to_fixed_point(p, DECIMALS)
    return {
        "label": record.label,
        "top": [
            [names.get(index, str(index)), as_text(Statement("{p:.1%}", {"p": float(p[index])}))]
            for index in order
            if index in names or not names
        ],
        "correct": None if record.label < 0 or not len(p) else bool(order[0] == record.label),
        "probabilities": units if len(p) <= _MAX_CLASSES else [],
        "next_token": record.next_token,
    }


def _caption(record: AttentionRecord) -> dict[str, Any]:
    """The caption of the figure that suits the input best, without the part that describes the figure."""
    figure = CaptionedFigure(record, default_kind(record))
    parts = list(figure.caption.parts.items())[1:]
    return {
        "caption_title": as_html(figure.caption.title),
        "caption": [[as_html(Statement(heading)), " ".join(map(as_html, part))] for heading, part in parts],
    }
