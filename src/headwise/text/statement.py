"""Statements: sentences whose every number is a value that was measured, with formulae that can be spelled four ways.

A template holds no digit of its own. Numbers come in as ``{name:format}``, formulae as ``<name>`` from
`headwise.text.formulae`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

from headwise.text.formulae import FORMULAE, Formula

__all__ = [
    "Statement",
    "as_html",
    "as_latex",
    "as_markdown",
    "as_text",
    "join_with_and",
    "pluralize",
    "round_down",
    "round_up",
    "scientific",
]


_LATEX = str.maketrans(
    {
        **{own: "\\" + own for own in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "×": r"$\times$",
        "−": "$-$",
        "±": r"$\pm$",
        "°": r"$^{\circ}$",
        "–": "--",
        "…": r"\ldots{}",
        "’": "'",
    }
)

_SMALL = -4  # a number of a lower power of ten is written with it
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARK = re.compile(r"<([^<>]+)>")


@dataclass(frozen=True)
class Statement:
    """A sentence and the measured values in it.

    Examples
    --------
    >>> share = Statement("{share:.0%} of <class row> is on ink.", {"share": 0.25})
    >>> as_text(share)
    '25% of A(l,h)[0, m] is on ink.'
    """

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def spelled(self, formula: Callable[[Formula], str], words: Callable[[str], str] = str) -> str:
        """The sentence, formulae spelled by one function and all between them by another."""
        pieces = []
        for i, piece in enumerate(_MARK.split(self.template)):
            pieces.append(formula(FORMULAE[piece]) if i % 2 else words(piece.format(**self.values)))
        return "".join(pieces)


def pluralize(number: int, thing: str) -> str:
    """A number of things, in the singular if it is one.

    Examples
    --------
    >>> pluralize(1, "run"), pluralize(3, "run")
    ('1 run', '3 runs')
    """
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def join_with_and(names: Iterable[str]) -> str:
    """Names as in a sentence.

    Examples
    --------
    >>> join_with_and(["one", "two", "three"]), join_with_and(["one"]), join_with_and([])
    ('one, two and three', 'one', '')
    """
    *most, last = [*names] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def scientific(value: float) -> str:
    """A deviation that should be zero, by its order of magnitude, rounded up.

    Examples
    --------
    >>> scientific(4.4e-16), scientific(0.0)
    ('5×10⁻¹⁶', '0')
    """
    return _raised(_rounded(value, 1, ROUND_CEILING)) if value else "0"


def round_down(value: float, digits: int = 2) -> str:
    """A bound from below, with so many significant digits: rounded down, so that it stays true.

    Examples
    --------
    >>> round_down(0.0389), round_down(12.6), round_down(0.00002)
    ('0.038', '12', '2.0×10⁻⁵')
    """
    return _plain(_rounded(value, digits, ROUND_FLOOR))


def round_up(value: float, digits: int = 2) -> str:
    """A bound from above, with so many significant digits: rounded up, so that it stays true.

    Examples
    --------
    >>> round_up(0.00173, 1), round_up(1.101, 3)
    ('0.002', '1.11')
    """
    return _plain(_rounded(value, digits, ROUND_CEILING))


def _rounded(value: float, digits: int, how: str) -> Decimal:
    # twelve digits first: what a float holds beyond them is not meant
    return Context(prec=digits, rounding=how).create_decimal(f"{value:.{max(12, digits)}e}")


def _plain(value: Decimal) -> str:
    return f"{value:f}" if value == 0 or value.adjusted() >= _SMALL else _raised(value)


def _raised(value: Decimal) -> str:
    digits, power = f"{value:e}".split("e")
    return f"{digits}×10{str(int(power)).translate(_RAISED)}"


def as_text(statement: Statement) -> str:
    """For a terminal, and for alternative text."""
    return statement.spelled(lambda formula: formula.text)


def as_markdown(statement: Statement) -> str:
    """With formulae between dollar signs."""
    return statement.spelled(lambda formula: f"${formula.tex}$")


def as_latex(statement: Statement) -> str:
    r"""For a paper: formulae between dollar signs, and in the words nothing that LaTeX would take for its own.

    Examples
    --------
    >>> print(as_latex(Statement("{share:.0%} of <class row> & more", {"share": 0.25})))
    25\% of $A^{(l,h)}_{0,m}$ \& more
    """
    return statement.spelled(lambda formula: f"${formula.tex}$", lambda words: words.translate(_LATEX))


def as_html(statement: Statement) -> str:
    """With formulae in MathML, which needs no script."""
    from latex2mathml.converter import convert

    return statement.spelled(lambda formula: str(convert(formula.tex)), html.escape)
