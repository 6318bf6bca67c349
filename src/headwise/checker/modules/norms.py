"""Norms that a layer may have by design: of its tokens, of a context, of what its heads give, and of its output."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from headwise.checker.catalogue.interface import norm_after, norm_before
from headwise.checker.reference.stages import rms, standard
from headwise.checker.reference.state import Change, Stage, Trace, configurable
from headwise.checker.search.mistakes import Explanation, forms_of
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

GROUPS = (32, 16, 8, 4, 2, 1)  # numbers of groups of features, for norms of images
_EPS = (1e-5, 1e-6, 1e-8)


def norms(of_context: bool) -> list[Explanation]:
    """Every norm; with `of_context` those of the tokens that keys and values are made from come first."""
    usual = forms_of("norm-added")
    own = [_explained({"+arrange": norm_before(_unbiased, eps)}) for eps in _EPS]
    own += [_explained({"+finish": norm_after(_unbiased, eps)}) for eps in _EPS]
    kinds = product((standard, rms, _unbiased), _EPS, ("+merge", "+mix"))
    before_projection = [_explained({place: norm_after(norm, eps)}) for norm, eps, place in kinds]
    outer = [*usual, *own]
    first = _context_norms(outer) if of_context else ()
    return [*first, *outer, *before_projection, *(() if of_context else _group_norms())]


def _explained(change: Change) -> Explanation:
    return Explanation.of(("norm-added", change))


def _unbiased(x: Array, eps: float) -> Array:
    """A layer norm by the standard deviation with one degree of freedom less, as `torch.std` gives it."""
    if x.shape[-1] < 2:
        raise ValueError("one feature has no such deviation")
    return np.asarray((x - x.mean(axis=-1, keepdims=True)) / (x.std(axis=-1, ddof=1, keepdims=True) + eps))


@configurable
def _in_groups(t: Trace, groups: int, eps: float) -> None:
    """Normalise over all tokens and a group of features, as of images."""
    if t.X.shape[-1] % groups:
        raise ValueError(f"{groups} groups of {t.X.shape[-1]} features")
    a = t.X.reshape(*t.X.shape[:2], groups, -1)
    centred = a - a.mean(axis=(1, 3), keepdims=True)
    t.X = (centred / np.sqrt((centred**2).mean(axis=(1, 3), keepdims=True) + eps)).reshape(t.X.shape)


def _group_norms() -> list[Explanation]:
    return [_explained({"+arrange": _in_groups(g, eps)}) for g in GROUPS for eps in (1e-6, 1e-5)]


@configurable
def _of_context(t: Trace, norm: Stage, of_tokens: bool) -> None:
    tokens = t.X
    if t.context is not None:
        t.X = t.context
        norm(t)
        t.X, t.context = tokens, t.X
    if of_tokens:
        norm(t)


def _context_norms(norms: list[Explanation]) -> Iterator[Explanation]:
    """Norms of the tokens and of their context, then of the context alone."""
    of_tokens = [norm.changes[0]["+arrange"] for norm in norms if "+arrange" in norm.changes[0]]
    yield from (_explained({"+arrange": _of_context(norm, both)}) for both in (True, False) for norm in of_tokens)
