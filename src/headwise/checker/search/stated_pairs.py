"""Rotary positions that rotate other pairs of features than the function says."""

from __future__ import annotations

import ast
import contextlib
import re

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.reference.definition import rotated_halves, rotated_neighbours
from headwise.checker.reference.stages import turn_of
from headwise.checker.search.findings import Findings
from headwise.checker.user_code.source import nodes_in, parse

_NEAR = r"\b(neighbou?r\w*|adjacent|consecutive|interleaved)\b"
_TURNED = r"\b(pairs?|paired|pairing|rotat\w+)\b"
_STATED = {
    rotated_neighbours: rf"GPT-?J\b|{_NEAR}[^.;]{{0,40}}{_TURNED}|{_TURNED}[^.;]{{0,40}}{_NEAR}|\b2 ?\*? ?i ?\+ ?1\b",
    rotated_halves: (
        r"NeoX\b|\b(first|second|two|both) hal(f|ves)\b|half[- ]split|split[- ]half|"
        r"\bi ?\+ ?(\w+ ?// ?2|d ?/ ?2|half)\b"
    ),
}
_OF_ANOTHER = re.compile(r"\b(not|unlike|instead|rather|than|convert\w*|permut\w*|either|or|if)\b", re.IGNORECASE)


def with_stated_pairs(findings: Findings, documentation: Documentation) -> Findings:
    """With `rope-layout` if a function says that it rotates neighbours and rotates halves, or the other way."""
    changes = dict(findings.explanation.pairs) if findings.explanation else {}
    turn = turn_of(changes.get("rope", {}).get("+rotate"))
    if turn not in _STATED or "interleaved" in findings.convention.interface.takes:
        return findings
    sentences = [s for s in re.split(r"(?<=[.;])\s|\n\s*\n", _text(documentation)) if not _OF_ANOTHER.search(s)]
    stated = [how for how, words in _STATED.items() if any(re.search(words, s, re.IGNORECASE) for s in sentences)]
    return findings.with_observed("rope-layout") if len(stated) == 1 and stated[0] is not turn else findings


def _text(documentation: Documentation) -> str:
    """What a function says, and the docstrings of the functions of its file that it calls."""
    parts = [documentation.text]
    with contextlib.suppress(SyntaxError, ValueError):
        functions = (n for n in nodes_in(parse(documentation.code_with_helpers)) if isinstance(n, ast.FunctionDef))
        parts += [ast.get_docstring(node) or "" for node in functions]
    return "\n\n".join(parts)
