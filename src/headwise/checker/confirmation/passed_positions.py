"""Positions of tokens that a function takes: others than 0, 1, 2, … have to make a difference, and the right one."""

from __future__ import annotations

from dataclasses import replace

from headwise.checker.probes import first_probe
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case
from headwise.checker.search.findings import Findings
from headwise.checker.user_code.numpy_guard import np

_CLOSE = 1e-4  # angles are often made in float32
_OF_TOKENS = {"X": 1, "q": 2, "k": 2, "v": 2}  # the axis of tokens


def with_passed_positions(findings: Findings) -> Findings:
    """The findings, and whether positions in the reverse order do the same as tokens in that order.

    Of a causal function, whose mask may go by the order of the tokens alone, it is tested that they change something.
    """
    convention = findings.convention
    name = convention.names.get("positions")
    if not isinstance(name, str) or not findings.is_right or "context" in convention.interface.needs:
        return findings
    case = first_probe(convention.interface).case
    reverse = np.ascontiguousarray(convention.arguments(case)[name][..., ::-1])
    output = convention.with_fixed(name, convention.convert(reverse)).call(case).output
    before, of_reverse = convention.call(case).output, convention.call(_reversed(case)).output
    if output is None or before is None or of_reverse is None:
        return findings
    tested = tuple(words for words in convention.unused if not words.startswith(f"{name} ("))
    findings = replace(findings, convention=replace(convention, unused=tested))
    if difference(output, before) < _CLOSE:
        return findings.with_problem(f"Other {name} change nothing.")
    by_order = {"causal", "window"} & convention.interface.implicit.keys() or {"mask", "padding"} & case.keys()
    if not by_order and difference(output, of_reverse[..., ::-1, :]) > _CLOSE:
        return findings.with_problem(f"With {name} in another order it does not do the same as with tokens in it.")
    return findings


def _reversed(case: Case) -> Case:
    turned = {
        name: np.ascontiguousarray(np.flip(case[name], axis)) for name, axis in _OF_TOKENS.items() if name in case
    }
    return case | turned
