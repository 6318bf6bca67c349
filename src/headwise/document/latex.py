"""A document as LaTeX source; its preamble defines characters that some installations lack."""

from __future__ import annotations

import unicodedata
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
from headwise.text import Statement, as_latex

_DEFINE = r"""\ifdefined\Umathchar % XeLaTeX, LuaLaTeX
\newcommand{\character}[2]{\catcode"#1=\active\begingroup\lccode`\~="#1\relax\lowercase{\endgroup\def~}{#2}}
\else
\newcommand{\character}[2]{\DeclareUnicodeCharacter{#1}{#2}}
\fi
"""
_NAMED = {
    "√": r"\surd",
    "×": r"\times",
    "·": r"\cdot",
    "−": "-",
    "±": r"\pm",
    "≤": r"\le",
    "≥": r"\ge",
    "≈": r"\approx",
    "≠": r"\ne",
    "∞": r"\infty",
    "∈": r"\in",
    "∝": r"\propto",
    "→": r"\to",
    "↦": r"\mapsto",
    "‖": r"\|",
    "⋯": r"\cdots",
    "…": r"\ldots",
    "⊤": r"\top",
    "∑": r"\sum",
    "∏": r"\prod",
    "∂": r"\partial",
    "✓": r"\checkmark",
    "✗": r"\times",
    "½": r"\tfrac12",
    "°": r"^{\circ}",
    "ᵀ": r"^{\top}",
    "⁻": "^{-}",
    "⁺": "^{+}",
    "₋": "_{-}",
    "ᵢ": "_{i}",
    "ⱼ": "_{j}",
}
# capital letters of Greek that LaTeX has no command for
_LATIN = {"ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I", "KAPPA": "K", "MU": "M"}
_LATIN |= {"NU": "N", "OMICRON": "O", "RHO": "P", "TAU": "T", "CHI": "X"}
_KNOWN = "“”‘’–—«»"  # and letters with accents
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


def character_definitions(text: str) -> str:
    """LaTeX that defines the characters of a text, for each engine; empty if there are none to define."""
    unknown = {c: d for c in sorted(set(text)) if ord(c) > 126 and c not in _KNOWN and (d := _definition(c))}
    lines = [f"\\character{{{ord(c):04X}}}{{{definition}}}\n" for c, definition in unknown.items()]
    return _DEFINE + "".join(lines) if lines else ""


def _definition(character: str) -> str:
    """What a character is in LaTeX; empty for a letter with an accent, a code for one that has nothing."""
    if character in _NAMED:
        return rf"\ensuremath{{{_NAMED[character]}}}"
    name, decomposed = unicodedata.name(character, ""), unicodedata.decomposition(character)
    if name.startswith("GREEK "):
        return rf"\ensuremath{{{_greek(name)}}}"
    if decomposed.startswith(("<super>", "<sub>")):
        sign, digit = ("^" if "super" in decomposed else "_"), chr(int(decomposed.split()[1], 16))
        return rf"\ensuremath{{{sign}{{{digit}}}}}"
    accented = unicodedata.normalize("NFD", character)[0].isascii() and not decomposed.startswith("<")
    return "" if accented else rf"\texttt{{U+{ord(character):04X}}}"


def _greek(name: str) -> str:
    r"""``GREEK CAPITAL LETTER OMEGA`` as ``\Omega``."""
    letter = name.split()[-1]
    if "CAPITAL" in name:
        return _LATIN.get(letter) or f"\\{letter.capitalize()}".replace("Lamda", "Lambda")
    return "o" if letter == "OMICRON" else f"\\{letter.lower()}".replace("lamda", "lambda")
