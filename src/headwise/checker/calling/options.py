"""Options of the logits in other forms: functions of indices as in flex attention, and windows as numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headwise.checker.arguments.roles import role_of
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

# what a window given as one number may mean: the window to try, how often its left side is in the number, and how much
# more the number is
WINDOWS: dict[str, tuple[tuple[int, int | None], int, int]] = {
    "count": ((2, None), 1, 1),
    "count-causal": ((2, 0), 1, 1),
    "count-both": ((2, 2), 1, 1),
    "reach": ((2, None), 1, 0),
    "reach-causal": ((2, 0), 1, 0),
    "reach-both": ((2, 2), 1, 0),
    "size-both": ((2, 2), 2, 1),
}


def window_as_number(left: int, meaning: str) -> int:
    """A window that reaches so far to the left, as the number that a function takes."""
    _, times, more = WINDOWS[meaning]
    return times * left + more


def is_function(name: object) -> bool:
    """Whether an argument of this name is a function of a score and its indices, or of the indices alone."""
    return isinstance(name, str) and role_of(name) in ("mask function", "bias function")


def as_function(array: Array, name: str, shape: tuple[int, ...], convert: Callable[[Array], Any]) -> Callable[..., Any]:
    """A mask or a bias as ``mask_mod(b, h, n, m)`` or ``score_mod(score, b, h, n, m)``, or of n and m where it may be.

    `array`: (B, H, N, M), or what broadcasts to it.
    `name`: that of the argument.
    `shape`: (B, H, N, M).
    `convert`: makes the function's own arrays.
    """
    entries = convert(np.array(np.broadcast_to(array, shape)))
    shared = array.shape[:2] == (1, 1)

    def at(indices: tuple[Any, ...]) -> Any:
        if len(indices) == 2 and not shared:
            raise TypeError("it passes no item and no head")
        if not indices:  # of all scores at once
            return entries
        return entries[indices if len(indices) == 4 else (0, 0, *indices)]

    if role_of(name) == "mask function":
        return lambda *indices: at(indices)
    return lambda score, *indices: score + at(indices)
