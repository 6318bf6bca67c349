"""The layout of the cosines and sines that a layer takes as arguments."""

from __future__ import annotations

from dataclasses import replace

from headwise.checker.modules.call import Call, CallError
from headwise.checker.modules.positions import NEIGHBOURS
from headwise.checker.modules.select import Match
from headwise.checker.user_code.numpy_guard import np

_TABLES = {"pair", "cos", "sin", "batch-cos", "batch-sin"}


def call_with_tables(match: Match) -> Call:
    """The call with the angle of a pair in neighbouring places, if its output is only then one of distances."""
    call, model = match.call, match.reading.sizes.model
    if not call.positions or not _TABLES.issuperset(call.positions.values()):
        return call
    rng = np.random.default_rng(0)
    matrices = [stored for matrix in match.reading.weights for stored in matrix.stored]
    call.layer.write({p.name: rng.normal(size=p.shape) / p.shape[-1] ** 0.5 for p in matrices})
    neighbours = replace(call, positions={name: NEIGHBOURS + kind for name, kind in call.positions.items()})
    usual = _depends_on_distances(call, model)
    return neighbours if not usual and _depends_on_distances(neighbours, model) else call


def _depends_on_distances(call: Call, model: int) -> bool:
    """Whether the output is the same where every position is three more."""
    X = np.random.default_rng(1).normal(size=(call.batch, call.count, model))
    try:
        here, there = (replace(call, turn=1.0, first=first)(X) for first in (0, 3))
    except CallError:
        return True
    return bool(np.allclose(here, there, rtol=0, atol=1e-4 * np.abs(here).max(initial=0)))
