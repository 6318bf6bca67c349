"""The norm and the residual connection that a layer has by design, measured so that no mistake in it matters.

With all weights zero, the attention of a layer gives nothing, and what comes out is the residual connection. With
queries and keys of zero, attention mixes the values evenly and is linear in them: tokens of one length that are made
shorter come out shorter by one factor, which gives the norm before it away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from headwise.checker.catalogue.interface import VALUES_ADDED
from headwise.checker.modules.call import Call, CallError
from headwise.checker.modules.extras import is_residual
from headwise.checker.modules.gates import gates
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.norms import GROUPS, norms
from headwise.checker.modules.projections import Reading
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, Change, Trace, configurable
from headwise.checker.search.mistakes import Explanation, forms_of, singles
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_CLOSE = 1e-6  # a layer may compute its norm in float32
_NARROW = 1e-3  # eps makes a norm depend a little on the length of its tokens
_NOTHING = 1e-20  # of an even mixture, for its square
_SHORTER = 0.01  # a factor at which eps matters
_SHIFT = 2.0

Forward: TypeAlias = Callable[[Array, bool], Array | None]


def designs(layer: Layer, has_more: bool, of_context: bool = False) -> Iterator[Explanation]:
    """Normalised or rotated queries and keys; for a layer that learns more a norm, a gate, a residual connection.

    With `of_context` the norm is of the tokens that keys and values are made from, and perhaps of the others too.
    """
    gate = layer.gate
    yield from _activations() if any(map(is_residual, layer.parameters)) else ()
    yield from (one for one in singles() if one.codes[0] in ("qk-norm", "rope"))
    yield from _set_blocks()
    if has_more or gate is not None:
        both = [a + b for a in gates(gate) for b in residuals()]
        others = [*gates(gate), *residuals(), *both]
        possible_norms = norms(of_context) if has_more else []
        yield from (*possible_norms, *others)
        yield from (norm + other for norm in possible_norms for other in others if norm.goes_with(other))
    if of_context:
        joined = forms_of("context-and-tokens")
        yield from (norm + one for norm in (norms(of_context) if has_more else [Explanation()]) for one in joined)


def _activations() -> Iterator[Explanation]:
    """The residual connection of a layer whose activation comes last, as in AutoInt (Song et al., 2019, equation 9)."""
    for function in (lambda o: np.maximum(o, 0), np.tanh, lambda o: np.where(o > 0, o, np.expm1(o))):
        yield Explanation.of(("activation-last", {"+finish": _activated(function)}))


@configurable
def _activated(t: Trace, function: Callable[[Array], Array]) -> None:
    t.o = function(t.o + t.X)


def residuals() -> list[Explanation]:
    """The ways to add the tokens to the output."""
    return [one for one in forms_of("residual-added") if one.changes[0] is not VALUES_ADDED]


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
    causal = measured.factor != 0 and not call.takes_context and _is_causal(layer, varied)
    near: Explanation | None = None
    for design in (Explanation(), *designs(call.layer, has_more, call.takes_context)):
        if design.codes and design.codes[0] in ("qk-norm", "rope"):
            continue
        after = any("+finish" in change for code, change in design.pairs if code == "norm-added")
        forward = definition(design)
        if not measured.has_residual_of(forward, varied):
            continue
        expected = _Signature.of(forward, varied)
        if expected is None or (after and not expected.residual[0].any()):
            continue  # all that is known of a norm after attention is what it makes of the residual connection
        if measured.agrees(expected, after):
            return design
        if near is None and measured.agrees(expected, after, _NARROW):
            near = design  # of groups of features the values determine the factor, and a mistake may mix others
    return near


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
        if size < _NOTHING * float((X**2).sum()):  # of features that are zero on average over the tokens
            return cls([a for a, _ in outputs[:2]], 0.0, [])
        factor = float((ordinary * shorter).sum()) / size
        same = [difference(a, ordinary) < _NARROW for a in (-negative, *others)]
        return cls([a for a, _ in outputs[:2]], factor, same)

    def has_residual_of(self, forward: Forward, X: Array) -> bool:
        """Whether a design gives the same outputs without weights, which takes two calls and rules most of them out."""
        outputs = (forward(a, False) for a in (X, _SHORTER * X))
        pairs = zip(self.residual, outputs, strict=True)
        return all(b is not None and difference(a, b) <= _CLOSE for a, b in pairs)

    def agrees(self, expected: _Signature, after: bool, tolerance: float = _CLOSE) -> bool:
        """Whether both follow an even mixture alike; a norm `after` all makes it anything but linear."""
        same = abs(self.factor - expected.factor) <= tolerance * abs(expected.factor)
        return after or (same and self.invariances == expected.invariances)


def _set_blocks() -> list[Explanation]:
    """The queries added to the output, and a layer with relu after it (Lee et al., 2019, equation 6)."""
    changes: list[Change] = [{"+merge": _add_queries, "output": _feed_forward}, {"+merge": _add_queries}]
    return [Explanation.of(("set-block", change)) for change in changes]


def _add_queries(t: Trace) -> None:
    t.o = t.o + t.q.swapaxes(1, 2).reshape(t.o.shape)


def _feed_forward(t: Trace) -> None:
    t.o = t.o + np.maximum(t.o @ t.W["o"].T + t.b.get("o", 0), 0) if "o" in t.W else t.o
