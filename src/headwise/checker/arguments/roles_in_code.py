"""What an argument is by what the code does with it, where its name says nothing."""

from __future__ import annotations

import re

# numbers of items, of queries and of keys, and the width of tokens: what a letter is counts only where it is a size
_COUNTS = {
    "query count": "nq numq numqueries nqueries qlen lenq querylen seqlen seqlength numtokens ntokens tgtlen targetlen",
    "key count": "nkv nk numk numkeys nkeys klen kvlen lenk keylen srclen sourcelen contextlength ctxlen",
}
_LETTERS = {"b": "items", "m": "key count", "c": "D", **dict.fromkeys("tnls", "query count")}
_COUNT = {name: role for role, names in _COUNTS.items() for name in names.split()}
_SHAPED = r"(reshape|view|zeros|ones|full|empty|eye|arange|range|tri|tril|triu|expand|broadcast_to)\("

_NEW = r"\w*\.?(None|newaxis)"
_COLUMN = rf"(\[(\.\.\.|:), ?(:, ?)?{_NEW}\]|\.(unsqueeze|expand_dims)\((1|2|-1)\))"
_ROW = rf"(\[(:, ?|\.\.\., ?)?{_NEW}(, ?:)?\]|\.(unsqueeze|expand_dims)\((0|1|-2)\))"


def role_in_code(name: str, code: str, others: set[str | None]) -> str | None:
    """The role of an argument with a name that says nothing: numbers of sequences, heads or valid keys, or biases."""
    if _is_compared_with_itself(name, code):
        return "segments"
    if _decides(name, code) and others & {"X", "q", "Wq"}:
        return "mask"
    divides = re.search(rf"//\s*{name}\b", code) and not re.search(rf"\[[^\]\n]*\*\s*{name}\b|range\(.*{name}", code)
    if divides and "heads" not in others and others & {"X", "q"}:
        return "heads"
    if re.search(rf"(?<![\w.]){name}\[(:, *)?\w+ *- *\w+ *[-+]", code):
        return "bias"  # of each distance
    if _is_added_to_logits(name, code) and others & {"X", "q"}:
        return "bias"
    bounds = (
        rf"\barange\([^<>\n]*<=?\s*(\w+\.)?(\w*array\()?{name}\b|"
        rf"(range|min)\([^\n]*\b{name}\[\w+\]|:\s*{name}\[\w+\]\s*[\],]"
    )
    return "lengths" if re.search(bounds, code) else None


def count_in_code(name: str, code: str, names: set[str]) -> str | None:
    """What a number counts that has to be passed although the shapes of arrays say it too; None if it is no number.

    `names`: those of all arguments; next to T or L, S is the number of keys.
    """
    if is_array(name, code) or (name in "Bb" and re.search(rf"\+ *{name}\b", code)):  # which is a bias
        return None
    if name.lower() in _LETTERS and len(name) == 1:
        size = rf"\b{_SHAPED}[^\n]*\b{name}\b(?!\w*[.\[(])|\.shape(\[-?\d\])? *== *\(?([^()\n]*, *)?{name}\b"
        of_keys = name in "sS" and names & {*"tTlL"}
        return None if not re.search(size, code) else "key count" if of_keys else _LETTERS[name.lower()]
    role = _COUNT.get(name.lower().replace("_", ""))
    return None if role == "key count" and re.search(rf"head\w*\s*//\s*{name}\b", code) else role


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


def begins_again(positions: str, code: str) -> bool:
    """Whether the code looks where positions are zero, or compares neighbours, to know where sequences begin."""
    return bool(re.search(rf"\b{positions}(\[[^\]\n]*\])? *(==|>) *0|\bdiff\({positions}\b", code))


def _decides(name: str, code: str) -> bool:
    """Whether the code chooses between numbers by where an argument is true, zero, or positive, as adjacencies are."""
    compared = rf"\(?{name}(\[[^\]\n]*\]|\.\w+\(\d*\))? *((==|!=|>|<=) *0|,|\] *=(?!=))"
    return bool(re.search(rf"(?<!\w)(where\(|masked_fill\(|masked_fill_\(|\w\[) *~?{compared}|\bmask={name}\b", code))


def _is_added_to_logits(name: str, code: str) -> bool:
    """Whether the code adds an argument to what it divides by a root, or calls logits."""
    logits = r"(sqrt|\*\* *\(?-?(0?\.5|1 */ *2)|\b\w*(scor|logit|energ|simil)\w*)"
    return bool(re.search(rf"{logits}[^\n]*?\+=? *{name}\b(?!\.\w| *@)", code))


def _is_compared_with_itself(name: str, code: str) -> bool:
    """Whether a column of an argument is compared with a row of it, as numbers of sequences are."""
    column, row = name + _COLUMN, name + _ROW
    return bool(re.search(rf"{column} *[!=]= *{row}|{row} *[!=]= *{column}", code))
