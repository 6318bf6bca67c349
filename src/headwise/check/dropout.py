"""Telling dropout from other noise: what is kept is the right number times one factor, and the rest is zero."""

from __future__ import annotations

from headwise.check.calling import Caller
from headwise.check.pinned import np
from headwise.check.probes import revealing
from headwise.check.search import Asked, Explanation, explain

__all__ = ["dropped"]

_ROUNDING = 1e-9


def dropped(caller: Caller, rng: np.random.Generator) -> Explanation | None:
    """Return what explains the answers beside dropout, or None where dropout does not explain them.

    The values are the identity, so that the output shows the weights; dropout may be on either.
    """
    first, second = ([Asked(p, caller.ask(p.case)) for p in revealing(caller.face, rng)] for _ in range(2))
    if not any(a.reply.output is not None for a in first):
        return None
    found, left = explain(first, second, _agrees, most=2)
    if left:
        return None
    share = [_dropped_share(found, a) for a in first + second if a.reply.output is not None]
    return found if float(np.mean(share)) > 0.01 else None


def _agrees(explanation: Explanation, asked: Asked) -> bool:
    """Whether everything that was kept is the right number times one factor."""
    expected, got = explanation.answer(asked.probe.case), asked.reply.output
    if expected is None or got is None or expected.output.shape != got.shape or not np.isfinite(got).all():
        return False
    kept = np.abs(got) > _ROUNDING
    if not kept.any():
        return False
    with np.errstate(all="ignore"):
        factors = got[kept] / expected.output[kept]
    return bool(np.isfinite(factors).all() and factors[0] > 0 and np.ptp(factors) <= 1e-6 * factors[0])


def _dropped_share(explanation: Explanation, asked: Asked) -> float:
    """How much is zero that should not be."""
    expected, got = explanation.answer(asked.probe.case), asked.reply.output
    assert expected is not None
    assert got is not None
    return float(((np.abs(got) <= _ROUNDING) & (np.abs(expected.output) > 1e-6)).mean())
