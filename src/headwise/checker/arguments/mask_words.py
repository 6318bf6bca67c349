"""What a sentence says of True, or of 1, in a mask."""

from __future__ import annotations

import re

_VISIBLE = (
    r"(attend|visible|keep|kept|valid|allow|real|\blooks?\b(?![-_ ]?(ahead|up))|"
    r"may (see|look)|can (see|look)|seen|not (masked|padd)|unmasked|"
    r"(are|is) there\b|present|exist|looked at|tak\w+ part|influenc|consider|"
    r"^\W*((for|at|on|is|are|means?|marks) )?(an? |the )?(tokens?|words?|frames?|elements?)\b(?=\s*($|[.,;:)]|and )))"
)
_HIDDEN = (
    r"(pad|hidden|hide|ignor|(?<!\bthe )(?<!\ba )(?<!causal )mask(s|ed)?\b|block|forbid|disallow|exclu|"
    r"not (to )?(be )?(there|present|exist|attend|allow|visible|seen|valid|look|influenc|consider))"
)
YES, _NO = r"\b(true|1s?|ones|one(?= (means|marks|stands|indicates))|nonzero|non-zero)\b", r"\b(false|0s?|zeros?)\b"
# the same in other languages; negated it says the opposite
_VISIBLE_ABROAD = (
    r"sichtbar|erlaubt|beachtet|visibles?|visibil[ei]|vis[ií]ve(l|is)|autoris|permi[ts]|consentit|se voi?t|regard|"
    r"gültig|v[áa]lid[eoa]|(puede|peut|può|pode|darf) (\w+ )?(ver|voir|mirar|vedere|guardare|olhar|sehen|beachten)\b|"
    r"можно|видн|видим|разреш|доступн|(?<!不)可见|(?<!不)可以|有效|允许"
)
_HIDDEN_ABROAD = (
    r"verdeckt|maskiert|ausgeblendet|versteckt|verboten|cach[ée]|masqu|interdit|ocult|escond|nascost|mascherat|vietat|"
    r"ignorier|ignorad|ignoré|relleno|remplissage|preenchimento|riempimento|нельзя|скрыт|закрыт|запрещ|"
    r"不可|屏蔽|遮|忽略|填充|隐藏"
)
_YES_ABROAD, _NO_ABROAD = (rf"(?<![\da-z.])({words})(?![\da-z])" for words in ("true|1", "false|0"))
_LISTED = re.compile(r"[(\[][^()\[\]]*,[^()\[\]]*[)\]]")  # shapes and indices
_NOT_ABROAD = r"\b(nicht|kein\w*|pas|non|não|не)\b"
_CONDITION = re.compile(  # "weights are masked out where the mask is False"
    rf"([^.,;:]{{3,80}})\b(?:if|when|where|wherever|whenever)\b[^.;]{{0,60}}?(?:\b(?:is|are|equals?|of)\b|=)\W*"
    rf"(?:({YES})|({_NO}))"
)
_MARKS = r"\b(marks?|marking|flags?|indicates?|tells?)\b"
_ADDITIVE = re.compile(
    r"additive|float mask|added to the (attention )?(scores|logits)|mask\W+(is|are) added\b|large negative|"
    r"-\s*(np\.|math\.|float\(.)?inf\b.{0,30}(hidden|mask|block|elsewhere)|"
    r"\b0\b[^.=]{0,30}\b(and|or|,)[^.=]{0,15}-\s*(1e\d+|10{3,}|inf)",
    re.I,
)

_SETTING = re.compile(r"\b(?!\w*(mask|pad|padding|valid|keep|visible)=)\w+=(true|false)\b")  # of something else
_EITHER = re.compile(r"1/0|0/1|true/false|ones? and zeros?|1s? and 0s?|zero / non")


def polarity(sentence: str) -> str:
    """``"attends"``, ``"hides"`` or ``"adds"`` if a sentence says what a mask means, else nothing."""
    text = _SETTING.sub("", re.sub(r"\b([01])\.0?(?![\w.])", r"\1", sentence.lower()))
    if _EITHER.search(text) and not re.search(r"=\s*\w", text):
        return ""
    if _ADDITIVE.search(text):
        return "adds"
    for subject, visible, hidden in (
        (YES, "attends", "hides"),
        (_NO, "hides", "attends"),
        (_MARKS, "attends", "hides"),
    ):
        for match in re.finditer(subject, text):
            clause = re.split(_NO if subject is YES else YES, text[match.end() : match.end() + 70])[0]
            stated = {meaning: re.search(words, clause) for meaning, words in ((visible, _VISIBLE), (hidden, _HIDDEN))}
            first = min((m.start(), meaning) for meaning, m in stated.items() if m) if any(stated.values()) else None
            if first and not re.search(r"^\W*(,|\.)", clause):
                return first[1]
    return _conditional_polarity(text) or _polarity_abroad(text)


def _polarity_abroad(text: str) -> str:
    """As `polarity`, of a sentence of another language that says what is where the mask is True or 1, and only that."""
    text = _LISTED.sub("", text)
    found = re.finditer(_YES_ABROAD, text)
    clauses = [re.split(_NO_ABROAD, text[match.end() : match.end() + 70])[0] for match in found]
    stated = [
        meaning
        for meaning, words in (("attends", _VISIBLE_ABROAD), ("hides", _HIDDEN_ABROAD))
        if any(re.search(words, clause) for clause in clauses)
    ]
    negated = any(re.search(_NOT_ABROAD, clause) for clause in clauses)
    return stated[0] if len(stated) == 1 and not negated else ""


def _conditional_polarity(text: str) -> str:
    """As `polarity`, of a sentence that says what happens before it says where."""
    for match in _CONDITION.finditer(text):
        visible, hidden = (re.search(words, match[1]) for words in (_VISIBLE, _HIDDEN))
        if visible or hidden:
            attends = bool(visible and (not hidden or visible.start() < hidden.start()))
            return "attends" if attends == bool(match[2]) else "hides"
    return ""
