"""Numbers and lists in sentences: plurals, enumerations, and rounding that keeps a bound true."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

__all__ = ["join_with_and", "pluralize", "round_down", "round_up", "scientific"]

_MIN_EXPONENT = -4  # smaller numbers are written with a power of ten
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def pluralize(number: int, noun: str) -> str:
    """A number and its noun, singular if the number is one.

    Examples
    --------
    >>> pluralize(1, "run"), pluralize(3, "run")
    ('1 run', '3 runs')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def join_with_and(names: Iterable[str]) -> str:
    """Enumerate names as in a sentence.

    Examples
    --------
    >>> join_with_and(["one", "two", "three"]), join_with_and(["one"]), join_with_and([])
    ('one, two and three', 'one', '')
    """
    *most, last = [*names] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def scientific(value: float) -> str:
    """The order of magnitude of an error that should be zero, rounded up.

    Examples
    --------
    >>> scientific(4.4e-16), scientific(0.0)
    ('5×10⁻¹⁶', '0')
    """
    return _with_power(_round(value, 1, ROUND_CEILING)) if value else "0"


def round_down(value: float, digits: int = 2) -> str:
    """A lower bound with this many significant digits, rounded down so that it stays true.

    Examples
    --------
    >>> round_down(0.0389), round_down(12.6), round_down(0.00002)
    ('0.038', '12', '2.0×10⁻⁵')
    """
    return _format(_round(value, digits, ROUND_FLOOR))


def round_up(value: float, digits: int = 2) -> str:
    """An upper bound with this many significant digits, rounded up so that it stays true.

    Examples
    --------
    >>> round_up(0.00173, 1), round_up(1.101, 3)
    ('0.002', '1.11')
    """
    return _format(_round(value, digits, ROUND_CEILING))


def _round(value: float, digits: int, rounding: str) -> Decimal:
    # to twelve digits first: further digits of a float are noise, and would be rounded away from the bound
    return Context(prec=digits, rounding=rounding).create_decimal(f"{value:.{max(12, digits)}e}")


def _format(value: Decimal) -> str:
    return f"{value:f}" if value == 0 or value.adjusted() >= _MIN_EXPONENT else _with_power(value)


def _with_power(value: Decimal) -> str:
    digits, power = f"{value:e}".split("e")
    return f"{digits}×10{str(int(power)).translate(_SUPERSCRIPTS)}"
