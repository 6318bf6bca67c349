"""What an argument is by what the code does with it, where its name says nothing."""

from __future__ import annotations

import re

_NEW = r"\w*\.?(None|newaxis)"
_COLUMN = rf"(\[(\.\.\.|:), ?(:, ?)?{_NEW}\]|\.(unsqueeze|expand_dims)\((1|2|-1)\))"
_ROW = rf"(\[(:, ?|\.\.\., ?)?{_NEW}(, ?:)?\]|\.(unsqueeze|expand_dims)\((0|1|-2)\))"


def role_in_code(name: str, code: str, others: set[str | None]) -> str | None:
    """The role of an argument with a name that says nothing: numbers of sequences, of heads, or of valid keys."""
    if _is_compared_with_itself(name, code):
        return "segments"
    divides = re.search(rf"//\s*{name}\b", code) and not re.search(rf"\[[^\]\n]*\*\s*{name}\b|range\(.*{name}", code)
    if divides and "heads" not in others and others & {"X", "q"}:
        return "heads"
    return "lengths" if re.search(rf"\barange\([^<>\n]*<=?\s*{name}\b", code) else None


def is_array(name: str, code: str) -> bool:
    """Whether the code takes an argument for an array: asks for its shape, or multiplies matrices with it."""
    return bool(re.search(rf"(?<![\w.]){name}\s*(\.(shape|size|ndim|view|reshape)\b|@)|@\s*{name}\b(?!\.)", code))


def is_counted(mask: str, code: str) -> bool:
    """Whether the code counts the keys that a mask keeps, to line up queries with the last of them."""
    return bool(re.search(rf"(?<![~!\w]){mask}(\.\w+\(\))?\.sum\(|\bsum\({mask}\b", code))


def count_of_key_heads(name: str, code: str) -> str:
    """Whether a number is that of the key heads, or of the query heads for each, next to queries and keys."""
    of_each = rf"//\s*{name}\s*,\s*{name}\b|(kv|key)\w*,\s*{name}\b|(repeat\w*|expand|tile)\([^\n]*\b{name}\b"
    return "repeats" if "head" not in name.lower() and re.search(of_each, code) else "key head count"


def is_step(name: str, code: str) -> bool:
    """Whether an argument is the step of a range, as the size of a block is."""
    return bool(re.search(rf"range\([^()\n]*(\([^()\n]*\)[^()\n]*)*,\s*{name}\)", code))


def _is_compared_with_itself(name: str, code: str) -> bool:
    """Whether a column of an argument is compared with a row of it, as numbers of sequences are."""
    column, row = name + _COLUMN, name + _ROW
    return bool(re.search(rf"{column} *[!=]= *{row}|{row} *[!=]= *{column}", code))
