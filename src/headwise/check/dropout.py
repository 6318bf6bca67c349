"""Telling dropout from other noise: what is kept is the right number times one factor, and the rest is zero."""

from __future__ import annotations

from headwise.check.calling import Caller
from headwise.check.pinned import np
from headwise.check.probes import revealing
from headwise.check.search import Asked, Explanation, explain

__all__ = ["dropped"]


def dropped(caller: Caller, rng: np.random.Generator) -> Explanation | None:
    """Return what explains the answers beside dropout, or None where dropout does not explain them.

    The values are the identity, so that the output shows the weights; dropout may be on either.
    """
    first, second = ([Asked(p, caller.ask(p.case)) for p in revealing(caller.face, rng)] for _ in range(2))
    answers = [a.reply.output for a in first + second if a.reply.output is not None]
    zeros = [(a == 0).mean() for a in answers if np.isfinite(a).all()]
    if not zeros or not 0.01 < np.mean(zeros) < 0.95:
        return None
    found, left = explain(first, second, _agrees, most=2)
    return None if left else found


def _agrees(explanation: Explanation, asked: Asked) -> bool:
    expected = explanation.answer(asked.probe.case)
    if expected is None or asked.reply.output is None or expected.output.shape != asked.reply.output.shape:
        return False
    kept = asked.reply.output != 0
    if not kept.any() or not np.isfinite(asked.reply.output).all():
        return False
    with np.errstate(all="ignore"):
        factors = asked.reply.output[kept] / expected.output[kept]
    return bool(np.isfinite(factors).all() and factors[0] > 0 and np.ptp(factors) <= 1e-6 * factors[0])
