"""A step with a cache of keys and values against the pass over all tokens, for modules that take such a cache."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from headwise.checker.examination import Findings
from headwise.checker.invocation import CallingConvention
from headwise.checker.numpy_guard import np
from headwise.checker.probes import first_probe
from headwise.checker.reference import build, evaluate
from headwise.checker.responses import bare
from headwise.checker.roles import CACHE, role_of
from headwise.checker.search import difference
from headwise.checker.state import Case, Trace
from headwise.shapes import Array

__all__ = ["with_cached_step"]

_ASKED = re.compile(r"use_?cache|return_?(kv|cache|present)|return_?kv_?cache")
_CLOSE = 1e-4  # a module may compute in float32


def with_cached_step(findings: Findings) -> Findings:
    """The findings, and whether a module gives the same for its last token with a cache of the others.

    Where it cannot be tried, the argument stays among those that are not tested.
    """
    convention, definition = findings.convention, findings.explanation
    parameters = list(inspect.signature(convention.function).parameters)
    arguments = _cache_arguments(convention.unused)
    usual = convention.load is not None and convention.interface.axes == "BND"
    if definition is None or not arguments or not usual or not isinstance(convention.names.get("X"), str):
        return findings
    case = {k: v for k, v in first_probe(convention.interface).case.items() if k not in ("mask", "padding")}
    if len(arguments) == 2 and "rope" in definition.codes:
        return findings  # it may want its keys before their rotation or after it
    full = convention.call(case).output
    steps = (_pair_step if len(arguments) == 2 else _step)(convention, case, arguments, parameters)
    got = next((step for step in steps if full is not None and step.shape == full[:, -1:].shape), None)
    if got is None or full is None:
        return findings
    unused = tuple(p for p in convention.unused if p not in arguments)
    tested = replace(findings, convention=replace(convention, unused=unused))
    if difference(got, full[:, -1:]) <= _CLOSE:
        return tested
    aligned = definition.answer({**case, "X": case["X"][:, -1:], "context": case["X"], "align": "start"})
    if aligned is not None and difference(got, aligned.output) <= _CLOSE:
        return replace(tested, observed=(*findings.observed, "causal-alignment"))
    note = f"With a cache in `{'` and `'.join(arguments)}`, its last token gets another output than without."
    return replace(tested, unexplained=True, notes=(*findings.notes, note))


def _cache_arguments(unused: tuple[str, ...]) -> tuple[str, ...]:
    """The argument of a cache, or those of its keys and of its values."""
    alone = next((p for p in unused if CACHE.fullmatch(p.lower())), None)
    if alone is not None:
        return (alone,)
    roles = {role_of(p): p for p in unused}
    return (roles["kpast"], roles["vpast"]) if {"kpast", "vpast"} <= roles.keys() else ()


def _pair_step(
    convention: CallingConvention, case: Case, arguments: tuple[str, ...], parameters: list[str]
) -> Iterator[Array]:
    """The output for the last token, with the keys and values of the others (B, G, M, d) or (B, M, G, d)."""
    design = [change for _, change in convention.design]
    traces: list[Trace] = []
    evaluate({**case, "X": case["X"][:, :-1]}, build([*design, {"+split": traces.append}]))
    if not traces:
        return
    pairs = [t.copy() for t in (traces[0].k, traces[0].v)]
    convention.call(case)  # puts the weights in
    for swapped in (False, True):
        own = [convention.convert(a.swapaxes(1, 2) if swapped else a) for a in pairs]
        with contextlib.suppress(Exception):  # whatever somebody's module raises
            result = _result(convention, case["X"][:, -1:], dict(zip(arguments, own, strict=True)))
            yield np.array(bare(result[0]), np.float64)


def _step(
    convention: CallingConvention, case: Case, arguments: tuple[str, ...], parameters: list[str]
) -> Iterator[Array]:
    """The output for the last token, with what the call for the others has returned as the cache."""
    flags = {p: True for p in parameters if _ASKED.fullmatch(p.lower())}
    convention.call(case)  # puts the weights in
    with contextlib.suppress(Exception):  # whatever somebody's module raises: it wants its cache in another way
        start = _result(convention, case["X"][:, :-1], flags)
        cache = next(part for part in start[1:] if _is_cache(part))
        step = _result(convention, case["X"][:, -1:], {**flags, arguments[0]: cache})
        yield np.array(bare(step[0]), np.float64)


def _is_cache(part: Any) -> bool:
    """Whether it is keys and values and not, for example, attention weights."""
    return (isinstance(part, tuple | list) and len(part) > 1) or getattr(part, "ndim", 0) == 5


def _result(convention: CallingConvention, tokens: Array, others: dict[str, Any]) -> tuple[Any, ...]:
    """What the module returns for tokens, as a tuple."""
    result = convention.function(
        **{**convention.fixed, str(convention.names["X"]): convention.convert(tokens), **others}
    )
    return result if isinstance(result, tuple) else (result,)
