"""A document as LaTeX source."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.document.blocks import (
    Block,
    Code,
    Derivation,
    Document,
    FigureBlock,
    Numbering,
    Paragraph,
    Section,
    Table,
)
from headwise.document.latex_characters import character_definitions
from headwise.text import Statement, as_latex

_PREAMBLE = r"""\documentclass[a4paper,11pt]{article}
\usepackage{amsmath,amssymb,array,booktabs,graphicx,fancyvrb,longtable}
\usepackage[margin=25mm]{geometry}
\setlength{\parindent}{0pt}\setlength{\parskip}{.6em}\raggedbottom\emergencystretch=2em
\newcommand{\fit}[1]{\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{#1}}
\newenvironment{together}{\par\smallskip\begin{minipage}{\linewidth}\centering\small}{\end{minipage}\par\smallskip}
"""
_LEVELS = ("section", "subsection", "subsubsection", "paragraph")


def as_latex_document(document: Document) -> str:
    """The whole document, for pdfLaTeX, XeLaTeX and LuaLaTeX; figures are in the folder that it was saved in."""
    lines = [" ".join(map(as_latex, document.subtitle)), ""]
    if document.abstract:
        lines += [r"\begin{itemize}", *(rf"\item {as_latex(s)}" for s in document.abstract), r"\end{itemize}"]
    numbers = Numbering(document.sections)
    for section in document.sections:
        lines += _section(section, 0, numbers)
    title = rf"\title{{{_text(document.title)}}}\date{{}}"
    body = "\n".join([title, r"\begin{document}\maketitle", *lines, r"\end{document}"]) + "\n"
    return _PREAMBLE + character_definitions(body) + body


def _section(section: Section, level: int, numbers: Numbering) -> Iterator[str]:
    number = f"{section.number} " if section.number else ""
    yield rf"\{_LEVELS[min(level, 3)]}*{{{_text(number + section.heading)}}}\label{{{section.anchor}}}"
    for block in section.blocks:
        yield from _block(block, numbers)
    for inner in section.sections:
        yield from _section(inner, level + 1, numbers)


def _block(block: Block, numbers: Numbering) -> Iterator[str]:
    match block:
        case Paragraph():
            labels = ", ".join(label for label, _ in numbers.following(block))
            yield " ".join([*map(_text, block.statements), *([f"({labels})"] if labels else [])]) + "\n"
        case Derivation():
            yield r"\begin{enumerate}"
            for words, tex, holds in block.steps:
                verified = (
                    "" if holds is None else r" \hfill\textit{verified}" if holds else r" \hfill\textbf{not verified}"
                )
                yield rf"\item {_text(words)}{verified}" + (f"\n\\[ {tex} \\]" if tex else "")
            yield r"\end{enumerate}"
        case Code():
            yield _text(block.title)
            yield f"\\begin{{Verbatim}}[fontsize={_font_size(block.source)}]\n{block.source}\n\\end{{Verbatim}}"
        case Table():
            yield from _table(block, f"{numbers.label(block)[0]}. ")
        case FigureBlock():
            label, _ = numbers.label(block)
            path = next((name for name in block.files if name.endswith(".pdf")), "")
            title = " ".join([f"{label}. {_text(block.title)}.", *map(_text, block.short)])
            yield rf"\begin{{together}}\fit{{\includegraphics{{{path}}}}}\\[.3em] {title}\end{{together}}"


def _table(table: Table, label: str) -> Iterator[str]:
    """A table of numbers on one page, as wide as the line at most; one of sentences on several, if need be."""
    title = rf"{label}{_text(table.title)}\\[.3em]"
    heading = rf"\toprule {' & '.join(map(_text, table.columns))} \\ \midrule"
    rows = "\n".join(rf"{' & '.join(map(_text, row))} \\" for row in table.rows)
    count = len(table.columns)
    if not table.words:
        yield rf"\begin{{together}}{title}\fit{{\begin{{tabular}}{{l{'r' * (count - 1)}}}{heading}"
        yield rf"{rows}\bottomrule\end{{tabular}}}}\end{{together}}"
        return
    column = rf">{{\raggedright\arraybackslash}}p{{\dimexpr.98\linewidth/{count}-2\tabcolsep}}"
    yield rf"{{\small\begin{{longtable}}{{{column * count}}}"
    yield rf"\multicolumn{{{count}}}{{c}}{{\parbox{{.9\linewidth}}{{\centering {title}}}}}\\{heading}\endfirsthead"
    yield rf"{heading}\endhead"
    yield rf"{rows}\bottomrule\end{{longtable}}}}"


def _font_size(source: str) -> str:
    """The largest with which the longest line fits the page."""
    longest = max(map(len, source.splitlines()), default=0)
    return next((size for most, size in ((82, r"\small"), (102, r"\footnotesize")) if longest <= most), r"\scriptsize")


def _text(text: Statement | str) -> str:
    return as_latex(text if isinstance(text, Statement) else Statement("{text}", {"text": text}))
