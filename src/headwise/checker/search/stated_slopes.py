"""Whether the slopes of a bias are those of ALiBi, if a function or module says that it has ALiBi."""

from __future__ import annotations

import re

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.measurement.recovery import fitted_scores, recovered_runs
from headwise.checker.probes import first_probe
from headwise.checker.reference.stages import SLOPES, slopes
from headwise.checker.search.examination import Findings
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_LEARNED = r"slopes?\w*\s*[:=].*(Parameter|param\(|add_weight|Variable)"
_OTHER_BIAS = r"relative|table|bucket"
_CLOSE = 1e-3  # between slopes, as a share of the larger


def with_wrong_slopes(findings: Findings, documentation: Documentation) -> Findings:
    """With what is wrong if ALiBi is stated, and the bias does not fall by its slopes."""
    text = "\n".join((documentation.name, documentation.text, documentation.code))
    stated = re.search("alibi", text, re.IGNORECASE) and not re.search(f"{_LEARNED}|{_OTHER_BIAS}", text)
    if "position-bias" not in findings.conventions or findings.explanation is None or not stated:
        return findings
    convention = findings.convention
    runs = recovered_runs(convention, first_probe(convention.interface).case)
    scores = fitted_scores(convention, runs)
    if scores is None:
        return findings
    steps = np.diff(scores.bias, axis=-1)
    falls = steps[:, np.tril(np.ones(steps.shape[1:], bool), -1)]  # towards each query, the same for all keys before it
    own, heads = np.asarray(falls.mean(axis=-1)), len(falls)
    if np.ptp(falls, axis=-1).max() <= 4 * scores.close and any(_equal(own, other) for other in _in_use(heads)):
        return findings
    shown = [", ".join(f"{slope:.4g}" for slope in some) for some in (slopes(heads).ravel(), own)]
    return findings.with_problem(
        f"It says that it has ALiBi, with slopes of {shown[0]} for its {heads} heads; those of its bias are {shown[1]}."
    )


def _equal(own: Array, other: Array) -> bool:
    """Whether they are the same slopes, of whichever heads."""
    return bool(np.allclose(np.sort(own), np.sort(other), rtol=_CLOSE))


def _in_use(heads: int) -> list[Array]:
    """The slopes of the paper; those of its code and of MPT; and the first of those of eight heads."""
    power = 1 << (heads - 1).bit_length()
    mpt = np.concatenate([slopes(power)[1::2], slopes(power)[::2]])
    return [own.ravel()[:heads] for own in (*(of(heads) for of in SLOPES), mpt, slopes(max(8, heads)))]
