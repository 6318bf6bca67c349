"""Checking what is asked for: counts that must be whole and large enough, and names that must come once."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

from headwise.errors import DataError, ShapeError

__all__ = ["check_counts", "check_sizes", "check_unique"]


def check_counts(least: int = 1, /, **given: object) -> None:
    """Refuse what is no whole number from the least one.

    Raises
    ------
    DataError
        If one of the arguments, by the name it is given under, is none.

    Examples
    --------
    >>> check_counts(seeds=3, steps=1)
    >>> check_counts(0, seed=-1)
    Traceback (most recent call last):
    ...
    headwise.errors.DataError: seed: expected 0 or more; got -1.
    """
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise DataError(f"{name}: expected a whole number; got {value!r}.")
        if value < least:
            raise DataError(f"{name}: expected {least} or more; got {value}.")


def check_unique(**given: Sequence[object]) -> None:
    """Refuse what is named twice: what is gathered by name would count double, or hide the other of its name.

    Raises
    ------
    DataError
        If something comes twice.

    Examples
    --------
    >>> check_unique(tables=["wine", "iris", "wine"])
    Traceback (most recent call last):
    ...
    headwise.errors.DataError: tables: expected each once; got wine, iris, wine.
    """
    for name, listed in given.items():
        if len(set(listed)) < len(listed):
            raise DataError(f"{name}: expected each once; got {', '.join(map(str, listed))}.")


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
