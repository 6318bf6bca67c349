"""Checking what is asked for: counts that must be whole and large enough, and names that must come once."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

from headwise.errors import DataError

__all__ = ["check_counts", "check_unique"]


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
