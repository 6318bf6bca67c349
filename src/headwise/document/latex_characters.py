"""Characters beyond those that every LaTeX knows, defined in the preamble of a document that uses them."""

from __future__ import annotations

import unicodedata

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
_LATIN = {"ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I", "KAPPA": "K", "MU": "M"}
_LATIN |= {"NU": "N", "OMICRON": "O", "RHO": "P", "TAU": "T", "CHI": "X"}
_KNOWN = "“”‘’–—«»"  # and letters with accents


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
