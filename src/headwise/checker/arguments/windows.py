"""What a function says about a window that is one number: whether it counts the query's own key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_OWN_KEY_COUNTS = (
    r"own (key|token|position)?.{0,20}(among|includ|count)|includ\w+ (itself|its own|the current)|"
    r"itself (is )?(included|counted|among)|in all|"
    r"\w\s*[-−]\s*1`*\s+(\w+\s+){0,2}(before|prev|earlier|preceding|past|back|to the left)|last `*WINDOW\b(?!`* *[-−])|"
    r"(previous|preceding|earlier|past|last) `*\w+ *[-−] *1\b|"
    r"\b(sees?|attends? to) (exactly |only |at most )?`*WINDOW`* (keys|tokens|positions)\b"
    r"(?!`* (before|earlier|preceding|back|to the|(on|to) (each|either|both)))"
)
_OWN_KEY_APART = (
    r"\bWINDOW`*\s+(\w+\s+){0,2}(before|earlier|preceding|back|to the left).{0,20}"
    r"(and|plus|besides|as well as) (it(self)?|its own|the current|the query)\b|"
    r"\b(itself|its own \w+)\s+(and|plus|besides|as well as)\s+(\w+\s+){0,2}`*WINDOW`*\s+(\w+\s+){0,2}"
    r"(before|earlier|preceding|back|to the left)\b|"
    r"\bWINDOW`*\s+(\w+\s+){0,2}(on|to) (each|either|both) sides?\b"
)
_HALF_ON_EACH_SIDE = r"(?s)(\bWINDOW`*\s*//?\s*2\b|\bhalf\b).{0,60}\b(each|either|both) sides?\b"
BESIDES_WINDOW = r"global|random|sink|dilat|strid|\bcls\b"  # of keys that queries see besides those in a window
_KEYS_OF = (
    r"\bWINDOW`*(\s*[-−]\s*1`*)?\s+(\w+\s+)?(positions|tokens|keys|neighbou?rs)\s+(\w+\s+)?"
    r"(before|earlier|preceding|back|to the left|(on|to) (each|either|both) sides?)\b"
)
_REACH = re.compile(r"radius|bandwidth|half")  # names of windows that do not count it

_SYMBOLS = {
    r"[−–]": "-",
    r"[`$]|:math:|\\left|\\right|\\,": "",
    r"≤|⩽|\\leq?\b": "<=",
    r"≥|⩾|\\geq?\b": ">=",
    r"\\lt\b": "<",
    r"\\gt\b": ">",
    r"\b\w+(\[:, *(\w+\.)?(None|newaxis)\]|\.unsqueeze\((1|-1)\))": "query",
    r"\b\w+(\[(\w+\.)?(None|newaxis)(, *:)?\]|\.unsqueeze\((0|-2)\))": "key",
    r"…|\\[lc]?dots\b|\.\.+": "...",
    r"\|([^|\n]{3,30})\|": r"(\1)",  # a distance, of which either sign will do
    r"\b(?:\w+\.)?abs\(": "(",
    r"\bmin\( *\w+(?: *- *1)? *, *([^()\n]{3,30})\)": r"\1",
    r"\bmax\( *0 *, *([^()\n]{3,30})\)|\bmax\( *([^(),\n]{3,30}), *0 *\)": r"\1\2",
}
_SUM = r"-?\b\w+(?: *[-+] *\w+)*"
_TERM = rf"(?:\({_SUM}\)|{_SUM})"
_COMPARISON = re.compile(rf"{_TERM}(?: *[<>]=? *{_TERM})+")
_RANGE = re.compile(rf"([\[(]?)({_SUM}) *(?:, *{_SUM} *)?(,? *\.\.\. *,?|,|:|\bto\b|\band\b) *({_SUM}) *([\])]?)")
_DISTANCES = ("distance", "dist", "lag", "offset", "delta", "rel")  # of query and key, under a name of their own
_QUERY, _KEY = re.compile(r"i|t|n|r|row|q|quer", re.I), re.compile(r"j|s|m|c|col|k|key", re.I)  # first in their names
_OPPOSITE = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_WINDOW, _HALF = "window", "half"


def meaning_of_window(text: str, name: str) -> str:
    """Return the beginning of the names in `options.WINDOWS` that a text allows for the window of a name, or nothing.

    ``"count"`` is with the query's own key, ``"reach"`` without it, ``"size"`` both sides and the own key. A formula
    such as ``i - w < j <= i`` counts more than words.
    """
    if stated := next(_of_formulas(text, rf"\b(\w*window\w*|[wW]|{re.escape(name)})"), None):
        return stated[0]
    word = rf"(window\w*|[wW]|{re.escape(name)})"
    meanings = {"size": _HALF_ON_EACH_SIDE, "count": _OWN_KEY_COUNTS, "reach": _OWN_KEY_APART}
    of_words = (how for how, words in meanings.items() if re.search(words.replace("WINDOW", word), text))
    return next(of_words, "reach" if _REACH.search(name) else "")


def is_window(name: str, text: str) -> bool:
    """Whether formulas or words say how far from its own a query sees keys by a number of this name."""
    if re.search(_KEYS_OF.replace("WINDOW", re.escape(name)), text):
        return True
    return any(
        _QUERY.match(query) and _KEY.match(key) for _, query, key in _of_formulas(text, rf"(?<![\w.]){re.escape(name)}")
    )


def _of_formulas(text: str, word: str) -> Iterator[tuple[str, str, str]]:
    """What each formula says that the window counts, and its names for the place of a query and a key before it."""
    for symbol, plain in _SYMBOLS.items():
        text = re.sub(symbol, plain, text)
    text = re.sub(rf"\(?{word}\b(?: *- *1\))? *//? *2\b", _HALF, text)
    text = re.sub(rf"{word}\b", _WINDOW, text)
    for match in _COMPARISON.finditer(text):
        terms, signs = re.split(r"[<>]=?", match[0]), re.findall(r"[<>]=?", match[0])
        for sign, (left, right) in zip(signs, pairwise(terms), strict=True):
            yield from _compared(left, sign, right)
    for match in _RANGE.finditer(text):
        yield from _between(*match.groups())


def _compared(left: str, sign: str, right: str) -> Iterator[tuple[str, str, str]]:
    """What an inequality says of the distance of query and key and the window, whatever is on which side."""
    terms = _added(left)
    for term, count in _added(right).items():
        terms[term] = terms.get(term, 0) - count
    for window in (_WINDOW, _HALF):
        if abs(factor := terms.get(window, 0)) != 1:
            continue
        sign = sign if factor == -1 else _OPPOSITE[sign]  # of: distance + constant - window, and zero
        places = {term: -factor * count for term, count in terms.items() if count and term not in (window, "")}
        if sorted(places.values()) == [-1, 1] or any(places == {name: 1} for name in _DISTANCES):
            later, earlier = (next((term for term, n in places.items() if n == count), "") for count in (1, -1))
            for meaning in _of_reach(factor * terms.get("", 0) - (sign in ("<", ">=")), window):
                yield meaning, later, earlier


def _between(opening: str, first: str, separator: str, last: str, closing: str) -> Iterator[tuple[str, str, str]]:
    """What the first and the last of the keys that a query sees say of the window."""
    lower, upper = _added(first), _added(last)
    includes_last = separator != ":" and opening + closing != "[)"
    if opening + closing == "()" and "..." not in separator:
        return  # which of them it includes depends on who reads it
    for window in (_WINDOW, _HALF):
        own = [term for term, count in upper.items() if count == 1 and term not in (window, "")]
        if len(own) != 1 or {*lower} - {""} != {own[0], window} or (lower[own[0]], lower[window]) != (1, -1):
            continue
        if upper.get(window, 0) == 1 or upper == {own[0]: 1} | ({} if includes_last else {"": 1}):
            for meaning in _of_reach(-lower.get("", 0) - (opening + closing == "(]"), window):
                yield meaning, own[0], "key"


def _of_reach(more: int, window: str) -> Iterator[str]:
    """What so many keys more than the window, before a query's own, say of it."""
    if window == _HALF and more == 0:
        yield "size"
    elif window == _WINDOW and more in (0, -1):
        yield "count" if more else "reach"


def _added(formula: str) -> dict[str, int]:
    """How often each name is added, and the sum of the numbers under no name."""
    terms: dict[str, int] = {}
    for sign, name in re.findall(r"([-+]?) *(\w+)", formula):
        key, value = ("", int(name)) if name.isdecimal() else (name, 1)
        terms[key] = terms.get(key, 0) + (-value if sign == "-" else value)
    return terms
