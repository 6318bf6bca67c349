"""Learned vectors for the distance of a query and a key: what the tables of a layer may be for.

Their products with the queries are added to the logits, and their mixtures to those of the values (Shaw et al., 2018,
equations 3 and 4); of an image, there is a table for each of its two axes (Li et al., 2022, equation 4).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise, product

from headwise.checker.modules.more_keys import tables_of_heads
from headwise.checker.reference.state import Change, Trace, image_sides
from headwise.checker.search.mistakes import Explanation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_OF_VALUES = re.compile(r"(^|[._])(\w*_)?v(al(ue)?s?)?([._]|$)", re.IGNORECASE)


def relative_designs(tables: Mapping[str, Array], heads: int, width: int) -> Iterator[Explanation]:
    """What tables may be for that hold a vector, as wide as a head, for each distance."""
    stacks = {name: list(tables_of_heads(table, heads, width)) for name, table in tables.items()}
    of_values = [name for name in stacks if _OF_VALUES.search(name)]
    of_keys = [name for name in stacks if name not in of_values]
    for keys, values, sign in product(of_keys or [""], of_values or [""], (1, -1)):
        for a, b, scaled in product(stacks.get(keys, [None]), stacks.get(values, [None]), (True, False)):
            yield from (_explained(a, b, sign, scaled, last) for last in (False, True))
    for first, second in pairwise(of_keys):
        for rows, columns, sign, scaled in product(stacks[first], stacks[second], (1, -1), (False, True)):
            yield _of_image(rows, columns, sign, scaled)


def _explained(keys: Array | None, values: Array | None, sign: int, scaled: bool, last: bool) -> Explanation:
    """Of keys, of values or of both; `last`: no key is later, and the query's own place has the last vector.

    With the other sign it has the first.
    """

    def of(table: Array, t: Trace) -> Array:
        places = sign * (np.arange(t.k.shape[2]) - np.arange(t.q.shape[2])[:, None])
        count = table.shape[2]
        own = count // 2 if not last else count - 1 if sign > 0 else 0
        return table[:, :, np.clip(places + own, 0, count - 1)]

    def add(t: Trace) -> None:
        if keys is not None:
            t.s = t.s + (t.q[:, :, :, None] * of(keys, t)).sum(axis=-1) * (t.scale if scaled else 1)

    def mix(t: Trace) -> None:
        if values is not None:
            t.o = t.o + (t.p[..., None] * of(values, t)).sum(axis=3)

    return _with({"+logits": add, "+mix": mix})


def _of_image(of_rows: Array, of_columns: Array, sign: int, scaled: bool) -> Explanation:
    def add(t: Trace) -> None:
        sides = image_sides(t.k.shape[2])
        for axis, table in enumerate((of_rows, of_columns)):
            places = np.indices(sides)[axis].ravel()
            distances = sign * (places - places[:, None])
            vectors = table[:, :, distances + sides[axis] - 1]
            t.s = t.s + (t.q[:, :, :, None] * vectors).sum(axis=-1) * (t.scale if scaled else 1)

    return _with({"+logits": add})


def _with(change: Change) -> Explanation:
    return Explanation.of(("position-bias", change))
