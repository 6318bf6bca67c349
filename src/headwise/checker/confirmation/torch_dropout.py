"""Dropout by the functions of torch, which no mode of a module turns off."""

from __future__ import annotations

from collections.abc import Callable

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.modules import without_dropout
from headwise.checker.probes import first_probe
from headwise.checker.search.findings import Findings
from headwise.checker.user_code.numpy_guard import np


def without_torch_dropout(findings: Findings, again: Callable[[], Findings]) -> Findings:
    """The findings, or those once the dropout functions of torch do nothing, if only these are explained.

    `again` makes the findings with one mistake at most.
    """
    of_torch = any(call.response.framework == "torch" for call in findings.calls)
    if findings.explanation is not None or not of_torch or not _is_random(findings.convention):
        return findings
    with without_dropout():
        without = again()
    if without.explanation is None or not _is_random(without.convention):
        return findings
    return without.with_observed("dropout-active")


def _is_random(convention: CallingConvention) -> bool:
    """Whether it returns another output for the same input."""
    case = first_probe(convention.interface).case
    first, second = (convention.call(case).output for _ in range(2))
    return first is not None and second is not None and not np.array_equal(first, second)
