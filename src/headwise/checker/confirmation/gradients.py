"""Whether the gradients that torch or JAX finds through a function are the slopes of its output."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import bare
from headwise.checker.probes import first_probe
from headwise.checker.reference.state import Case
from headwise.checker.search.agreement import fits
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Explanation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_STEPS = {"float64": 1e-6, "float32": 1e-2}  # so large that rounding does not hide the difference
_CLOSE = {"float64": 1e-4, "float32": 3e-2}
_OPTIONS = {"mask", "mask-keys", "bias", "causal", "window", "lengths", "softcap", "sinks"}
_COPIED = r"\.copy_\(|load_state_dict\(|\.data *=|Parameter\("  # of weights into a layer, which cuts their gradients
_LEAST = 0.1  # slopes are not compared more closely than in relation to this


class _NotDifferentiableError(Exception):
    """A function's gradients cannot be computed, because of what it does in place, for example."""


def with_gradients(findings: Findings, documentation: Documentation) -> Findings:
    """The findings of a function that is right, with a note if its gradients are not the slopes of its output."""
    convention = findings.convention
    types = {(a.response.framework, a.response.dtype) for a in findings.rounds[0] if a.response.output is not None}
    frameworks, dtypes = ({*some} for some in zip(*types, strict=True)) if types else (set(), set())
    if not findings.is_right or convention.load is not None:
        return findings
    slope = _slope_in_jax if frameworks <= {"jax", "jaxlib"} else _slope_in_torch if frameworks == {"torch"} else None
    if slope is None:
        return findings
    narrow = "float64" not in dtypes or {"float32", "dtype-lowered"} & {*findings.codes, *findings.conventions}
    try:
        wrong = _wrong_gradients(convention, slope, "float32" if narrow else "float64", _cases(findings, slope))
    except _NotDifferentiableError:
        wrong = None
    if wrong and re.search(_COPIED, documentation.code):
        tokens = {str(convention.names.get(name)) for name in ("X", "context", "q", "k", "v")}
        wrong = wrong if tokens & {*wrong} else None
    if wrong is None or dtypes & {"float16", "bfloat16"} or _is_half(findings):
        return findings.with_untested("its gradients")
    if not wrong:
        return findings
    names = " and ".join(wrong)
    return findings.with_problem(
        f"Its output is right, but its gradients with respect to {names} are not the slopes of its output."
    )


def _is_half(findings: Findings) -> bool:
    """Whether it computes in half precision, of which the slopes are steps."""
    plain = [a for a in findings.rounds[0] if a.probe.name == "plain" and a.response.output is not None]
    return not all(fits("float32")(findings.explanation or Explanation(), a) for a in plain)


def _cases(findings: Findings, slope: Callable[..., Any]) -> list[Case]:
    """An ordinary case, and in torch, which does not compile, one with each option that is explained."""
    first = first_probe(findings.convention.interface).case
    if slope is not _slope_in_torch:
        return [first]
    explained = {a.probe.name: a.probe.case for a in findings.rounds[0] if a.response.output is not None}
    return [first, *(case for name, case in explained.items() if name in _OPTIONS)]


def _wrong_gradients(
    convention: CallingConvention, slope: Callable[..., Any], precision: str, cases: list[Case]
) -> list[str] | None:
    """The arguments for which the slope of the output is another than the gradient says; None if there is none."""
    names: list[str] = [name for name in ("X", "context", "q", "k", "v", "Wq", "Wk", "Wv", "Wo") if name in cases[0]]
    groups = [[name] for name in names] if slope is _slope_in_torch else [names]  # JAX compiles for each
    wrong = _wrong_for_case(convention, slope, precision, cases[0], groups)
    for case in cases[1:] if wrong == [] else ():
        if with_option := _wrong_for_case(convention, slope, precision, case, [names]):
            return [f"{with_option[0]} next to an option"]
    return wrong


def _wrong_for_case(
    convention: CallingConvention, slope: Callable[..., Any], precision: str, case: Case, groups: list[list[str]]
) -> list[str] | None:
    """As `_wrong_gradients` for one case, along a random direction for each group of arguments."""
    rng, step = np.random.default_rng(7), _STEPS[precision]
    before, output = _recorded(convention, case)
    weights = rng.normal(size=output.shape)
    slopes = []
    for group in groups:
        step_of: Case = {name: step * rng.normal(size=case[name].shape).astype(case[name].dtype) for name in group}
        after, above = _recorded(convention, case | {name: case[name] + step_of[name] for name in group})
        _, below = _recorded(convention, case | {name: case[name] - step_of[name] for name in group})
        if not above.shape == below.shape == output.shape or len(after) != len(before):
            return None
        directions = [(b - a) / step if a.dtype.kind == "f" else None for a, b in zip(before, after, strict=True)]
        slopes.append(
            (float((weights * (above - below)).sum() / (2 * step)), slope(convention, case, directions, weights))
        )
    if all(computed is None for _, computed in slopes):
        return None
    return [
        " and ".join(str(convention.names.get(name, name)) for name in group)
        for group, (measured, computed) in zip(groups, slopes, strict=True)
        if abs(measured - (computed or 0.0)) > _CLOSE[precision] * max(abs(measured), _LEAST)
    ]


def _recorded(convention: CallingConvention, case: Case) -> tuple[list[Array], Array]:
    """The arrays that a function is given, in their order, and its output."""
    given: list[Array] = []

    def convert(a: Array) -> Any:
        given.append(a)
        return convention.convert(a)

    output = _output(replace(convention, convert=convert).returned(case))
    return given, np.zeros(0) if output is None else np.asarray(bare(output), dtype=np.float64)


def _along(convention: CallingConvention, directions: list[Any], t: Any, add: Callable[[Any, Any, Any], Any]) -> Any:
    """The convention with `t` times a direction added to each array that the function is given."""
    remaining = iter(directions)

    def convert(a: Array) -> Any:
        direction = next(remaining)
        return convention.convert(a) if direction is None else add(convention.convert(a), t, direction)

    return replace(convention, convert=convert)


def _slope_in_torch(
    convention: CallingConvention, case: Case, directions: list[Array | None], weights: Array
) -> float | None:
    torch = sys.modules["torch"]
    t = torch.zeros((), dtype=torch.float64, device="cpu", requires_grad=True)

    def add(a: Any, t: Any, direction: Array) -> Any:
        if isinstance(a, np.ndarray):  # which the function turns into tensors
            a = torch.from_numpy(np.array(a))
        return a + (t * torch.from_numpy(np.ascontiguousarray(direction))).to(a.dtype)

    output = _output(_along(convention, directions, t, add).returned(case))
    if output is None or not getattr(output, "requires_grad", False):
        return None
    try:
        return float(torch.autograd.grad((output * torch.from_numpy(weights)).sum(), t)[0])
    except Exception as error:  # whatever the function's own gradients raise
        raise _NotDifferentiableError from error


def _slope_in_jax(
    convention: CallingConvention, case: Case, directions: list[Array | None], weights: Array
) -> float | None:
    jax = sys.modules["jax"]

    def along(t: Any) -> Any:
        output = _output(_along(convention, directions, t, lambda a, t, direction: a + t * direction).returned(case))
        return (output * weights.astype(np.float32)).sum()

    def slope(t: Any) -> Any:
        return jax.jvp(along, (t,), (1.0,))[1]

    for computed in (jax.jit(slope), slope):
        with contextlib.suppress(Exception):  # whatever a function raises that is not made for tracing
            return float(computed(0.0))
    return None


def _output(result: Any) -> Any:
    """The first array of what a function returned."""
    if isinstance(result, dict):
        result = tuple(result.values())
    while isinstance(result, tuple | list):
        result = result[0] if result else None
    return result if hasattr(result, "shape") else None
