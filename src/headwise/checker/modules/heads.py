"""How many heads a layer has: by its attributes, else by the shapes of its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headwise.checker.arguments.settings import divides_heads
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.matrices import Matrix

_COUNT = re.compile(
    r"_?(n(um(ber)?)?_?(of_?)?|nb_?|no_?)?(q(uery)?_?|attn_?|attention_?|self_?attn_?|local_?)*(num_?)?(heads?|head_?(num|count))|n?_?h|h_?q",
    re.IGNORECASE,
)
_WIDTH = re.compile(
    r"_?(head_?(dim|size|width|features)|(dim|d|size|features)_?(per_?)?head|d_?k|hd|attention_head_size)",
    re.IGNORECASE,
)
# what may divide features among heads, by the words of the libraries
_DIVIDING = re.compile(
    r"heads|n_?head\b|multi_?head|head_?(dim|size|width)|shape|view|split|chunk|rearrange|flatten|einsum|stack|cat\("
    r"|concat|\bfor\b|fold|\[\.\.\.|\[:, :",
    re.IGNORECASE,
)
_NOT_DIVIDING = {"__init__", "__call__", "forward", "super", "softmax", "sqrt", "len", "float", "int", "str", "print"}
_SIZE = re.compile(r"(size|dim|width|features|^d_?\w?)$", re.IGNORECASE)


def named_head_count(layer: Layer, rows: int) -> int | None:
    """The number of heads that an attribute gives, directly or as the width of one head; None without one."""
    counts = [layer.numbers[name] for name in _counts(layer) if layer.numbers[name] > 0]
    widths = [value for name, value in layer.numbers.items() if _WIDTH.fullmatch(name) and value > 0]
    counts = counts or [n for n in _divisors(layer) if rows % n == 0]
    counts += [rows // width for width in widths if rows % width == 0 and not counts]
    return counts[-1] if counts else None


def _divisors(layer: Layer) -> list[int]:
    """Numbers under the name of a width of heads by which the source divides a width to get that of one head."""
    code = re.sub("#.*", "", layer.documentation)
    pairs = re.findall(r"([\w.]+)\s*=\s*\(?\s*[\w.]+\s*//\s*(?:\w+\.)?(\w+)", code)
    names = {divisor for width, divisor in pairs if _SIZE.search(width) and _WIDTH.fullmatch(divisor)}
    return [value for name, value in layer.numbers.items() if name in names and value > 0]


def head_count_attribute(layer: Layer) -> str | None:
    """The attribute that holds the number of heads; None without one."""
    return next(reversed(_counts(layer)), None)


def _counts(layer: Layer) -> list[str]:
    """The names of numbers of heads; next to another, ``head`` is the width of one."""
    names = [name for name in layer.numbers if _is_count(name, layer)]
    return [name for name in names if name.strip("_").lower() != "head"] or names


def _is_count(name: str, layer: Layer) -> bool:
    """Whether a name is that of the number of query heads; one that divides another is that of the key heads."""
    code = layer.documentation
    return bool(_COUNT.fullmatch(name)) and not divides_heads(name, code) and not _is_width(name, code)


def _is_width(name: str, code: str) -> bool:
    """Whether a letter is the width of a head: its root is taken, and nothing is divided into so many."""
    root = rf"\b{name}\s*\*\*\s*\(?-?\s*(0?\.5|1\s*/\s*2)|sqrt\((float\()?{name}\)"
    divided = rf"//\s*{name}\b|range\({name}\)|[(,]\s*{name}\s*,"
    return len(name) == 1 and bool(re.search(root, code)) and not re.search(divided, code)


def _has_one_head(code: str) -> bool:
    """Whether code neither speaks of heads nor does anything that could divide features among several."""
    calls = set(re.findall(r"(?<![\w.])(?:self\.)?([a-z_]\w*)\(", code)) - _NOT_DIVIDING
    return bool(code) and not _DIVIDING.search(code) and not calls


def head_counts(layer: Layer, queries: Matrix, rows: int) -> Iterator[int]:
    """The possible numbers of heads: that of the arrays of one head each, else the attribute's, else every divisor."""
    stated = named_head_count(layer, rows)
    if len(queries.stored) > 1:
        yield len(queries.stored)
    elif "H" in queries.axes:
        heads = queries.shape[queries.axes.index("H")]
        yield from [heads] if stated in (None, heads) else []
    elif stated is not None:
        yield stated
    elif _has_one_head(layer.documentation):
        yield 1
    else:
        yield from (heads for heads in range(1, rows + 1) if rows % heads == 0)
