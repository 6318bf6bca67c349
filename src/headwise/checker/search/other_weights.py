"""Attention whose weights are no softmax of the logits, as a change of the reference: sparsemax, ReLU, kernels, …

A function is compared with one of these only if its name or the first sentence of its documentation says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.reference.definition import row_sums
from headwise.checker.reference.state import Change, Trace, configurable
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_EPSILONS = (0.0, 1e-6, 1e-8, 1e-5, 1e-9, 1e-10, 1e-12)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of attention: its convention, its name, how a function states it, and the forms in use."""

    code: str
    name: str
    stated: str
    forms: tuple[Change, ...]
    has_others: bool = True  # whether there are more forms than these, so that a function may be right with another


def stated_kind(documentation: Documentation) -> Kind | None:
    """The kind that the name of a function or the first sentence of its documentation states; None for softmax."""
    first = re.split(r"\n\s*\n|(?<=[.;])\s", documentation.docstring.strip(), maxsplit=1)[0]
    text = f"{documentation.name.replace('_', ' ')}\n{first}"
    return next((kind for kind in KINDS if re.search(kind.stated, text, re.IGNORECASE)), None)


def _as_they_are(t: Trace) -> None:
    """Leave the logits."""


def _take_exponentials(t: Trace) -> None:
    t.p = t.e


def _visible(t: Trace, a: Array) -> Array:
    return a if t.see is None else np.where(t.see, a, 0.0)


def _sparsemax(t: Trace) -> None:
    """Martins and Astudillo (2016): the projection of the logits onto the simplex."""
    s = -np.sort(-t.s, axis=-1)
    counts = np.arange(1, s.shape[-1] + 1)
    sums = np.where(np.isfinite(s), s, 0).cumsum(axis=-1)
    support = (1 + counts * s > sums).sum(axis=-1, keepdims=True)
    last = np.maximum(support - 1, 0)
    threshold = (np.take_along_axis(sums, last, axis=-1) - 1) / np.maximum(support, 1)
    t.e = _visible(t, np.maximum(t.s - threshold, 0.0))


def _entmax(t: Trace) -> None:
    """Peters et al. (2019): α-entmax with α = 1.5."""
    s = -np.sort(-t.s / 2, axis=-1)
    counts = np.arange(1, s.shape[-1] + 1)
    seen = np.isfinite(s)
    mean = np.where(seen, s, 0).cumsum(axis=-1) / counts
    squares = np.where(seen, s, 0) ** 2
    spread = 1 - (squares.cumsum(axis=-1) - counts * mean**2)
    thresholds = mean - np.sqrt(np.maximum(spread / counts, 0))
    support = ((thresholds <= s) & seen).sum(axis=-1, keepdims=True)
    threshold = np.take_along_axis(thresholds, np.maximum(support - 1, 0), axis=-1)
    t.e = _visible(t, np.maximum(t.s / 2 - threshold, 0.0) ** 2)


@configurable
def _rectified(t: Trace, power: int) -> None:
    t.e = _visible(t, np.maximum(t.s, 0.0) ** power)


@configurable
def _sigmoid(t: Trace, shifted: bool) -> None:
    t.e = _visible(t, 1 / (1 + np.exp(-(t.s - shifted * np.log(t.s.shape[-1])))))


def _over_count(t: Trace) -> None:
    t.p = t.e / t.e.shape[-1]


def _over_visible(t: Trace) -> None:
    counts = t.e.shape[-1] if t.see is None else np.broadcast_to(t.see, t.e.shape).sum(axis=-1, keepdims=True)
    t.p = t.e / np.maximum(counts, 1)


@configurable
def _over_sum(t: Trace, eps: float) -> None:
    total = row_sums(t) + eps
    t.p = t.e / np.where(total == 0, 1, total)


def _softmax(a: Array, axis: int) -> Array:
    e = np.exp(a - a.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


@configurable
def _of_features(t: Trace, query: Callable[[Array], Array], key: Callable[[Array], Array]) -> None:
    t.e = _visible(t, query(t.q) @ key(t.k).swapaxes(-1, -2))


def _elu(a: Array) -> Array:
    return np.where(a > 0, a + 1, np.exp(np.minimum(a, 0)))


def _relu(a: Array) -> Array:
    return np.maximum(a, 0.0)


def _same(a: Array) -> Array:
    return a


def _of_kernels() -> Iterator[Change]:
    maps = (_elu, _relu, np.exp, lambda a: a**2, lambda a: _softmax(a, -1))
    both = [_of_features(one, one) for one in maps]
    efficient = _of_features(lambda a: _softmax(a, -1), lambda a: _softmax(a, -2))
    for features, eps in product(both, _EPSILONS):
        yield {"shift": _as_they_are, "exponentiate": features, "divide": _over_sum(eps)}
    for features in (efficient, _of_features(_same, _same)):
        yield {"shift": _as_they_are, "exponentiate": features, "divide": _take_exponentials}


def _rectifying() -> Iterator[Change]:
    divisions = (_over_count, _over_visible, *map(_over_sum, _EPSILONS))
    for power, divide in product((1, 2), divisions):
        yield {"shift": _as_they_are, "exponentiate": _rectified(power), "divide": divide}


def _squashing() -> Iterator[Change]:
    for shifted, divide in product((False, True), (_take_exponentials, _over_count, *map(_over_sum, _EPSILONS))):
        yield {"shift": _as_they_are, "exponentiate": _sigmoid(shifted), "divide": divide}


def _talking(turned: bool) -> Change:
    """Mix the logits of the heads, and their weights, by matrices that are given (Shazeer et al., 2020).

    `turned`: whether the new heads are the rows of both, not the columns.
    """

    def mixed(a: Array, matrix: Array) -> Array:
        mixed_heads: Array = np.einsum("hg,bhnm->bgnm", matrix.T if turned else matrix, a)
        return mixed_heads

    def mix_logits(t: Trace) -> None:
        t.s = mixed(t.s, t.case["Tl"]) if "Tl" in t.case else t.s

    def mix_weights(t: Trace) -> None:
        t.p = mixed(t.p, t.case["Tw"]) if "Tw" in t.case else t.p

    return {"+logits": mix_logits, "+divide": mix_weights}


KINDS = (
    Kind(
        "sparsemax",
        "sparsemax attention",
        r"sparsemax",
        ({"exponentiate": _sparsemax, "divide": _take_exponentials},),
        False,
    ),
    Kind("entmax", "entmax attention", r"entmax", ({"exponentiate": _entmax, "divide": _take_exponentials},)),
    Kind("topk-weights", "top-k attention", r"top\W?k\b", ()),
    Kind(
        "relu-weights",
        "ReLU attention",
        r"\brelu(\^?2|²)?\W+(\w+\W+)?(attention|weights|in place|instead)|(squared|with a?) ?relu|"
        r"rectified linear attention",
        tuple(_rectifying()),
    ),
    Kind(
        "sigmoid-weights",
        "sigmoid attention",
        r"sigmoid\W+(self\W+)?(attention|weights|in place|instead)|with (a )?sigmoid",
        tuple(_squashing()),
    ),
    Kind(
        "kernel-weights",
        "linear attention",
        r"\blinear\W+(self\W+|cross\W+|causal\W+)?(attention|attn)|linear(ized)? transformer|kerneli[sz]ed|"
        r"performer|favor|\belu\b|feature map|(?<!memory.)efficient attention|cosformer|random features",
        tuple(_of_kernels()),
    ),
    Kind(
        "talking-heads",
        "talking-heads attention",
        r"talking\W*heads?",
        (_talking(turned=False), _talking(turned=True)),
        has_others=False,
    ),
)
