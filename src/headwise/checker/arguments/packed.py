"""Queries, keys and values that come in one array, such as (B, N, 3, H, d) or (B, N, 3 · H · d); or keys and values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headwise.checker.arguments.presentation import arrange_axes
from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

# a 3 is an axis of its own, of two where only keys and values are packed; a + stands before the axis along which the
# parts are joined, and a * before one along which those of each head are
_WITH_HEADS = ("BN3Hd", "3BHNd", "B3HNd", "3BNHd", "BNH3d", "BHN3d", "BH3Nd")
_WITHOUT_BATCH = ("N3Hd", "3HNd", "3NHd", "NH3d", "HN3d")
LAYOUTS = {
    False: (
        *(*_WITH_HEADS, "BHN+d", "BNH+d", *_WITHOUT_BATCH, "HN+d"),
        *("3BNd", "B3Nd", "BN3d", "BN+d", "3Nd", "N3d", "N+d", "+dN"),
    ),
    True: ("BN+D", "BN*D", "B+DN", "B*DN", "N+D", "N*D"),  # of all heads side by side
}
_AXIS_OF_ROWS = r"(3|qkv|\w*heads?|h|d|\w*dim)"
_ORDER = re.compile(rf"\(\s*{_AXIS_OF_ROWS}\s*,\s*{_AXIS_OF_ROWS}\s*,(?:\s*{_AXIS_OF_ROWS}\s*\))?", re.IGNORECASE)
MERGED = (*_WITH_HEADS, *_WITHOUT_BATCH)


def stated_order(text: str) -> str:
    """The order of the rows of a matrix of queries, keys and values that a text gives, as ``"H3d"``; else nothing."""
    for match in _ORDER.finditer(text):
        words = [word.lower() for word in match.groups() if word]
        marks = ["3" if word in ("3", "qkv") else "d" if word.endswith(("d", "dim")) else "H" for word in words]
        rest = [mark for mark in "3Hd" if mark not in marks]
        if len({*marks}) == len(marks) and (len(marks) == 3 or "3" in marks) and len(rest) + len(marks) == 3:
            return "".join(marks + rest)
    return ""


def in_order(parts: Sequence[Array], order: str, heads: int) -> Array:
    """Matrices or biases of queries, keys and values in one array, with its rows in an order such as ``"H3d"``."""
    split = np.stack([part.reshape(heads, -1, *part.shape[1:]) for part in parts])
    split = np.moveaxis(split, ["3Hd".index(mark) for mark in order], (0, 1, 2))
    return np.asarray(split.reshape(-1, *split.shape[3:]))


def axes_of(layout: str, of_tokens: bool = False) -> str:
    """The axes of queries, keys and values each, or of the tokens that all heads together make."""
    if of_tokens and "H" in layout:
        return "BND" if "B" in layout else "ND"
    return layout.translate({ord(mark): None for mark in "3+*"})


def by_dimensions(layouts: Sequence[str]) -> list[tuple[str, ...]]:
    """Layouts of as many dimensions, the most first."""
    counts = [len(axes_of(layout)) + ("3" in layout) for layout in layouts]
    return [
        tuple(layout for layout, n in zip(layouts, counts, strict=True) if n == count)
        for count in sorted(set(counts), reverse=True)
    ]


def pack_projected(case: Case, layout: str, parts: str) -> Array:
    """Queries, keys and values (B, H, N, d) in one array, or some of them."""
    return _pack([arrange_axes(case[x], "BHNd", axes_of(layout)) for x in parts], layout, 1)


def pack_tokens(case: Case, layout: str, axes: str, parts: str) -> Array:
    """Queries, keys and values of all heads in one array, or some of them, made from tokens in these axes."""
    return _pack_projections([_source(case, x) @ case[f"W{x}"].T for x in parts], layout, axes, case["heads"])


def _source(case: Case, part: str) -> Array:
    """The tokens that queries, keys or values are made from."""
    return np.asarray(case["X"] if part == "q" else case.get("context", case["X"]))


def _pack_projections(parts: list[Array], layout: str, axes: str, heads: int) -> Array:
    if "H" in layout:
        parts = [part.reshape(*part.shape[:2], heads, -1) for part in parts]
        layout = layout if "B" in axes else layout.replace("B", "")
        return _pack([arrange_axes(part, "BNHd", axes_of(layout)) for part in parts], layout, heads)
    layout = axes.replace("D", layout[layout.index("D") - 1] + "D")
    return _pack([arrange_axes(part, "BND", axes) for part in parts], layout, heads)


def _pack(parts: list[Array], layout: str, heads: int) -> Array:
    place = next(i for i, mark in enumerate(layout) if mark in "3+*")
    if layout[place] == "3":
        return np.stack(parts, axis=place)
    if layout[place] == "*":
        of_heads = [np.split(part, heads, axis=place) for part in parts]
        parts = [piece for head in zip(*of_heads, strict=True) for piece in head]
    return np.concatenate(parts, axis=place)
