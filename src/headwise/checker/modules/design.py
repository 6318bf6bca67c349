"""The norm and the residual connection that a layer has by design, measured so that no mistake in it matters.

With all weights zero, the attention of a layer gives nothing, and what comes out is the residual connection. With
queries and keys of zero, attention mixes the values evenly and is linear in them: tokens of one length that are made
shorter come out shorter by one factor, which gives the norm before it away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from headwise.checker.modules.calls import Call, CallError
from headwise.checker.modules.projections import Reading
from headwise.checker.numpy_guard import np
from headwise.checker.search import Explanation, difference, singles
from headwise.checker.state import Case, Change, Trace
from headwise.shapes import Array

__all__ = ["designs", "measured_design", "residuals"]

_CLOSE = 1e-6  # a layer may compute its norm in float32
_NARROW = 1e-3  # eps makes a norm depend a little on the length of its tokens
_SHORTER = 0.01  # a factor at which eps matters
_SHIFT = 2.0
_GROUPS = (32, 16, 8, 4, 2, 1)

Forward: TypeAlias = Callable[[Array, bool], Array | None]


def designs(has_norm: bool) -> Iterator[Explanation]:
    """Normalised or rotated queries and keys; for a layer that learns more a norm, a residual connection, or both."""
    yield from (one for one in singles() if one.codes[0] in ("qk-norm", "rope"))
    if has_norm:
        norms = [*(one for one in singles() if one.codes == ("norm-added",)), *_group_norms()]
        yield from (*norms, *residuals())
        yield from (norm + residual for norm in norms for residual in residuals() if norm.goes_with(residual))


def residuals() -> list[Explanation]:
    """The ways to add the tokens to the output."""
    return [one for one in singles() if one.codes == ("residual-added",)]


def measured_design(call: Call, reading: Reading, weights: dict[str, Array]) -> Explanation | None:
    """Return the norm and the residual connection of a layer; None if they are none of the usual ones.

    Parameters
    ----------
    call : Call
        How the layer is called.
    reading : Reading
        How its parameters are read.
    weights : dict
        Weights of ordinary size for it.
    """
    s, rng = reading.sizes, np.random.default_rng(11)
    X = rng.normal(size=(call.batch, call.count, s.model))
    X = (X - X.mean(axis=-1, keepdims=True)) / X.std(axis=-1, keepdims=True)
    zero = {name: np.zeros_like(a) for name, a in weights.items()}
    even = zero | {name: weights[name] for name in ("Wv", "Wo") if name in weights}

    def layer(tokens: Array, values: bool) -> Array | None:
        try:
            call.layer.write(reading.stored(even if values else zero))
            return call(tokens)
        except (CallError, ValueError):
            return None

    def definition(design: Explanation) -> Forward:
        def forward(tokens: Array, values: bool) -> Array | None:
            case: Case = {"X": tokens, "heads": s.heads, "key_heads": s.key_heads, **(even if values else zero)}
            result = design.answer(case)
            return None if result is None else result.output

        return forward

    if s.context != s.model or (measured := _Signature.of(layer, X)) is None:
        return None
    for design in (Explanation(), *designs(has_norm=True)):
        if design.codes and design.codes[0] in ("qk-norm", "rope"):
            continue
        expected = _Signature.of(definition(design), X)
        after = any(
            "+finish" in c for code, c in zip(design.codes, design.changes, strict=True) if code == "norm-added"
        )
        if expected is not None and measured.agrees(expected, after) and (design.codes != ("norm-added",) or not after):
            return design
    return None


class _Signature:
    """What tells one design from another: outputs without weights, and how an even mixture follows its tokens."""

    def __init__(self, residual: list[Array], factor: float, invariances: list[bool]) -> None:
        self.residual, self.factor, self.invariances = residual, factor, invariances

    @classmethod
    def of(cls, forward: Forward, X: Array) -> _Signature | None:
        """Measure a layer, or the definition."""
        model = X.shape[-1]
        longer = X * np.arange(1, X.shape[1] + 1)[:, None]  # each token by a factor of its own
        shifted = [X + _SHIFT * (np.arange(model) < model // g) for g in _GROUPS if model % g == 0]
        pairs = [(forward(a, False), forward(a, True)) for a in (X, _SHORTER * X, longer, *shifted)]
        outputs = [(a, b) for a, b in pairs if a is not None and b is not None and np.isfinite(b).all()]
        if len(outputs) < len(pairs) or not all(np.isfinite(a).all() for a, _ in outputs):
            return None
        ordinary, shorter, *others = (b - a for a, b in outputs)
        size = float((ordinary**2).sum())
        if size == 0:
            return None
        factor = float((ordinary * shorter).sum()) / size
        return cls([a for a, _ in outputs[:2]], factor, [difference(a, ordinary) < _NARROW for a in others])

    def agrees(self, expected: _Signature, after: bool) -> bool:
        """Whether both are of one design; a norm `after` all makes the mixture anything but linear."""
        if any(difference(a, b) > _CLOSE for a, b in zip(self.residual, expected.residual, strict=True)):
            return False
        same = abs(self.factor - expected.factor) <= _CLOSE * abs(expected.factor)
        return after or (same and self.invariances == expected.invariances)


def _group_norms() -> list[Explanation]:
    """Norms over all tokens and a group of features, as of images."""

    def change(groups: int, eps: float) -> Change:
        def normalize(t: Trace) -> None:
            if t.X.shape[-1] % groups:
                raise ValueError(f"{groups} groups of {t.X.shape[-1]} features")
            a = t.X.reshape(*t.X.shape[:2], groups, -1)
            centred = a - a.mean(axis=(1, 3), keepdims=True)
            t.X = (centred / np.sqrt((centred**2).mean(axis=(1, 3), keepdims=True) + eps)).reshape(t.X.shape)

        return {"+arrange": normalize}

    return [Explanation(("norm-added",), (change(g, eps),)) for g in _GROUPS for eps in (1e-6, 1e-5)]
