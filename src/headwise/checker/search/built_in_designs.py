"""What is built into a function by its code or its documentation, and is put into the reference as well."""

from __future__ import annotations

import re

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.numbers_in_code import values_in_code
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.catalogue.heads import REVERSED
from headwise.checker.probes import probes
from headwise.checker.reference.differences import difference
from headwise.checker.reference.stages import capped_at, squashed
from headwise.checker.reference.state import Change
from headwise.checker.search.counted_positions import forms_of_counted_positions
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Explanation
from headwise.checker.search.other_weights import stated_kind
from headwise.checker.user_code.numpy_guard import np
from headwise.errors import DataError

_MOST_CAPS = 8
_ORDINARY = ("plain", "mask", "mask-keys")  # names of probes, the last that there is counts
_HEADS_LAST = r"\(\s*(d|dh|hd|c|dim|dim_head|head_dim|features)\s+(h|heads?)\s*\)"  # as einops writes it


def with_built_in_designs(convention: CallingConvention, documentation: Documentation) -> list[CallingConvention]:
    """The convention with what is built in, in the form that is likeliest, and without."""
    if convention.load is not None:
        return [convention]
    kind = stated_kind(documentation)
    code, forms = (kind.code, kind.forms) if kind else ("softcap-built-in", _softcaps(convention, documentation))
    if not forms and re.search(_HEADS_LAST, documentation.text):
        changes = CATALOGUE["heads-interleaved"].changes
        code, forms = "heads-interleaved", tuple(change for change in changes if change is not REVERSED)
    if not forms:
        code, forms = forms_of_counted_positions(convention, documentation)
    likely = sorted(forms, key=lambda change: _misfit(convention, code, change))[:1]
    return [convention.with_design((code, form)) for form in likely] + [convention]


def refuse_other_kind(findings: Findings, documentation: Documentation) -> None:
    """Raise DataError for a function that says that it is no softmax attention, if nothing else explains it.

    What explains it as softmax attention is then no mistake of it.
    """
    kind = stated_kind(documentation)
    if kind is None or not kind.has_others or not findings.rank[0] or "topk" in findings.convention.interface.takes:
        return
    if findings.explanation is None or kind.code not in findings.explanation.codes:
        raise DataError(
            f"{documentation.name}: it says that it is {kind.name}, and none of the forms of it that are known explains"
            " what it returns. Headwise checks softmax attention between tokens."
        )


def _softcaps(convention: CallingConvention, documentation: Documentation) -> tuple[Change, ...]:
    """The reference with a softcap of the logits that is a number in the code, if there may be one."""
    has_place = "softcap" in convention.interface.takes or "Sa" in convention.names
    if has_place or not re.search(r"tanh\b", documentation.code_with_helpers):
        return ()
    caps = [cap for cap in values_in_code(documentation) if cap > 0][:_MOST_CAPS]
    changes: list[Change] = [{"+arrange": capped_at(cap)} for cap in caps]
    if not re.search(r"soft-?[ _]?cap", documentation.name + documentation.text, re.IGNORECASE):
        changes += [{"cap": squashed(cap)} for cap in caps]
    return tuple(changes)


def _misfit(convention: CallingConvention, code: str, change: Change) -> float:
    """How far the reference with a change is from what the function returns for ordinary tokens, some hidden if any."""
    ordinary = [p for p in probes(convention.interface, 0, np.random.default_rng(0)) if p.name in _ORDINARY]
    case = max(ordinary, key=lambda probe: _ORDINARY.index(probe.name)).case
    expected = Explanation.of(*convention.design, (code, change)).answer(case)
    output = convention.call(case).output
    if expected is None or output is None or output.shape != expected.output.shape:
        return float("inf")
    return difference(output, expected.output)
