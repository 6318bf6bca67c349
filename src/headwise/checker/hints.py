"""What is known of a function that no entry explains: what it attends to, and the entry that comes nearest."""

from __future__ import annotations

import math

from headwise.checker.attended import attended_keys
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.examination import Findings
from headwise.checker.numpy_guard import np
from headwise.checker.search import Explanation, Observation, singles, worst

__all__ = ["hints"]


def hints(findings: Findings) -> tuple[str, ...]:
    """Return sentences on the tokens that influence an output, and on the nearest entry of the catalogue."""
    sentences = [_attended(findings), _nearest(findings)]
    return tuple(sentence for sentence in sentences if sentence)


def _attended(findings: Findings) -> str:
    attended = attended_keys(findings.convention)
    if attended is None:
        return ""
    counts = attended.sum(axis=1)
    rows, columns = np.nonzero(attended)
    if attended.all():
        return "Every token has an influence on every output."
    if (counts == 1).all() and (rows == columns).all():
        return "No token has an influence on the output of another."
    if (columns <= rows).all():
        return (
            f"A token is influenced only by itself and by tokens before it, up to {int((rows - columns).max())} back."
        )
    if (columns >= rows).all():
        return "A token is influenced only by itself and by tokens after it."
    return f"Of {attended.size} pairs of tokens, {int(attended.sum())} have an influence on each other."


def _nearest(findings: Findings) -> str:
    """The entry that leaves the smallest difference on ordinary inputs, if that is much less than without it."""
    calls = [
        a for a in findings.rounds[0] if a.response.output is not None and a.probe.name in ("plain", "sharp", "mask")
    ]
    if not calls:
        return ""
    remaining = {code: math.inf for code in CATALOGUE}
    for entry in singles(findings.convention.interface):
        code = entry.codes[0]
        if code in remaining:
            remaining[code] = min(remaining[code], _typical(entry, calls))
    code = min(remaining, key=remaining.__getitem__)
    plain = _typical(Explanation(), calls)
    if remaining[code] > min(0.2, 0.5 * plain):
        return ""
    return (
        f"The nearest entry is {code}: with it the remaining difference is {remaining[code]:.1g} of the largest number,"
        f" without it {plain:.1g}."
    )


def _typical(explanation: Explanation, calls: list[Observation]) -> float:
    return float(np.median([worst(explanation, a) for a in calls]))
