"""The norm and the residual connection that a layer has by design, measured so that no mistake in it matters.

With all weights zero, the attention of a layer gives nothing, and what comes out is the residual connection. With
queries and keys of zero, attention mixes the values evenly and is linear in them: tokens of one length that are made
shorter come out shorter by one factor, which gives the norm before it away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import TypeAlias

from headwise.checker.differences import difference
from headwise.checker.modules.call import Call, CallError
from headwise.checker.modules.gates import gates
from headwise.checker.modules.layer import Gate
from headwise.checker.modules.norms import GROUPS, norms
from headwise.checker.modules.projections import Reading
from headwise.checker.numpy_guard import np
from headwise.checker.search import Explanation, singles
from headwise.checker.state import Case, Change, Stage, Trace
from headwise.shapes import Array

_CLOSE = 1e-6  # a layer may compute its norm in float32
_NARROW = 1e-3  # eps makes a norm depend a little on the length of its tokens
_SHORTER = 0.01  # a factor at which eps matters
_SHIFT = 2.0

Forward: TypeAlias = Callable[[Array, bool], Array | None]


def designs(has_more: bool, of_context: bool = False, gate: Gate | None = None) -> Iterator[Explanation]:
    """Normalised or rotated queries and keys; for a layer that learns more a norm, a gate, a residual connection.

    With `of_context` the norm is of the tokens that keys and values are made from, and perhaps of the others too.
    """
    yield from (one for one in singles() if one.codes[0] in ("qk-norm", "rope"))
    yield from _set_blocks()
    if has_more or gate is not None:
        both = [a + b for a in gates(gate) for b in residuals()]
        others = [*gates(gate), *residuals(), *both]
        possible_norms = norms(of_context) if has_more else []
        yield from (*possible_norms, *others)
        yield from (norm + other for norm in possible_norms for other in others if norm.goes_with(other))


def residuals() -> list[Explanation]:
    """The ways to add the tokens to the output."""
    return [one for one in singles() if one.codes == ("residual-added",)]


def table_designs(table: Array, heads: int) -> Iterator[Explanation]:
    """What a table may be for: positions added to the tokens, or only to queries and keys, more tokens, or sinks."""
    rows = table.reshape(table.shape[-2:]) if table.ndim > 1 and set(table.shape[:-2]) <= {1} else None
    if table.size == heads:
        yield Explanation(("sinks",), ({"+hide": _sinks(table.reshape(1, heads, 1, 1))},))
    if rows is not None:
        yield Explanation(("positions-inside",), ({"+arrange": _to_tokens(rows)},))
        yield Explanation(("positions-inside",), ({"+project": _to_queries_and_keys(rows)},))
        yield Explanation(("registers",), ({"+arrange": _among_keys(rows)},))


def pair_designs(tables: Mapping[str, Array], heads: int, width: int) -> Iterator[Explanation]:
    """What two tables, or the halves of one, may be for: keys and values that every query sees besides its own."""
    ordered = sorted(tables.items(), key=lambda item: "v" in item[0].rpartition(".")[2].lower())
    pairs = [(a, b) for (_, a), (_, b) in combinations(ordered, 2) if a.shape == b.shape]
    for keys, values in [*pairs, *(tuple(table) for table in tables.values() if len(table) == 2)]:
        if keys.size % width == 0 and keys.size // width in (1, heads):
            shape = (1, keys.size // width, 1, width)
            yield Explanation(("registers",), ({"+hide": _among_scores(keys.reshape(shape), values.reshape(shape))},))


def measured_design(call: Call, reading: Reading, weights: dict[str, Array], has_more: bool) -> Explanation | None:
    """Return the norm and the residual connection of a layer; None if they are none of the usual ones.

    `call`: how the layer is called.
    `reading`: how its parameters are read.
    `weights`: weights of ordinary size for it.
    `has_more`: whether it learns more than its projections.
    """
    s, rng = reading.sizes, np.random.default_rng(11)
    X = rng.normal(size=(call.batch, call.rows, s.model))
    varied = rng.normal(size=(call.batch, call.count, s.context))
    varied = (varied - varied.mean(axis=-1, keepdims=True)) / varied.std(axis=-1, keepdims=True)
    zero = {name: np.zeros_like(a) for name, a in weights.items()}
    even = zero | {name: weights[name] for name in ("Wv", "Wo") if name in weights}

    def tokens_of(tokens: Array) -> dict[str, Array]:
        return {"X": X, "context": tokens} if call.takes_context else {"X": tokens}

    def layer(tokens: Array, values: bool) -> Array | None:
        try:
            call.layer.write(reading.stored(even if values else zero))
            return call(**tokens_of(tokens))
        except (CallError, ValueError):
            return None

    def definition(design: Explanation) -> Forward:
        def forward(tokens: Array, values: bool) -> Array | None:
            case: Case = {"heads": s.heads, "key_heads": s.key_heads, **tokens_of(tokens), **(even if values else zero)}
            result = design.answer(case | {"causal": causal})
            return None if result is None else result.output

        return forward

    if (measured := _Signature.of(layer, varied)) is None:
        return None
    causal = not call.takes_context and _is_causal(layer, varied)
    for design in (Explanation(), *designs(has_more, call.takes_context, call.layer.gate)):
        if design.codes and design.codes[0] in ("qk-norm", "rope"):
            continue
        expected = _Signature.of(definition(design), varied)
        after = any(
            "+finish" in c for code, c in zip(design.codes, design.changes, strict=True) if code == "norm-added"
        )
        if expected is None or (after and not expected.residual[0].any()):
            continue  # all that is known of a norm after attention is what it makes of the residual connection
        if measured.agrees(expected, after):
            return design
    return None


def _is_causal(forward: Forward, tokens: Array) -> bool:
    """Whether the last token has no influence on the output of the first."""
    others = tokens.copy()
    others[:, -1] *= -1
    outputs = [output for a in (tokens, others) if (output := forward(a, True)) is not None]
    return len(outputs) == 2 and difference(outputs[0][:, 0], outputs[1][:, 0]) < _CLOSE


class _Signature:
    """What distinguishes designs: outputs without weights, and how an even mixture follows its tokens."""

    def __init__(self, residual: list[Array], factor: float, invariances: list[bool]) -> None:
        self.residual, self.factor, self.invariances = residual, factor, invariances

    @classmethod
    def of(cls, forward: Forward, X: Array) -> _Signature | None:
        """Measure a layer, or the definition."""
        model = X.shape[-1]
        longer = X * np.arange(1, X.shape[1] + 1)[:, None]  # each token by a factor of its own
        shifted = [X + _SHIFT * (np.arange(model) < model // g) for g in GROUPS if model % g == 0]
        pairs = [(forward(a, False), forward(a, True)) for a in (X, _SHORTER * X, -X, longer, *shifted)]
        outputs = [(a, b) for a, b in pairs if a is not None and b is not None and np.isfinite(b).all()]
        if len(outputs) < len(pairs) or not all(np.isfinite(a).all() for a, _ in outputs):
            return None
        ordinary, shorter, negative, *others = (b - a for a, b in outputs)
        size = float((ordinary**2).sum())
        if size == 0:
            return None
        factor = float((ordinary * shorter).sum()) / size
        same = [difference(a, ordinary) < _NARROW for a in (-negative, *others)]
        return cls([a for a, _ in outputs[:2]], factor, same)

    def agrees(self, expected: _Signature, after: bool) -> bool:
        """Whether both are of one design; a norm `after` all makes the mixture anything but linear."""
        if any(difference(a, b) > _CLOSE for a, b in zip(self.residual, expected.residual, strict=True)):
            return False
        same = abs(self.factor - expected.factor) <= _CLOSE * abs(expected.factor)
        return after or (same and self.invariances == expected.invariances)


def _set_blocks() -> list[Explanation]:
    """The queries added to the output, and a layer with relu after it (Lee et al., 2019, equation 6)."""
    changes: list[Change] = [{"+merge": _add_queries, "output": _feed_forward}, {"+merge": _add_queries}]
    return [Explanation(("set-block",), (change,)) for change in changes]


def _add_queries(t: Trace) -> None:
    t.o = t.o + t.q.swapaxes(1, 2).reshape(t.o.shape)


def _feed_forward(t: Trace) -> None:
    t.o = t.o + np.maximum(t.o @ t.W["o"].T + t.b.get("o", 0), 0) if "o" in t.W else t.o


def _sinks(logits: Array) -> Stage:
    def add(t: Trace) -> None:
        t.sink = logits

    return add


def _to_tokens(table: Array) -> Stage:
    def add(t: Trace) -> None:
        t.X = t.X + table[: t.X.shape[1]]

    return add


def _among_keys(table: Array) -> Stage:
    def add(t: Trace) -> None:
        tokens = t.X if t.context is None else t.context
        t.context = np.concatenate([np.broadcast_to(table, (len(tokens), *table.shape)), tokens], axis=1)

    return add


def _among_scores(keys: Array, values: Array) -> Stage:
    def add(t: Trace) -> None:
        more = (t.q * keys).sum(axis=-1, keepdims=True) * t.scale
        t.s = np.concatenate([more, t.s], axis=-1)
        t.v = np.concatenate([np.broadcast_to(values, (*t.v.shape[:2], *values.shape[2:])), t.v], axis=2)
        t.see = None if t.see is None else np.concatenate([np.ones_like(t.see[..., :1]), t.see], axis=-1)

    return add


def _to_queries_and_keys(table: Array) -> Stage:
    def add(t: Trace) -> None:
        t.q = t.q + table[: t.q.shape[1]] @ t.W["q"].T
        t.k = t.k + table[: t.k.shape[1]] @ t.W["k"].T

    return add
