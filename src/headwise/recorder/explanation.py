"""Why the weights of a layer do not reproduce its output: a mistake of the checker's catalogue, if one explains it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from headwise.checker.catalogue import CATALOGUE, Mistake
from headwise.checker.reference import build, evaluate
from headwise.recorder.key_mask import KeyMask
from headwise.shapes import Array

_LARGEST = 2**20  # logits of one item for which every mistake of the catalogue is tried


def find_mistake(
    q: Array, k: Array, v: Array, output: Array, mask: KeyMask | None, tolerance: float, **rule: Any
) -> Mistake | None:
    """The first mistake of the catalogue with which attention gives the output (B, H, N, e); None if none does.

    q is (B, H, N, d), k (B, G, M, d), v (B, G, M, e); the tolerance is relative to the largest output, and `rule` has
    scale, softcap and bias as the reference takes them.
    """
    if not q.size or q[0, ..., 0].size * k.shape[2] > _LARGEST or output.shape[:3] != q.shape[:3]:
        return None
    case = {"q": q[:1], "k": k[:1], "v": v[:1], **{name: value for name, value in rule.items() if value is not None}}
    largest = float(np.abs(output[:1]).max(initial=0)) or 1.0
    for arguments in _masked(mask, *q.shape[2:3], *k.shape[2:3]):
        for mistake in CATALOGUE.values():
            for change in mistake.changes:
                outcome = evaluate({**case, **arguments}, build([change]))
                if outcome is None or outcome.output.shape != output[:1].shape:
                    continue
                if np.abs(outcome.output - output[:1]).max(initial=0) <= tolerance * largest:
                    return mistake
    return None


def _masked(mask: KeyMask | None, n: int, m: int) -> Iterator[dict[str, Any]]:
    """The mask as arguments of the reference: as causal, if that is what it is, and as an array."""
    if mask is None:
        yield {}
        return
    rows = mask.rows(np.arange(n))[:1]
    for align in ("start", "end"):
        causal = KeyMask.from_rule((1, 1, n, m), causal=True, align="start" if align == "start" else "end")
        if causal is not None and np.array_equal(np.broadcast_to(causal.rows(np.arange(n)), rows.shape), rows):
            yield {"causal": True, "align": align}
    yield {"mask": rows}
