"""The inputs that a function is tried on: awkward sizes, several magnitudes, and the corners where mistakes live.

Sizes are different primes wherever a shape allows it, so that a wrong axis cannot pass; where a mistake needs square
matrices to run at all, there are square ones too. Every probe is made twice, in other sizes and with other numbers:
once to choose an explanation, once to hold it to.
"""

from __future__ import annotations

from headwise.checker.probes.further import SOME_BIASES, Further, further_probes, generator_of
from headwise.checker.probes.generator import Generator
from headwise.checker.probes.kinds import PROBES, Interface, Probe, ProbeShape
from headwise.checker.user_code.numpy_guard import np

__all__ = [
    "PROBES",
    "SOME_BIASES",
    "Further",
    "Interface",
    "Probe",
    "ProbeShape",
    "dropout_probes",
    "first_probe",
    "further_probes",
    "probes",
    "wide_probe",
]


def probes(interface: Interface, round_number: int, rng: np.random.Generator) -> list[Probe]:
    """Return one round of probes for a function with this interface.

    Of a function that is compiled for every size, the rounds have the same sizes but for one probe.
    """
    usual = _generator(interface, round_number, rng)
    generator = _generator(interface, 0, rng) if interface.compiled else usual
    other = [Probe("plain", usual.base())] if usual.sizes != generator.sizes else []
    return generator.finished([*generator.all(), *other, *generator.of_other_counts(last_round=round_number > 0)])


def first_probe(interface: Interface, rng: np.random.Generator | None = None) -> Probe:
    """Return the first ordinary probe."""
    generator = _generator(interface, 0, np.random.default_rng(0) if rng is None else rng)
    return generator.finished([Probe("plain", generator.base())])[0]


def wide_probe(interface: Interface) -> Probe:
    """Return a probe whose sizes differ wherever they may."""
    generator = _generator(interface, 0, np.random.default_rng(0))
    return generator.finished([Probe("wide", generator.wide())])[0]


def dropout_probes(interface: Interface, rng: np.random.Generator) -> list[Probe]:
    """Return probes with values so wide that the output determines the weights."""
    generator = _generator(interface, 0, rng)
    case = generator.with_wide_values()
    ordinary = [Probe("plain", case), Probe("plain", generator.with_wide_values()), *generator.about_logits(case)]
    # what a query without keys is given is a hazard, and no reason to name a mistake next to dropout
    edges = [probe for probe in generator.edges(case) if probe.name != "empty-rows"]
    return generator.finished(
        [*ordinary, *generator.more_wide(), *edges, Probe("large-logits", generator.large({**case}))]
    )


def _generator(interface: Interface, round_number: int, rng: np.random.Generator) -> Generator:
    return generator_of(interface, ProbeShape.of_round(round_number, interface), rng)
