"""What is built into a function by its code or its documentation, and is put into the reference as well."""

from __future__ import annotations

import re
from dataclasses import replace

from headwise.checker.convention_stages import capped_at, squashed
from headwise.checker.differences import difference
from headwise.checker.documentation import Documentation
from headwise.checker.invocation import CallingConvention
from headwise.checker.numbers_in_code import values_in_code
from headwise.checker.probes import first_probe
from headwise.checker.search import by_design
from headwise.checker.state import Change

_CLOSE = 1e-6
_MOST_CAPS = 8


def with_built_in_softcap(convention: CallingConvention, documentation: Documentation) -> list[CallingConvention]:
    """With a softcap of the logits that is a number in the code, and without, if there may be one."""
    has_place = "softcap" in convention.interface.takes or "Sa" in convention.names or convention.load is not None
    if has_place or not re.search(r"tanh\b", documentation.code_with_helpers):
        return [convention]
    caps = [cap for cap in values_in_code(documentation) if cap > 0][:_MOST_CAPS]
    designs: list[Change] = [{"+arrange": capped_at(cap)} for cap in caps]
    if not re.search(r"soft-?[ _]?cap", documentation.name + documentation.text, re.IGNORECASE):
        designs += [{"cap": squashed(cap)} for cap in caps]
    fitting = [change for change in designs if _fits(convention, change)]
    likely = fitting[:1] or designs[:1]
    return [replace(convention, design=(*convention.design, ("softcap-built-in", c))) for c in likely] + [convention]


def _fits(convention: CallingConvention, change: Change) -> bool:
    """Whether the reference with a change returns what the function does for ordinary tokens."""
    case = first_probe(convention.interface).case
    expected = by_design((*convention.design, ("softcap-built-in", change)), {}).answer(case)
    output = convention.call(case).output
    if expected is None or output is None or output.shape != expected.output.shape:
        return False
    return difference(output, expected.output) <= _CLOSE
