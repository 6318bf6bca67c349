"""Numbers and lists in sentences: plurals, enumerations, and rounding that keeps a bound true."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

_MAX_DECIMALS = {"%": 3, "f": 6}  # of a number that would otherwise be shown as nothing or everything
_NOISE = 1e-12  # smaller numbers are rounding errors
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


def capitalize_first(text: str) -> str:
    """The text with a capital as its first letter, and the other letters as they are."""
    return text[:1].upper() + text[1:]


def join_with_and(names: Iterable[str]) -> str:
    """Enumerate names as in a sentence.

    Examples
    --------
    >>> join_with_and(["one", "two", "three"]), join_with_and(["one"]), join_with_and([])
    ('one, two and three', 'one', '')
    """
    *most, last = [*names] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def format_number(value: float, spec: str) -> str:
    """Format a number of a sentence; what is not zero, or not everything, is not rounded to look like it.

    Parameters
    ----------
    value : float
    spec : str
        As in a format string; rounding is extended for those that end in ``%`` or ``f``.

    Examples
    --------
    >>> format_number(0.004, ".0%"), format_number(0.99996, ".1%"), format_number(1.0, ".1%")
    ('0.4%', '99.996%', '100.0%')
    >>> format_number(1e-9, ".0%"), format_number(1 - 1e-9, ".0%")
    ('<0.001%', '>99.999%')
    >>> format_number(-0.5, "+.1f")  # with a minus sign, which is wider than a hyphen
    '−0.5'
    """
    text = _round_visibly(value, spec)
    return f"−{text[1:]}" if text.startswith("-") else text


def _round_visibly(value: float, spec: str) -> str:
    plain = format(value, spec)
    match = re.fullmatch(r"(,?)\.(\d+)([%f])", spec)
    if not match or not math.isfinite(value) or abs(value) < _NOISE:
        return plain
    separator, decimals, kind = match.groups()
    for count in range(int(decimals), _MAX_DECIMALS[kind] + 1):
        text = format(value, f"{separator}.{count}{kind}")
        if not _looks_exact(text, value, kind):
            return text
    last = 10.0 ** -_MAX_DECIMALS[kind]
    if not _looks_exact(plain, value, kind):
        return plain
    return (
        f">{100 - last:.{_MAX_DECIMALS[kind]}f}%"
        if value > last
        else f"<{last:.{_MAX_DECIMALS[kind]}f}{kind.strip('f')}"
    )


def _looks_exact(text: str, value: float, kind: str) -> bool:
    """Whether the text reads as 0, or as 100%, and the value is not."""
    number = float(text.rstrip("%").replace(",", ""))
    return (number == 0 and value != 0) or (kind == "%" and number == 100 and abs(value - 1) > _NOISE)


def distinguishing_decimals(value: float, threshold: float) -> int:
    """How many decimals, at least two, keep a value on its side of a threshold that is stated next to it.

    Examples
    --------
    >>> distinguishing_decimals(0.6984, 0.7), distinguishing_decimals(0.61, 0.7)
    (3, 2)
    """
    for count in range(2, 8):
        if (round(value, count) >= threshold) == (value >= threshold):
            return count
    return 8


def scientific(value: float) -> str:
    """The order of magnitude of an error that should be zero, rounded up.

    Examples
    --------
    >>> scientific(4.4e-16), scientific(0.0)
    ('5×10⁻¹⁶', '0')
    """
    return _with_power(_round(value, 1, ROUND_CEILING)) if value else "0"


def round_down(value: float) -> str:
    """A lower bound with two significant digits, rounded down so that it stays true.

    Examples
    --------
    >>> round_down(0.0389), round_down(12.6), round_down(0.00002)
    ('0.038', '12', '2.0×10⁻⁵')
    """
    return _format(_round(value, 2, ROUND_FLOOR))


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
