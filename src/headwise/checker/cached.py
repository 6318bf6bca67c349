"""A step with a cache of keys and values against the pass over all tokens, for modules that take such a cache."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import Any

from headwise.checker.examination import Findings
from headwise.checker.invocation import CallingConvention
from headwise.checker.numpy_guard import np
from headwise.checker.probes import first_probe
from headwise.checker.responses import bare
from headwise.checker.search import difference
from headwise.checker.state import Case
from headwise.shapes import Array

__all__ = ["with_cached_step"]

_CACHE = re.compile(r"(kv_?|key_value_?|layer_?)?(cache|past)(_?(kv|key_?values?))?s?")
_ASKED = re.compile(r"use_?cache|return_?(kv|cache|present)|return_?kv_?cache")
_CLOSE = 1e-4  # a module may compute in float32


def with_cached_step(findings: Findings) -> Findings:
    """The findings, and whether a module gives the same for its last token with a cache of the others.

    Where it cannot be tried, the argument stays among those that are not tested.
    """
    convention, definition = findings.convention, findings.explanation
    name = convention.names.get("X")
    parameters = list(inspect.signature(convention.function).parameters)
    argument = next((p for p in parameters if _CACHE.fullmatch(p.lower()) and p in convention.unused), None)
    usual = convention.load is not None and convention.interface.axes == "BND" and isinstance(name, str)
    if definition is None or argument is None or not usual:
        return findings
    case = {k: v for k, v in first_probe(convention.interface).case.items() if k not in ("mask", "padding")}
    got, full = _step(convention, case, argument, parameters), convention.call(case).output
    if got is None or full is None or got.shape != full[:, -1:].shape:
        return findings
    unused = tuple(p for p in convention.unused if p != argument)
    tested = replace(findings, convention=replace(convention, unused=unused))
    if difference(got, full[:, -1:]) <= _CLOSE:
        return tested
    aligned = definition.answer({**case, "X": case["X"][:, -1:], "context": case["X"], "align": "start"})
    if aligned is not None and difference(got, aligned.output) <= _CLOSE:
        return replace(tested, observed=(*findings.observed, "causal-alignment"))
    note = f"With a cache in `{argument}`, its last token gets another output than without."
    return replace(tested, unexplained=True, notes=(*findings.notes, note))


def _step(convention: CallingConvention, case: Case, argument: str, parameters: list[str]) -> Array | None:
    """The output for the last token, with what the call for the others has returned as the cache."""
    flags = {p: True for p in parameters if _ASKED.fullmatch(p.lower())}
    convention.call(case)  # puts the weights in
    try:
        start = _call(convention, case["X"][:, :-1], flags)
        cache = next(part for part in start[1:] if _is_cache(part))
        step = _call(convention, case["X"][:, -1:], {**flags, argument: cache})
        return np.array(bare(step[0]), np.float64)
    except Exception:  # whatever somebody's module raises: it wants its cache in another way
        return None


def _is_cache(part: Any) -> bool:
    """Whether it is keys and values and not, for example, attention weights."""
    return (isinstance(part, tuple | list) and len(part) > 1) or getattr(part, "ndim", 0) == 5


def _call(convention: CallingConvention, tokens: Array, others: dict[str, Any]) -> tuple[Any, ...]:
    """What the module returns for tokens, which has to be a tuple."""
    result = convention.function(
        **{**convention.fixed, str(convention.names["X"]): convention.convert(tokens), **others}
    )
    if not isinstance(result, tuple) or len(result) < 2:
        raise TypeError("expected an output and a cache")
    return result
