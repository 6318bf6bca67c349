"""What a prediction depends on: the map that is recommended for the model, next to attention, within bounded time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from headwise.attribution import attribute, cheap_maps, group_tokens, recommended_map
from headwise.attribution.maps import IG_STEPS, SHAPLEY_ORDERS
from headwise.errors import DataError
from headwise.figures import AttentionRecord
from headwise.figures.dependence import Dependence
from headwise.metrics.shapley import EXACT_UP_TO
from headwise.models import Model

_MAX_PLAYERS = 64  # patches are grouped into blocks up to this number if they are removed one at a time
_CHEAP = 6  # forward passes that take as long as attention and a map by one backward pass


def measure_dependence(
    model: Model, input: Any, record: AttentionRecord, *, max_seconds: float | None, audit: Path | str | None = None
) -> Dependence:
    """Compute attention and the recommended map of one input, unless that would take longer than `max_seconds`.

    The map is that of `audit`; see `headwise.attribution.recommended_map`.

    Raises
    ------
    DataError
        If the model has no scores or lacks what the map needs, if the record is not of self-attention over the input's
        tokens, or if the map would take longer.
    """
    if "predict" not in model.capabilities:
        raise DataError("the model has no scores, so there is no prediction to explain")
    tokens = model.tokens(input)
    if not record.is_self_attention or int((~tokens.prefix).sum()) != record.num_tokens:
        raise DataError("the figure is not of self-attention between the tokens of the input")
    recommended = recommended_map(model, audit)
    limit = None if cheap_maps([recommended.map]) else _MAX_PLAYERS
    passes = _forward_passes(recommended.map, len(group_tokens(tokens, limit)))
    if max_seconds is not None and (seconds := passes * _seconds_per_prediction(model, input)) > max_seconds:
        raise DataError(
            f"{recommended.map} takes as long as about {passes:,} predictions, here {seconds:.0f} s and more than "
            f"{max_seconds:.0f} s; if this figure is requested by name, it is computed"
        )
    attribution = attribute(model, input, limit=limit, audit=audit)
    members = attribution.players.members[:, ~tokens.prefix]
    if not (np.isfinite(attribution.attention).all() and np.isfinite(attribution.dependence).all()):
        raise DataError(f"{recommended.map} is not finite for this input")
    maps = attribution.attention, attribution.dependence
    count, confidence, data = recommended.inputs, recommended.confidence or 0.0, recommended.data
    return Dependence(members.argmax(axis=0), *maps, recommended.map, count, confidence, data)


def _seconds_per_prediction(model: Model, input: Any) -> float:
    """The shorter of two runs, because the first may compile or load something."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        model.predict(input)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _forward_passes(name: str, players: int) -> int:
    """About how many forward passes take as long as a map; a backward pass takes as long as two."""
    if name == "Shapley values":
        return int(2**players) if players <= EXACT_UP_TO else SHAPLEY_ORDERS * players
    return _CHEAP + {"leave-one-out": players, "integrated gradients": 3 * IG_STEPS}.get(name, 0)
