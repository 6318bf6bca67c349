"""The sizes that every transformer has, checked alike."""

from __future__ import annotations

from headwise.errors import ShapeError
from headwise.validation import check_counts

__all__ = ["check_sizes"]


def check_sizes(d_model: int, n_heads: int, **others: int) -> None:
    """Refuse sizes of which no network can be made.

    Raises
    ------
    DataError
        If one is no whole number from 1.
    ShapeError
        If the width cannot be shared out among the heads.

    Examples
    --------
    >>> check_sizes(64, 3, n_layers=2)
    Traceback (most recent call last):
    ...
    headwise.errors.ShapeError: n_heads: expected a divisor of d_model 64 (1, 2, 4, 8, 16, 32, 64); got 3.
    """
    check_counts(d_model=d_model, n_heads=n_heads, **others)
    if d_model % n_heads:
        divisors = ", ".join(str(h) for h in range(1, d_model + 1) if d_model % h == 0)
        raise ShapeError(f"n_heads: expected a divisor of d_model {d_model} ({divisors}); got {n_heads}.")
