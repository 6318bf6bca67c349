"""A document as LaTeX source."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.document.blocks import Block, Code, Derivation, Document, FigureBlock, Paragraph, Section, Table
from headwise.text import Statement, as_latex

__all__ = ["as_latex_document"]

_PREAMBLE = r"""\documentclass[a4paper,11pt]{article}
\usepackage{fontspec} % compile with xelatex or lualatex
\usepackage{amsmath,amssymb,booktabs,graphicx,enumitem,fancyvrb}
\usepackage[margin=25mm]{geometry}
\usepackage[hidelinks]{hyperref}
\setlength{\parindent}{0pt}\setlength{\parskip}{.6em}
"""
_LEVELS = ("section", "subsection", "subsubsection", "paragraph")


def as_latex_document(document: Document) -> str:
    """The whole document; figures are included from the folder that it was saved in."""
    lines = [_PREAMBLE, rf"\title{{{_text(document.title)}}}\date{{}}", r"\begin{document}\maketitle"]
    lines += [" ".join(map(as_latex, document.subtitle)), ""]
    if document.abstract:
        lines += [r"\begin{itemize}", *(rf"\item {as_latex(s)}" for s in document.abstract), r"\end{itemize}"]
    for section in document.sections:
        lines += _section(section, 0)
    return "\n".join([*lines, r"\end{document}"]) + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    number = f"{section.number} " if section.number else ""
    yield rf"\{_LEVELS[min(level, 3)]}*{{{_text(number + section.heading)}}}\label{{{section.anchor}}}"
    for block in section.blocks:
        yield from _block(block)
    for inner in section.sections:
        yield from _section(inner, level + 1)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield " ".join(map(_text, block.statements)) + "\n"
        case Derivation():
            yield r"\begin{enumerate}[leftmargin=*]"
            for words, tex, holds in block.steps:
                verified = (
                    "" if holds is None else r" \hfill\textit{verified}" if holds else r" \hfill\textbf{not verified}"
                )
                yield rf"\item {_text(words)}{verified}" + (f"\n\\[ {tex} \\]" if tex else "")
            yield r"\end{enumerate}"
        case Code():
            yield f"\\begin{{Verbatim}}[fontsize=\\small]\n{block.source}\n\\end{{Verbatim}}"
        case Table():
            yield from _table(block)
        case FigureBlock():
            path = next((name for name in block.files if name.endswith(".pdf")), "")
            yield rf"\begin{{center}}\includegraphics[width=\linewidth]{{{path}}}\\ {_text(block.title)}\end{{center}}"


def _table(table: Table) -> Iterator[str]:
    columns = ("p{3cm}" * len(table.columns)) if table.words else "l" + "r" * (len(table.columns) - 1)
    yield rf"\begin{{center}}\small {_text(table.title)}\\[.3em]"
    yield rf"\begin{{tabular}}{{{columns}}}\toprule"
    yield " & ".join(map(_text, table.columns)) + r" \\ \midrule"
    yield from (" & ".join(map(_text, row)) + r" \\" for row in table.rows)
    yield r"\bottomrule\end{tabular}\end{center}"


def _text(text: Statement | str) -> str:
    return as_latex(text if isinstance(text, Statement) else Statement("{text}", {"text": text}))
