"""Whether the keys and values that a step with a cache returns are those of all tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from headwise.checker.arguments.presentation import arrange_axes
from headwise.checker.arguments.signatures import signature_of
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import bare
from headwise.checker.probes import first_probe
from headwise.checker.reference.state import Case
from headwise.checker.search.findings import Findings
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_CLOSE = 1e-5  # a function may compute in float32


def with_returned_caches(findings: Findings) -> Findings:
    """The findings, with a note if a returned cache lacks the new keys or values, or holds others or the other ones."""
    convention = findings.convention
    if not convention.interface.cached or findings.explanation is None:
        return findings
    case = first_probe(convention.interface).case
    past = _past(convention, case)
    full = _all_keys_and_values(convention, case)
    order: list[int] = []
    for array in _arrays(convention.returned(case)):
        if convention.interface.preallocated:  # what is behind the tokens is left as it was
            full = [x[tuple(map(slice, array.shape))] for x in full if x.ndim == array.ndim]
        same = [array.shape == x.shape and np.allclose(array, x, rtol=_CLOSE, atol=_CLOSE) for x in full]
        if any(same):
            order.append(same.index(True))
        elif array.shape in {x.shape for x in (*past, *full)}:
            return findings.with_problem("A cache that it returns does not hold the keys or values of all tokens.")
    if order == [1, 0] and not _takes_values_first(convention):
        return findings.with_problem("It returns the values of all tokens first, where it takes the keys first.")
    return findings


def _takes_values_first(convention: CallingConvention) -> bool:
    parameters = [p.name for p in signature_of(convention.function) or ()]
    places = [parameters.index(name) for name in _names(convention) if name in parameters]
    return places != sorted(places)


def _all_keys_and_values(convention: CallingConvention, case: Case) -> list[Array]:
    """The keys and values of all tokens, in the layout of the cache."""
    if "X" not in case:
        layout, room = convention.interface.axes, 2 * convention.interface.preallocated
        full = [arrange_axes(case[x], "BHNd", layout) for x in "kv"]
        sizes = [(0, room if axis == "N" else 0) for axis in layout]
        return [np.pad(a, sizes, constant_values=7.0) for a in full]
    longer = np.concatenate([case["context"], case["X"]], axis=1)  # of which the last token is not in the cache
    return _past(convention, case | {"context": longer})


def _past(convention: CallingConvention, case: Case) -> list[Array]:
    """The keys and values of earlier tokens as the function receives them."""
    arguments = convention.arguments(case)
    return [np.asarray(arguments[name]) for name in _names(convention)]


def _names(convention: CallingConvention) -> list[str]:
    return [name if isinstance(name := convention.names[role], str) else role for role in ("kpast", "vpast")]


def _arrays(value: Any) -> Iterator[Array]:
    """The arrays in what a function returned, however they are nested, without the first."""
    if isinstance(value, tuple | list):
        for part in value[1:]:
            yield from _leaves(part)


def _leaves(value: Any) -> Iterator[Array]:
    if isinstance(value, Mapping):
        value = tuple(value[name] for name in sorted(value, key=str))  # k before v
    if isinstance(value, tuple | list) and any(getattr(part, "ndim", 0) > 1 for part in value):
        for part in value:
            yield from _leaves(part)
    else:
        with contextlib.suppress(Exception):  # whatever else a function may return
            yield np.asarray(bare(value), dtype=np.float64)
