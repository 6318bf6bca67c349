"""Documents as LaTeX: what pdfLaTeX makes of every kind of block, of Greek names and of wide tables."""

import shutil
import subprocess

import pytest

from headwise.document import Code, Derivation, Document, Paragraph, Section, Step, Table, as_latex_document
from headwise.document.latex import character_definitions
from headwise.text import Statement

LINE = "Ω_q @ X / √d  # " + "x" * 90


def document():
    wide = Table(Statement("Attention weights of Ω_q."), ("", *map(str, range(40))), (("0", *["0.1234"] * 40),), "wide")
    words = Table(Statement("Answers."), tuple("abcdefg"), (("50% of {x} & β_q² ≈ 2×10⁻¹⁶",) * 7,), "words", words=True)
    steps = (Step("Ж is no letter of ours; “q” is.", r"q = W_q x", True), Step("Naïve — and so on…"))
    blocks = (Paragraph(Statement("Share {share:.0%}.", {"share": 0.5})), wide, words, Derivation(*steps))
    code = Code(Statement("Code"), LINE)
    sections = (Section("one", "One_head", (*blocks, code), (Section("two", "Inner", number="1.1"),), "1"),)
    return Document("Self-attention, ω", (Statement("For {n} tokens.", {"n": 3}),), (Statement("A result."),), sections)


def test_numbers_references_and_characters():
    tex = as_latex_document(document())
    assert r"Share 50\%. (Table 1, Table 2)" in tex
    assert "Table 2. Answers." in tex
    assert r"\character{03A9}{\ensuremath{\Omega}}" in tex
    assert r"\character{207B}{\ensuremath{^{-}}}" in tex
    assert r"\character{0416}{\texttt{U+0416}}" in tex
    assert r"fontsize=\scriptsize" in tex
    assert character_definitions("“Naïve” – fine") == ""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles_without_an_error_or_a_line_that_is_too_long(tmp_path):
    (tmp_path / "a.tex").write_text(as_latex_document(document()))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "a.pdf").stat().st_size > 10_000
    assert "Missing character" not in done.stdout
    assert r"Overfull \hbox" not in done.stdout
