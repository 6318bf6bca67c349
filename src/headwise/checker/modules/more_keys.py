"""Keys and values besides those of the tokens: what the tables of a layer may be for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from headwise.checker.reference.state import Trace, configurable
from headwise.checker.search.mistakes import Explanation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array


def table_designs(table: Array, heads: int) -> Iterator[Explanation]:
    """What a table may be for: positions added to the tokens, or only to queries and keys, more tokens, or sinks."""
    rows = table.reshape(table.shape[-2:]) if table.ndim > 1 and set(table.shape[:-2]) <= {1} else None
    if table.size == heads:
        yield Explanation.of(("sinks", {"+hide": _sinks(table.reshape(1, heads, 1, 1))}))
    if rows is not None:
        yield Explanation.of(("positions-inside", {"+arrange": _to_tokens(rows)}))
        yield Explanation.of(("positions-inside", {"+project": _to_queries_and_keys(rows)}))
        yield Explanation.of(("registers", {"+arrange": _among_keys(rows)}))


def pair_designs(tables: Mapping[str, Array], heads: int, width: int) -> Iterator[Explanation]:
    """What two tables, or the halves of one, may be for: keys and values that every query sees besides its own.

    They may be multiplied by √d and by the root of their number (Cornia et al., 2020, equation 7).
    """
    ordered = sorted(tables.items(), key=lambda item: "v" in item[0].rpartition(".")[2].lower())
    pairs = [(a, b) for (_, a), (_, b) in combinations(ordered, 2) if a.shape == b.shape]
    for both in [*pairs, *(tuple(table) for table in tables.values() if table.ndim > 1 and len(table) == 2)]:
        for keys, values in zip(*(tables_of_heads(table, heads, width) for table in both), strict=True):
            factors = dict.fromkeys([(1.0, 1.0), (width**0.5, keys.shape[2] ** 0.5)])
            for of_keys, of_values in factors:
                stage = _among_scores(of_keys * keys, of_values * values)
                yield Explanation.of(("registers", {"+hide": stage}))


def tables_of_heads(table: Array, heads: int, width: int) -> Iterator[Array]:
    """A table as keys of each head, (1, H, n, d) or (1, 1, n, d), in each way that its shape allows."""
    bare = table.reshape([side for side in table.shape[:-1] if side > 1] + [table.shape[-1]])
    if bare.shape[-1] == width:
        if bare.shape[:1] == (heads,):
            yield bare.reshape(1, heads, -1, width)
        if bare.ndim == 3 and bare.shape[1] == heads:
            yield bare.swapaxes(0, 1)[None]
        if bare.ndim < 3:
            yield bare.reshape(1, 1, -1, width)
    elif bare.shape[-1] == heads * width and bare.ndim < 3:
        yield bare.reshape(-1, heads, width).swapaxes(0, 1)[None]


@configurable
def _sinks(t: Trace, logits: Array) -> None:
    t.sink = logits


@configurable
def _to_tokens(t: Trace, table: Array) -> None:
    t.X = t.X + table[: t.X.shape[1]]


@configurable
def _to_queries_and_keys(t: Trace, table: Array) -> None:
    t.q = t.q + table[: t.q.shape[1]] @ t.W["q"].T
    t.k = t.k + table[: t.k.shape[1]] @ t.W["k"].T


@configurable
def _among_keys(t: Trace, table: Array) -> None:
    tokens = t.X if t.context is None else t.context
    t.context = np.concatenate([np.broadcast_to(table, (len(tokens), *table.shape)), tokens], axis=1)


@configurable
def _among_scores(t: Trace, keys: Array, values: Array) -> None:
    """Put keys and values (1, H, n, d) before those of the tokens; with one head, the same for all."""
    count = keys.shape[2]
    t.s = np.concatenate([t.q @ keys.swapaxes(-1, -2) * t.scale, t.s], axis=-1)
    shape = (*t.v.shape[:2], count, values.shape[-1])
    t.v = np.concatenate([np.broadcast_to(values, shape), t.v], axis=2)
    if t.see is not None:
        visible = np.ones((*t.see.shape[:-1], count), bool)
        t.see = np.concatenate([visible, t.see], axis=-1)
