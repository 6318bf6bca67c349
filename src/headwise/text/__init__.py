"""Statements (a template and its values), formulae, and their rendering as text, Markdown, LaTeX and HTML."""

from headwise.text.formulae import FORMULAE, Formula, get_formula
from headwise.text.numbers import (
    capitalize_first,
    distinguishing_decimals,
    format_number,
    join_with_and,
    pluralize,
    round_down,
    round_up,
    scientific,
)
from headwise.text.statement import Statement, as_html, as_latex, as_markdown, as_text

__all__ = [
    "FORMULAE",
    "Formula",
    "Statement",
    "as_html",
    "as_latex",
    "as_markdown",
    "as_text",
    "capitalize_first",
    "distinguishing_decimals",
    "format_number",
    "get_formula",
    "join_with_and",
    "pluralize",
    "round_down",
    "round_up",
    "scientific",
]
