"""Statements in all formats, and every formula."""

import pytest

from headwise.text import FORMULAE, Statement, as_html, as_latex, as_markdown, as_text, get_formula


def test_a_statement_in_four_formats():
    statement = Statement("{share:.0%} & more of <class row> × {name}", {"share": 0.5, "name": "a_b"})
    assert as_text(statement) == "50% & more of A(l,h)[0, m] × a_b"
    assert as_markdown(statement) == "50% & more of $A^{(l,h)}_{0,m}$ × a_b"
    assert as_latex(statement) == r"50\% \& more of $A^{(l,h)}_{0,m}$ $\times$ a\_b"
    page = as_html(statement)
    assert page.startswith("50% &amp; more of <math")
    assert "</math>" in page


@pytest.mark.parametrize("name", FORMULAE)
def test_every_formula_becomes_mathml(name):
    page = as_html(Statement(f"<{name}>"))
    assert page.startswith("<math")
    assert "\\" not in page  # no command that the converter does not know
    assert FORMULAE[name].text


def test_a_letter_needs_no_entry_but_a_misspelt_name_fails():
    assert get_formula("N") == ("N", "N")
    for name in ("class rwo", "NN", "1", ""):
        with pytest.raises(KeyError):
            get_formula(name)
