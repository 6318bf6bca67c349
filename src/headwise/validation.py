"""Validation of arguments: counts, choices, sizes of models, names without duplicates."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from headwise.errors import DataError, ShapeError


def check_counts(least: int = 1, /, **arguments: object) -> None:
    """Raise DataError unless every argument is a whole number of at least `least`.

    Raises DataError with the name of the argument.

    Examples
    --------
    >>> check_counts(seeds=3, steps=1)
    >>> check_counts(0, seed=-1)
    Traceback (most recent call last):
    ...
    headwise.errors.DataError: seed: expected 0 or more; got -1.
    """
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise DataError(f"{name}: expected a whole number; got {value!r}.")
        if value < least:
            raise DataError(f"{name}: expected {least} or more; got {value}.")


def as_number(name: str, value: Any, above: float = -math.inf) -> float:
    """The value of an argument as a finite float.

    Raises DataError if it is not a number, not finite, or not above `above`.

    Examples
    --------
    >>> as_number("softcap", 30)
    30.0
    >>> as_number("softcap", 0, above=0)
    Traceback (most recent call last):
    ...
    headwise.errors.DataError: softcap: expected a finite number above 0; got 0.0.
    """
    try:
        if isinstance(value, str | bytes | bool | np.bool_ | np.ma.MaskedArray) or np.ndim(value):
            raise TypeError
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise DataError(f"{name}: expected a number; got {type(value).__name__}.") from None
    if not math.isfinite(number) or number <= above:
        raise DataError(f"{name}: expected a finite number{' above 0' if above == 0 else ''}; got {number!r}.")
    return number


def check_bools(**arguments: object) -> None:
    """Raise DataError unless every argument is True or False.

    Raises DataError with the name of the argument.
    """
    for name, value in arguments.items():
        if value is not True and value is not False and not isinstance(value, np.bool_):
            raise DataError(f"{name}: expected True or False; got {type(value).__name__}.")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise DataError unless the argument of this name has one of the values."""
    if value not in choices:
        raise DataError(f"{name}: expected one of {', '.join(choices)}; got {value!r}.")


def check_unique(**arguments: Sequence[object]) -> None:
    """Raise DataError if a name appears twice; results are collected by name.

    Raises DataError with the name of the argument.

    Examples
    --------
    >>> check_unique(tables=["wine", "iris", "wine"])
    Traceback (most recent call last):
    ...
    headwise.errors.DataError: tables: expected each once; got wine, iris, wine.
    """
    for name, names in arguments.items():
        if len(set(names)) < len(names):
            raise DataError(f"{name}: expected each once; got {', '.join(map(str, names))}.")


def check_sizes(d_model: int, n_heads: int, **sizes: int) -> None:
    """Check the sizes of a transformer.

    Raises DataError if one is not a whole number of at least 1; ShapeError if H does not divide D.

    Examples
    --------
    >>> check_sizes(64, 3, n_layers=2)
    Traceback (most recent call last):
    ...
    headwise.errors.ShapeError: n_heads: expected a divisor of d_model 64 (1, 2, 4, 8, 16, 32, 64); got 3.
    """
    check_counts(d_model=d_model, n_heads=n_heads, **sizes)
    if d_model % n_heads:
        divisors = ", ".join(str(h) for h in range(1, d_model + 1) if d_model % h == 0)
        raise ShapeError(f"n_heads: expected a divisor of d_model {d_model} ({divisors}); got {n_heads}.")


def is_number(value: Any) -> bool:
    """Whether `float` accepts the value, such as a string that spells a number."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
