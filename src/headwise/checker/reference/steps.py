"""Running the stages of the reference, each once for all evaluations that have come to the same point.

A search evaluates one case with thousands of changes, alone and together, and most of them begin with the same stages.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from operator import is_
from typing import Any

from headwise.checker.reference.state import Case, Result, Stage, Stages, Trace
from headwise.checker.user_code.numpy_guard import np

_CASES = 40  # of which steps are kept
_STEPS, _NUMBERS = 2_000, 1_000_000  # that are kept of one case: steps, and numbers if each had all arguments
_LARGE = 10_000  # numbers in arguments from which on only those are counted that stages make


class _Step:
    """What there is at one point, and the points to which stages lead from there."""

    __slots__ = ("after", "result", "trace")

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.after: dict[Stage, _Step] = {}
        self.result: Result | None = None


class Steps:
    """The steps of one case."""

    def __init__(self, case: Case, wanted: Any) -> None:
        self._arguments = (*case.values(),)  # by whose identities the case is known
        arrays = {
            name: value.astype(wanted) if _is_other_float(value, wanted) else value for name, value in case.items()
        }
        self._first = _Step(Trace(arrays))
        self._failed = _Step(self._first.trace)
        self._steps = [self._first]
        numbers = sum(v.size for v in arrays.values() if isinstance(v, np.ndarray))
        self._most = _STEPS if numbers > _LARGE else min(_STEPS, _NUMBERS // (1 + numbers))
        self._counted = {*map(id, arrays.values())} if numbers > _LARGE else None
        self._numbers = 0

    def run(self, stages: Stages, kept: int) -> Result | None:
        """What there is after the stages, of which so many are likely to be run again; None if one fails."""
        step = self._first
        t: Trace | None = None  # the trace of this step, for a stage to change
        for place, stage in enumerate(stages):
            following = step.after.get(stage)
            if following is None:
                t = _copy(step.trace) if t is None else t
                if place >= kept or len(self._steps) >= self._most or self._numbers >= _NUMBERS:
                    return _run(t, stages[place:])
                try:
                    stage(t)
                except (ValueError, IndexError):
                    step.after[stage] = self._failed
                    return None
                following = step if _same(t, step.trace) else self._new(t, step.trace)
                step.after[stage] = following
            elif following is self._failed:
                return None
            elif following is not step:
                t = None
            step = following
        step.result = step.result or Result(step.trace.o, step.trace.weights)
        return step.result

    def _new(self, t: Trace, before: Trace) -> _Step:
        step = _Step(_copy(t))
        if self._counted is not None:
            known = vars(before)
            self._count(self._counted, (v for name, v in vars(t).items() if v is not known.get(name)))
        self._steps.append(step)
        return step

    def _count(self, counted: set[int], values: Iterable[Any]) -> None:
        """Count the numbers in arrays that are new, also in those of a dict."""
        for value in values:
            if isinstance(value, dict):
                self._count(counted, value.values())
            elif isinstance(value, np.ndarray) and id(value) not in counted:
                counted.add(id(value))
                self._numbers += value.size

    def clear(self) -> None:
        """Forget what comes after each step, which may be the step itself."""
        for step in self._steps:
            step.after.clear()


def _run(t: Trace, stages: Stages) -> Result | None:
    try:
        for stage in stages:
            stage(t)
    except (ValueError, IndexError):
        return None
    return Result(t.o, t.weights)


class _Kept(threading.local):
    def __init__(self) -> None:
        self.cases: OrderedDict[tuple[object, ...], Steps] = OrderedDict()


_KEPT = _Kept()


def steps_of(case: Case, in_type: str) -> Steps:
    """The steps of a case, which is known by its arguments."""
    cases, key = _KEPT.cases, (in_type, *case, *map(id, case.values()))
    if key not in cases:
        cases[key] = Steps(case, np.dtype(in_type))
        if len(cases) > _CASES:
            cases.popitem(last=False)[1].clear()
    cases.move_to_end(key)
    return cases[key]


def _copy(t: Trace) -> Trace:
    other = object.__new__(Trace)  # much quicker than `copy.copy`
    vars(other).update(vars(t))
    return other


def _same(t: Trace, before: Trace) -> bool:
    """Whether a stage has replaced nothing."""
    values, others = vars(t).values(), vars(before).values()
    return len(values) == len(others) and all(map(is_, values, others))


def _is_other_float(value: Any, wanted: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype != wanted
