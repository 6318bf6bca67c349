"""Norms that a layer may have by design: of its tokens, of a context, of what its heads give, and of its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from headwise.checker.catalogue.interface import layer_norm, rms_norm
from headwise.checker.reference.state import Change, Stage, Trace
from headwise.checker.search.mistakes import Explanation, forms_of
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

GROUPS = (32, 16, 8, 4, 2, 1)  # numbers of groups of features, for norms of images
_EPS = (1e-5, 1e-6, 1e-8)

Norm: TypeAlias = Callable[[Array], Array]


def norms(of_context: bool) -> list[Explanation]:
    """Every norm; with `of_context` those of the tokens that keys and values are made from come first."""
    usual = forms_of("norm-added")
    own = [_explained({"+arrange": _of_tokens(norm)}) for norm in _unbiased()]
    own += [_explained({"+finish": _of_output(norm)}) for norm in _unbiased()]
    before_projection = [_explained({place: _of_output(n)}) for n in _every_norm() for place in ("+merge", "+mix")]
    outer = [*usual, *own]
    first = _context_norms(outer) if of_context else ()
    return [*first, *outer, *before_projection, *(() if of_context else _group_norms())]


def _explained(change: Change) -> Explanation:
    return Explanation(("norm-added",), (change,))


def _unbiased() -> list[Norm]:
    """Layer norms by the standard deviation with one degree of freedom less, as `torch.std` gives it."""

    def norm(x: Array, eps: float) -> Array:
        if x.shape[-1] < 2:
            raise ValueError("one feature has no such deviation")
        return np.asarray((x - x.mean(axis=-1, keepdims=True)) / (x.std(axis=-1, ddof=1, keepdims=True) + eps))

    return [partial(norm, eps=eps) for eps in _EPS]


def _every_norm() -> list[Norm]:
    kinds = [partial(kind, eps=eps, on_std=False) for kind in (layer_norm, rms_norm) for eps in _EPS]
    return [*kinds, *_unbiased()]


def _of_tokens(norm: Norm) -> Stage:
    def normalize(t: Trace) -> None:
        t.X = norm(t.X)

    return normalize


def _of_output(norm: Norm) -> Stage:
    def normalize(t: Trace) -> None:
        t.o = norm(t.o)

    return normalize


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

    return [_explained(change(g, eps)) for g in GROUPS for eps in (1e-6, 1e-5)]


def _context_norms(norms: list[Explanation]) -> Iterator[Explanation]:
    """Norms of the tokens and of their context, then of the context alone."""

    def of_context(stage: Stage, of_tokens: bool) -> Stage:
        def normalize(t: Trace) -> None:
            tokens = t.X
            if t.context is not None:
                t.X = t.context
                stage(t)
                t.X, t.context = tokens, t.X
            if of_tokens:
                stage(t)

        return normalize

    for of_tokens in (True, False):
        for norm in norms:
            if "+arrange" in norm.changes[0]:
                yield _explained({"+arrange": of_context(norm.changes[0]["+arrange"], of_tokens)})
