"""The inputs that a function is tried on: awkward sizes, several magnitudes, and the corners where mistakes live.

Sizes are different primes wherever a shape allows it, so that a wrong axis cannot pass; where a mistake needs square
matrices to run at all, there are square ones too. Every probe is made twice, in other sizes and with other numbers:
once to choose an explanation, once to hold it to.
"""

from __future__ import annotations

from headwise.checker.numpy_guard import np
from headwise.checker.probes.kinds import PROBES, Interface, Probe, ProbeShape
from headwise.checker.probes.qkv import Projected
from headwise.checker.probes.tokens import Tokens

__all__ = ["PROBES", "Interface", "Probe", "ProbeShape", "dropout_probes", "probes"]


def probes(face: Interface, round_number: int, rng: np.random.Generator) -> list[Probe]:
    """Return one round of probes for a function with this face."""
    maker = (Projected if face.kind == "attention" else Tokens)(face, ProbeShape.of_round(round_number), rng)
    return maker.finished(maker.all())


def dropout_probes(face: Interface, rng: np.random.Generator) -> list[Probe]:
    """Return probes with values so wide that the output determines the weights."""
    maker = (Projected if face.kind == "attention" else Tokens)(face, ProbeShape.of_round(0), rng)
    case = maker.with_wide_values()
    found = [Probe("plain", case), Probe("plain", maker.with_wide_values()), *maker.about_logits(case)]
    return maker.finished([*found, *maker.more_wide(), *maker.edges(case), Probe("large-logits", maker.large(case))])
