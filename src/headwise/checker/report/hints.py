"""What is known of a function that no entry explains: what it attends to, and the entry that comes nearest."""

from __future__ import annotations

import math
from collections.abc import Iterator

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.measurement.influence import attended_keys
from headwise.checker.measurement.recovery import fitted_scores, recovered_runs
from headwise.checker.probes import PROBES, first_probe
from headwise.checker.search.agreement import fits, worst
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Explanation, Observation, singles
from headwise.checker.user_code.numpy_guard import np


def hints(findings: Findings) -> tuple[str, ...]:
    """Return sentences on the tokens attended to, the attention weights, and the nearest entry of the catalogue."""
    sentences = [_apart(findings), _attended(findings), *_weights(findings), _nearest(findings)]
    return tuple(sentence for sentence in sentences if sentence)


def _apart(findings: Findings) -> str:
    """The only inputs on which the function is not attention, if on all ordinary ones it is."""
    agrees, calls = fits("float64"), [a for calls in findings.rounds for a in calls]
    unexplained = [a.probe.name for a in calls if a.response.output is not None and not agrees(Explanation(), a)]
    if not unexplained or {"plain", "sharp"} & set(unexplained):
        return ""
    return f"It differs only with {' and '.join(dict.fromkeys(PROBES[name] for name in unexplained))}."


def _attended(findings: Findings) -> str:
    attended = attended_keys(findings.convention)
    if attended is None:
        return ""
    counts = attended.sum(axis=1)
    rows, columns = np.nonzero(attended)
    if not attended.any():
        return "The values have no influence on any output."
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


def _weights(findings: Findings) -> Iterator[str]:
    """What the attention weights show, where the outputs determine them."""
    convention = findings.convention
    runs = recovered_runs(convention, first_probe(convention.interface).case)
    if not runs:
        yield "The attention weights cannot be recovered from its outputs."
        return
    sums = np.concatenate([run.weights.sum(axis=-1).ravel() for run in runs])
    if np.abs(sums - 1).max() > 1e-4:
        yield (
            "The attention weights, recovered from its outputs, sum to between"
            f" {sums.min():.3g} and {sums.max():.3g} in a row, not to one."
        )
        return
    scores = fitted_scores(convention, runs)
    if scores is None:
        yield (
            "The attention weights, recovered from its outputs, sum to one in each row. log p − q · k / √d depends on"
            " the tokens, not only on their positions."
        )
        return
    case = runs[0].case
    width = case["Wq"].shape[0] // case.get("heads", 1) if "Wq" in case else case["q"].shape[-1]
    yield (
        "The attention weights, recovered from its outputs, sum to one in each row, and log p −"
        f" {scores.scale:.4g} · q · k"
        + (" depends only on the positions of query and key" if scores.biased else " is a constant in each row")
        + f"; 1/√d is {width**-0.5:.4g}."
    )


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
