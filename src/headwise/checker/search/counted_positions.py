"""Positions that are counted with a padding mask, so that tokens before an item's first one take none."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.reference.definition import rotated_halves, rotated_neighbours
from headwise.checker.reference.stages import SLOPES, Slopes, Turn
from headwise.checker.reference.state import Change, Trace, configurable
from headwise.checker.user_code.numpy_guard import np

_BASES = (1e4, 5e5, 1e6)
_OF_HIDDEN = (1, 0, None)  # the position of a hidden token; None: that of the last visible one before it


def forms_of_counted_positions(
    convention: CallingConvention, documentation: Documentation
) -> tuple[str, tuple[Change, ...]]:
    """The reference with positions that code may count with a mask of keys, and the convention that they are."""
    interface, code = convention.interface, documentation.code_with_helpers
    of_keys = "padding" in interface.takes or ("mask" in interface.takes and interface.key_mask)
    if not of_keys or not re.search(r"\bcumsum\(", code):
        return "", ()
    if re.search(r"\bcos\(|polar\(", code):
        forms = product((rotated_halves, rotated_neighbours), _BASES, _OF_HIDDEN)
        return "rope", tuple({"+rotate": _rotated(turn, base, hidden)} for turn, base, hidden in forms)
    return "alibi", tuple({"+bias": _biased(own, hidden)} for own, hidden in product(SLOPES, _OF_HIDDEN[1:]))


def _counted(t: Trace, hidden: int | None) -> Any:
    """The positions of keys, (B, 1, M)."""
    visible = t.case.get("padding", t.case.get("mask"))
    if visible is None or visible.shape[1:3] != (1, 1):
        return np.arange(t.k.shape[-2])[None, None]
    positions = visible[:, 0].cumsum(axis=-1) - 1
    return positions if hidden is None else np.where(visible[:, 0], positions, hidden)


@configurable
def _rotated(t: Trace, turn: Turn, base: float, hidden: int | None) -> None:
    d = t.q.shape[-1]
    angles = _counted(t, hidden)[..., None] * base ** (-np.arange(0, d, 2) / d)
    t.q, t.k = (turn(a, np.cos(angles), np.sin(angles)) for a in (t.q, t.k))


@configurable
def _biased(t: Trace, slopes_of: Slopes, hidden: int | None) -> None:
    """Add the positions of keys times the slopes, which falls with the distance of keys before the query."""
    t.s = t.s + slopes_of(t.s.shape[1]) * _counted(t, hidden)[..., None, :]
