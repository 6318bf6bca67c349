"""Whether the numbers of a learned table of positions are added before the logits are divided by √d."""

from __future__ import annotations

from collections.abc import Mapping

from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_CLOSE = 1e-6
_FEWEST = 4  # differences that cannot all be those of a table by chance


def is_scaled(tables: Mapping[str, Array], heads: int, width: int, bias: Array) -> bool:
    """Whether a bias (H, N, M) is 1/√d times numbers of a table with a column or row for each head.

    The last query sees every key, also in a causal layer. What is known of its bias is how it differs between keys.
    """
    steps = np.diff(bias[:, -1], axis=-1)
    if np.count_nonzero(np.abs(steps) > _CLOSE) < _FEWEST:
        return False
    by_head = [np.moveaxis(table, axis, 0) for table in tables.values() for axis in _axes_of_heads(table, heads)]
    fits = [[_holds(numbers, factor * steps) for factor in (1.0, width**0.5)] for numbers in by_head]
    return any(scaled for _, scaled in fits) and not any(plain for plain, _ in fits)


def _axes_of_heads(table: Array, heads: int) -> list[int]:
    return [axis for axis, side in enumerate(table.shape) if side == heads and table.ndim > 1]


def _holds(numbers: Array, steps: Array) -> bool:
    """Whether each step of a head (H, M - 1) is the difference of two of its numbers."""
    for own, of_head in zip(numbers.reshape(len(numbers), -1), steps, strict=True):
        differences = np.sort((own[:, None] - own).ravel())
        places = np.searchsorted(differences, of_head).clip(1, len(differences) - 1)
        nearest = np.minimum(np.abs(differences[places] - of_head), np.abs(differences[places - 1] - of_head))
        if (nearest > _CLOSE).any():
            return False
    return True
