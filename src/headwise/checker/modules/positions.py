"""Arguments that give a layer the positions of its tokens: indices, angles of rotary positions, sides of an image."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from headwise.checker.modules.layer import Layer
from headwise.checker.numpy_guard import np

FIRST_POSITION = "first_position"  # the keyword of a call of tokens that come after others
OF_SEGMENTS = {"starts", "longest"}  # kinds that say where sequences begin which are packed into one
_BASE = 10000.0
_ROTARY_WIDTH = ("rotary_ndims", "rotary_dim", "rope_dim", "rotary_emb_dim", "qk_rope_head_dim")
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


def image_sides(count: int) -> tuple[int, int]:
    """The two most nearly equal factors of a number of tokens."""
    height = max(h for h in range(1, int(count**0.5) + 1) if count % h == 0)
    return height, count // height


def position_forms(kinds: Mapping[str, str]) -> list[dict[str, str]]:
    """The forms in use of arguments that give positions: cosines and sines also of half the width, or in batches.

    Indices are also those of one item, or the number of the first token.
    """
    forms = {"cos": ("", "half-", "batch-"), "sin": ("", "half-", "batch-"), "indices": ("", "flat-", "first-")}
    count = max((len(forms[kind]) for kind in kinds.values() if kind in forms), default=1)
    return [
        {name: forms.get(kind, ("",) * count)[form] + kind for name, kind in kinds.items()} for form in range(count)
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
) -> dict[str, Any]:
    """The arguments for `count` tokens from `first` on and heads of some width, as the layer takes them.

    Angles are those of RoFormer (Su et al., 2021), equation 15, each twice for a pair of cosines and sines. `turn` 0
    rotates nothing; `narrow` gives float32.
    """
    real, complex_ = (np.float32, np.complex64) if narrow else (np.float64, np.complex128)
    rotary_width = next((layer.numbers[name] for name in _ROTARY_WIDTH if layer.numbers.get(name)), width)
    places = np.arange(first, first + count)
    angles = turn * places[:, None] * _BASE ** (-np.arange(0, rotary_width, 2) / rotary_width)
    both = np.concatenate([angles, angles], axis=1)[None]
    makers: dict[str, Callable[[], Any]] = {
        "pair": lambda: (layer.convert(np.cos(both).astype(real)), layer.convert(np.sin(both).astype(real))),
        "complex": lambda: layer.convert((np.cos(angles) + 1j * np.sin(angles)).astype(complex_)),
        "height": lambda: image_sides(count)[0],
        "width": lambda: image_sides(count)[1],
        "sides": lambda: image_sides(count),
        "indices": lambda: layer.convert(places[None]),
        "flat-indices": lambda: layer.convert(places),
        "first-indices": lambda: first,
        "starts": lambda: layer.convert(np.array([0, count], np.int32)),
        "longest": lambda: count,
    }
    for form, table in (("", both[0]), ("half-", angles), ("batch-", both)):
        makers[f"{form}cos"] = functools.partial(lambda a: layer.convert(np.cos(a).astype(real)), table)
        makers[f"{form}sin"] = functools.partial(lambda a: layer.convert(np.sin(a).astype(real)), table)
    return {name: makers[kind]() for name, kind in kinds.items()}
