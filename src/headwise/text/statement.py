"""Statements: sentences whose numbers are measured values, rendered as plain text, Markdown, LaTeX or HTML.

A template contains no digits. Numbers are inserted by ``{name:format}``, and formulae by ``<name>`` from
`headwise.text.formulae`.
"""

from __future__ import annotations

import html
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from headwise.text.formulae import Formula, get_formula
from headwise.text.numbers import format_number

_LATEX = str.maketrans(
    {
        **{char: "\\" + char for char in "&%$#_{}"},
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
_FORMULA = re.compile(r"<([^<>]+)>")


class _Formatter(string.Formatter):
    """Formats numbers by `format_number`."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return format_number(value, format_spec) if isinstance(value, float) else str(format(value, format_spec))


_FORMATTER = _Formatter()


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

    def render(self, formula: Callable[[Formula], str], text: Callable[[str], str] = str) -> str:
        """Render the formulae by one function and the text between them by another."""
        parts = []
        for i, part in enumerate(_FORMULA.split(self.template)):
            parts.append(formula(get_formula(part)) if i % 2 else text(_FORMATTER.vformat(part, (), self.values)))
        return "".join(parts)


def as_text(statement: Statement) -> str:
    """Render for a terminal, or as alternative text."""
    return statement.render(lambda formula: formula.text)


def as_markdown(statement: Statement) -> str:
    """Render with formulae between dollar signs."""
    return statement.render(lambda formula: f"${formula.tex}$")


def as_latex(statement: Statement) -> str:
    r"""Render for a paper: formulae between dollar signs, and special characters escaped.

    Examples
    --------
    >>> print(as_latex(Statement("{share:.0%} of <class row> & more", {"share": 0.25})))
    25\% of $A^{(l,h)}_{0,m}$ \& more
    """
    return statement.render(lambda formula: f"${formula.tex}$", lambda text: text.translate(_LATEX))


def as_html(statement: Statement) -> str:
    """Render with formulae in MathML, which needs no script."""
    return statement.render(_mathml, html.escape)


@lru_cache(maxsize=256)
def _mathml(formula: Formula) -> str:
    from latex2mathml.converter import convert

    return str(convert(formula.tex))
