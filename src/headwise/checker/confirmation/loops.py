"""Whether a function may have loops over pairs of tokens, which take long for many tokens."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.measurement.influence import case_with_tokens


def may_have_loops_over_pairs(convention: CallingConvention) -> bool:
    """Whether the number of lines that run grows with the square of the number of tokens, or cannot be counted."""
    if getattr(convention.function, "in_sandbox", False):
        return True
    few, some, more = (_count_of_lines(convention, count) for count in (4, 8, 12))
    return more - 2 * some + few >= 12**2 - 2 * 8**2 + 4**2


def _count_of_lines(convention: CallingConvention, tokens: int) -> int:
    """How many lines of Python run when the function is called with so many tokens."""
    case, count, before = case_with_tokens(convention, tokens), 0, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        convention.call(case)
    finally:
        sys.settrace(before)
    return count
