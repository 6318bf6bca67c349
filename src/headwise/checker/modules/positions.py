"""Arguments that give a layer the positions of its tokens: indices, angles of rotary positions, sides of an image."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any

from headwise.checker.modules.layer import Layer
from headwise.checker.reference.state import image_sides
from headwise.checker.user_code.numpy_guard import np

FIRST_POSITION = "first_position"  # the keyword of a call of tokens that come after others
NEIGHBOURS = "neighbours-"  # what begins a kind of tables in which the angle of a pair is in neighbouring places
OF_SEGMENTS = {"starts", "longest"}  # kinds that say where sequences begin which are packed into one
_BASE = 10000.0
_ROTARY_WIDTH = re.compile(r"(qk_)?(rope|rotary)(_(n|head|emb))?(_?(n?dims?|elem|size|width))?")
_ANGLES = {"pair", "complex", "cos", "sin"}
_KINDS = {
    "height": r"h|height",
    "width": r"w|width",
    "sides": r"hw|((x|hw|feat|feature|grid|spatial|image|img|input|token)_?)?(shape|size|resolution)",
    "pair": r"position_?embeddings?|rotary_?pos(ition)?_?emb(eddings?)?|cos_?sin|rope|rotary|pos_?emb(edding)?s?",
    "complex": r"freqs?_?cis|freqs?|freqs_complex",
    "starts": r"cu_?seq_?lens?(_[qk]v?)?|cumulative_?seq_?lens?|cum_?seq_?lens?",
    "longest": r"max_?seq_?lens?(_[qk]v?)?",
    "indices": r"position_?ids?|positions?|pos|input_?pos|cache_?position|pos_?ids",
    "cos": r"(rope|rotary|freqs?|pos|emb)?_?cos(ines?)?(_?(emb|cached?|freqs?))?",
    "sin": r"(rope|rotary|freqs?|pos|emb)?_?sin(es?)?(_?(emb|cached?|freqs?))?",
}


def position_arguments(names: list[str]) -> dict[str, str]:
    """What each argument that gives positions is."""
    kinds = {name: kind for name in names for kind, pattern in _KINDS.items() if re.fullmatch(pattern, name.lower())}
    pairs = [pair for pair in (("cos", "sin"), ("height", "width")) if not set(pair) <= set(kinds.values())]
    return {name: kind for name, kind in kinds.items() if not any(kind in pair for pair in pairs)}


def rotated_widths(layer: Layer, kinds: Mapping[str, str], width: int) -> list[int]:
    """How many features of a head may be rotated: as many as it states, all, a half or a quarter."""
    if _ANGLES.isdisjoint(kind.rpartition("-")[2] for kind in kinds.values()):
        return [width]
    stated = [n for name, n in layer.numbers.items() if _ROTARY_WIDTH.fullmatch(name) and 0 < n <= width]
    return list(dict.fromkeys(n for n in (*stated, width, width // 2, width // 4) if n > 1 and n % 2 == 0)) or [width]


def position_forms(kinds: Mapping[str, str]) -> list[dict[str, str]]:
    """The forms in use of arguments that give positions: angles also of half the width, in batches, or complex.

    Indices are also those of one item, or the number of the first token.
    """
    tables = ("", "half-", "batch-")
    forms = {
        "cos": tables,
        "sin": tables,
        "pair": ("", "half-", "", "complex-", "flat-", "stacked-"),
        "complex": ("", "stacked-"),
    }
    count = max((len(forms[kind]) for kind in kinds.values() if kind in forms), default=1)
    indices = ("", "flat-", "first-") if "indices" in kinds.values() else ("",)

    def form(kind: str, number: int, of_indices: str) -> str:
        of_kind = forms.get(kind, ("",))
        return (of_indices if kind == "indices" else of_kind[number % len(of_kind)]) + kind

    return [
        {name: form(kind, number, of_indices) for name, kind in kinds.items()}
        for number, of_indices in product(range(count), indices)
    ]


def positions_of(
    layer: Layer,
    kinds: Mapping[str, str],
    width: int,
    count: int,
    *,
    turn: float = 1.0,
    narrow: bool = False,
    first: int = 0,
    together: bool = False,
) -> dict[str, Any]:
    """The arguments for `count` tokens from `first` on and heads of which `width` features rotate.

    Angles are those of RoFormer (Su et al., 2021), equation 15, each twice for a pair of cosines and sines: one half
    after the other, or next to each other. `turn` 0 rotates nothing; `narrow` gives float32; `together`
    rotates all tokens by the angles of the second.
    """
    real, complex_ = (np.float32, np.complex64) if narrow else (np.float64, np.complex128)
    places = np.arange(first, first + count)
    angles = turn * (np.ones_like(places) if together else places)[:, None] * _BASE ** (-np.arange(0, width, 2) / width)
    halves, neighbours = np.concatenate([angles, angles], axis=1), np.repeat(angles, 2, axis=1)

    def table(function: Callable[[Any], Any], angles: Any) -> Any:
        return layer.convert(function(angles).astype(real))

    makers: dict[str, Callable[[], Any]] = {
        "complex": lambda: layer.convert(np.exp(1j * angles).astype(complex_)),
        "stacked-complex": lambda: layer.convert(np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(real)),
        "complex-pair": lambda: layer.convert(np.exp(1j * angles)[None].astype(complex_)),
        "height": lambda: image_sides(count)[0],
        "width": lambda: image_sides(count)[1],
        "sides": lambda: image_sides(count),
        "indices": lambda: layer.convert(places[None]),
        "flat-indices": lambda: layer.convert(places),
        "first-indices": lambda: first,
        "starts": lambda: layer.convert(np.array([0, count], np.int32)),
        "longest": lambda: count,
    }
    for form, a in (("", halves), ("half-", angles), ("batch-", halves[None])):
        makers[f"{form}cos"], makers[f"{form}sin"] = partial(table, np.cos, a), partial(table, np.sin, a)
    for form, a in ((NEIGHBOURS, neighbours), (f"{NEIGHBOURS}batch-", neighbours[None])):
        makers[f"{form}cos"], makers[f"{form}sin"] = partial(table, np.cos, a), partial(table, np.sin, a)
    for form, a in (("", halves), ("half-", angles), (NEIGHBOURS, neighbours)):
        makers[f"{form}pair"] = partial(lambda a: (table(np.cos, a[None]), table(np.sin, a[None])), a)
    makers["stacked-pair"] = makers["stacked-complex"]
    for form, a in (("", halves), (NEIGHBOURS, neighbours)):
        makers[f"{form}flat-pair"] = partial(lambda a: (table(np.cos, a), table(np.sin, a)), a)
    return {name: makers[kind]() for name, kind in kinds.items()}
