"""Keys and values of earlier tokens that a function may be called without: it is called with them as well.

They are those that it returns for the tokens before, or that it puts into an object; else arrays, if it is seen how it
takes them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.earlier_keys import holds_earlier_keys, is_joined_with_queries
from headwise.checker.arguments.roles import role_of
from headwise.checker.arguments.signatures import signature_of, with_signature
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import has_shape
from headwise.checker.confirmation.cached_step import ASKED
from headwise.checker.confirmation.empty_caches import Keeper
from headwise.checker.detection.refusal import UncallableError
from headwise.checker.probes import first_probe
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Explanation
from headwise.shapes import Array

_CLOSE = 1e-4  # a function may compute in float32
_OF_TOKENS = {"mask", "padding", "bias", "segments", "lengths", "prefix"}  # that go with certain tokens


def with_optional_cache(
    findings: Findings, documentation: Documentation, find: Callable[[Callable[..., Any]], Findings]
) -> Findings:
    """The findings of a function that is right, or those with earlier keys and values in an argument that it may get.

    `find` makes the findings of the same function with another signature.

    Raises UncallableError if it cannot be called with such an argument: it is not known to be right.
    """
    convention = findings.convention
    if not findings.is_right:
        return findings
    if names := _optional_arrays(convention):
        return _without_arrays(findings, names, find)
    name = _optional_cache(convention, documentation.code_with_helpers)
    if not name:
        return findings
    tested = findings.with_tested(name)
    with_steps = _with_steps(tested, name)
    if with_steps is not None and not with_steps.rank[0]:
        return with_steps
    with_arrays = _with_arrays(find, convention, name)
    if with_arrays is not None and with_arrays.rank[0]:
        return replace(with_arrays, notes=(f"Without `{name}` it is right.", *with_arrays.notes))
    if with_steps is not None or with_arrays is not None:
        return with_steps or tested
    raise UncallableError(
        f"function: {documentation.name} is right without `{name}`, but `{name}` changes its keys, and what it returns"
        " with it could not be checked. Pass adapter= to make the call with earlier keys and values, kpast and vpast."
    )


def _optional_arrays(convention: CallingConvention) -> list[str]:
    """The arguments for earlier keys and values that were passed, if they may be left out."""
    passed = [convention.names.get(role) for role in ("kpast", "vpast")]
    return [p.name for p in signature_of(convention.function) or () if p.default is None and p.name in passed]


def _without_arrays(findings: Findings, names: list[str], find: Callable[[Callable[..., Any]], Findings]) -> Findings:
    """The findings of a function that is right with earlier keys and values, or those without if it is not."""
    function = findings.convention.function
    signature = inspect.signature(function)
    others = [p for p in signature.parameters.values() if p.name not in names]
    try:
        without = find(with_signature(function, signature.replace(parameters=others)))
    except UncallableError:
        return findings
    if without.explanation is None or not without.rank[0]:
        return findings
    return replace(without, notes=(f"With `{names[0]}` it is right.", *without.notes))


def _optional_cache(convention: CallingConvention, code: str) -> str:
    """The argument that is not passed and holds earlier keys; empty if there is none."""
    optional = [p.name for p in signature_of(convention.function) or () if p.default is None]
    names = (name for name in convention.unused if name in optional and holds_earlier_keys(name, code))
    tokens = convention.names.get("X")
    return next((name for name in names if not is_joined_with_queries(name, tokens, code)), "")


def _with_arrays(
    find: Callable[[Callable[..., Any]], Findings], convention: CallingConvention, name: str
) -> Findings | None:
    """The findings with earlier keys and values as arrays; None if it does not take them or nothing explains it."""
    signature = inspect.signature(convention.function)
    parameters = [p.replace(default=p.empty) if p.name == name else p for p in signature.parameters.values()]
    parameters.sort(key=lambda p: (p.kind, p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty))
    try:
        findings = find(with_signature(convention.function, signature.replace(parameters=parameters)))
    except UncallableError:
        return None
    return findings if findings.explanation is not None and findings.convention.interface.cached else None


def _with_steps(findings: Findings, name: str) -> Findings | None:
    """The findings, with what differs if the last tokens come after a cache of the others; None if it takes none."""
    convention, definition = findings.convention, findings.explanation
    case = first_probe(convention.interface).case
    assert definition is not None
    if _OF_TOKENS & case.keys() or (full := convention.call(case).output) is None:
        return None
    for new, words in ((1, "its last token"), (2, "two new tokens at once")):
        outputs = list(_steps(convention, name, case, new))
        if not outputs and new == 1:
            return None
        output = min(outputs, key=lambda one: difference(one, full[..., -new:, :]), default=None)
        if output is not None and difference(output, full[..., -new:, :]) <= _CLOSE:
            continue
        if new == 2 and (output is None or _is(output, definition, case, new, causal=False)):
            return findings.with_untested(f"several new tokens at once with earlier ones in `{name}`")
        if output is not None and _is(output, definition, case, new, align="start"):
            return findings.with_observed("causal-alignment")
        return findings.with_problem(f"With earlier tokens in its cache (`{name}`), {words} got other outputs.")
    return findings


def _is(output: Array, definition: Explanation, case: Case, new: int, **limits: Any) -> bool:
    """Whether an output is that of the last tokens under other limits."""
    last = {"X": case["X"][:, -new:], "context": case["X"]} if "X" in case else {"q": case["q"][:, :, -new:]}
    expected = definition.answer(case | last | limits)
    return expected is not None and difference(output, expected.output) <= _CLOSE


def _steps(convention: CallingConvention, name: str, case: Case, new: int) -> Iterator[Array]:
    """The outputs for the last tokens, with the others in each cache that the function accepts."""
    count = case["X" if "X" in case else "q"].shape[-2]
    before, last = _between(case, 0, count - new), _between(case, count - new, count)
    parameters = [p.name for p in signature_of(convention.function) or ()]
    asked = {p: True for p in parameters if ASKED.fullmatch(p.lower())}
    places = [p for p in parameters if role_of(p) in ("offset", "place") and p not in convention.fixed]
    first = _with(convention, asked)
    step = _with(first, dict.fromkeys(places, count - new))
    caches = list(_candidates(first.returned(before)))
    empties: tuple[Any, ...] = ({}, Keeper(convention))
    for empty in empties:
        _with(first, {name: empty}).returned(before)
        caches += [empty] if empty else []
    for cache in caches:
        response = _with(step, {name: cache}).call(last)
        if has_shape(response, last) and response.output is not None:
            yield response.output


def _with(convention: CallingConvention, values: Mapping[str, Any]) -> CallingConvention:
    return replace(convention, fixed={**convention.fixed, **values})


def _between(case: Case, first: int, last: int) -> Case:
    """The case with some of its tokens."""
    tokens = ("X",) if "X" in case else ("q", "k", "v")
    return case | {name: case[name][..., first:last, :] for name in (*tokens, "cos", "sin") if name in case}


def _candidates(result: Any) -> Iterator[Any]:
    """What else a function returned, which may be its cache: each part, and all of them."""
    parts = tuple(result.values()) if isinstance(result, Mapping) else result
    others = parts[1:] if isinstance(parts, tuple | list) else ()
    yield from (part for part in others if part is not None)
    if len(others) > 1:
        yield tuple(others)
