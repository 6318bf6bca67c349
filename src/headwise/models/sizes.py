"""The sizes that every transformer has, checked alike."""

from __future__ import annotations

from headwise.errors import ShapeError
from headwise.validation import check_counts

__all__ = ["check_sizes"]


def check_sizes(width: int, heads: int, **others: int) -> None:
    """Refuse sizes of which no network can be made.

    Raises
    ------
    DataError
        If one is no whole number from 1.
    ShapeError
        If the width cannot be shared out among the heads.

    Examples
    --------
    >>> check_sizes(64, 3, depth=2)
    Traceback (most recent call last):
    ...
    headwise.errors.ShapeError: heads: expected a divisor of the width 64 (1, 2, 4, 8, 16, 32, 64); got 3.
    """
    check_counts(width=width, heads=heads, **others)
    if width % heads:
        divisors = ", ".join(str(h) for h in range(1, width + 1) if width % h == 0)
        raise ShapeError(f"heads: expected a divisor of the width {width} ({divisors}); got {heads}.")
