"""Learned biases that a module divides by √d, with the logits."""

from __future__ import annotations

from headwise.checker.measurement.recovery import fitted_scores, recovered_runs
from headwise.checker.probes import first_probe
from headwise.checker.search.findings import Findings
from headwise.checker.target import Target


def with_scaled_table(findings: Findings, target: Target) -> Findings:
    """With `bias-before-scale` if the bias of positions is the numbers of the module's table, divided by √d."""
    conventions = findings.conventions if findings.explanation is not None else ()
    if target.scales_table is None or "position-bias" not in conventions or "unscaled" in conventions:
        return findings
    convention = findings.convention
    scores = fitted_scores(convention, recovered_runs(convention, first_probe(convention.interface).case))
    scaled = scores is not None and scores.biased and target.scales_table(scores.bias)
    return findings.with_observed("bias-before-scale") if scaled else findings
