"""Optional arguments of positions that a module adds to the tokens of its queries and keys, as in DETR.

Carion et al. (2020), End-to-End Object Detection with Transformers, section A.4: the values are made without them.
"""

from __future__ import annotations

import re

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.modules.layouts import present
from headwise.checker.probes import first_probe
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, Trace, configurable
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Explanation
from headwise.checker.target import Target
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_NAME = re.compile(
    r"((query|q|key|k|spatial|src|memory)_?)?(pos(itions?|itional)?(_?(emb(ed(ding)?)?s?|enc(oding)?s?))?|pe)"
    r"|object_queries"
)
_OF_ONE = re.compile("query|q_|key|k_|spatial|src|memory")
_NOTES = {
    "qkv": "its values hold the positions too",
    "kv": "its values hold the positions too",
    "v": "its values hold the positions",
    "q": "its keys hold no positions",
    "k": "its queries hold no positions",
}
_CLOSE = 1e-4  # a module may compute in float32


def with_added_positions(findings: Findings, target: Target) -> Findings:
    """The findings, and whether positions in such an argument change the queries and keys alone.

    Those of a context belong to its keys, and those of the tokens next to it to the queries.
    """
    convention, definition = findings.convention, findings.explanation
    if definition is None or findings.rank[0] or convention.load is None or "D" not in convention.interface.axes:
        return findings
    for name in [name for name in convention.unused if _is_added(name, target.source)]:
        case = first_probe(convention.interface).case
        use = next(
            (use for tokens in ("X", "context") if (use := _use(convention, name, definition, case, tokens))), ""
        )
        if not use:
            continue
        findings = findings.with_tested(name)
        if use != "qk" and not (use in ("q", "k") and ("context" in case or _OF_ONE.match(name))):
            findings = findings.with_problem(f"With {name}, {_NOTES[use]}: positions belong to queries and keys alone.")
    return findings


def _use(convention: CallingConvention, name: str, definition: Explanation, case: Case, tokens: str) -> str:
    """To which projections of X, or of a context, positions are added, as letters; empty if nothing fits."""
    if tokens not in case:
        return ""
    positions = np.random.default_rng(37).normal(size=case[tokens].shape)
    argument = convention.convert(np.ascontiguousarray(present(positions, convention.interface.axes)))
    output = convention.with_fixed(name, argument).call(case).output
    for parts in ("k", "kv", "v") if tokens == "context" else ("q",) if "context" in case else ("qk", "q", "k", "qkv"):
        result = (definition + Explanation.of(("positions-inside", {"+project": _added_to(parts, positions)}))).answer(
            case
        )
        if output is not None and result is not None and difference(output, result.output) < _CLOSE:
            return parts
    return ""


def _is_added(name: str, source: str) -> bool:
    """Whether an argument is one of positions by its name, and the code adds it to something."""
    added = rf"\+ *{re.escape(name)}\b|\b{re.escape(name)} *\+|with_pos_embed\([^()]*\b{re.escape(name)}\b"
    return bool(_NAME.fullmatch(name)) and bool(re.search(added, source))


@configurable
def _added_to(t: Trace, parts: str, positions: Array) -> None:
    for x in parts:
        setattr(t, x, getattr(t, x) + positions @ t.W[x].T)
