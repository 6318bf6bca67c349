"""The sets experiment: which pooling of a set learns to find its largest member.

Source: Lee et al., "Set Transformer", ICML 2019, arXiv 1810.00825, section 5.1 and table 1.
"""

from headwise.experiments.protocol import Experiment
from headwise.experiments.sets import findings, run
from headwise.experiments.sets.run import SPECS, PoolingResult, SetModelSpec, SetsPlan, SetsResult

__all__ = ["EXPERIMENT", "SPECS", "PoolingResult", "SetModelSpec", "SetsPlan", "SetsResult"]

EXPERIMENT = Experiment(
    "sets",
    "Poolings of a set compared",
    run.run,
    findings.findings,
    lambda result: (findings.table(result),),
    lambda result: {"errors": findings.draw_errors(result)},
)
