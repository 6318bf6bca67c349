"""The inputs that a function is tried on: awkward sizes, several magnitudes, and the corners where mistakes live.

Sizes are different primes wherever a shape allows it, so that a wrong axis cannot pass; where a mistake needs square
matrices to run at all, there are square ones too. Every probe is made twice, in other sizes and with other numbers:
once to choose an explanation, once to hold it to.
"""

from __future__ import annotations

from collections.abc import Iterable

from headwise.checker.arguments.numbers_in_code import MANY_QUERIES
from headwise.checker.probes.further import (
    ALIKE,
    LARGE,
    MANY,
    MOST_TOKENS,
    ONE,
    ONE_QUERY,
    SOME_BIASES,
    Further,
    in_blocks,
    of_batches,
    of_biases,
    of_empty_cache,
    of_extreme_logits,
    of_groups,
    of_large_sizes,
    of_many_keys,
    of_many_tokens,
    of_one_query,
    of_other_numbers,
    of_other_sizes,
    of_other_values,
    of_pairs,
)
from headwise.checker.probes.generator import MANY_TOKENS, Generator
from headwise.checker.probes.kinds import PROBES, Interface, Probe, ProbeShape
from headwise.checker.probes.qkv import Projected
from headwise.checker.probes.tokens import Tokens
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
    return generator.finished([*ordinary, *generator.more_wide(), *edges, Probe("large-logits", generator.large(case))])


def further_probes(
    interface: Interface, rng: np.random.Generator, any_size: bool = True, blocks: Iterable[int] | None = ()
) -> list[Further]:
    """Return inputs of sizes, and with values of options, that code often treats apart.

    With `any_size` also numbers that are very small, or zero; with more tokens, items, heads and features than `blocks`
    of so many have, or not many tokens if it is None. Of a function that is compiled for every size, those of
    the usual sizes.
    """
    usual = _generator(interface, 0, rng)
    many, one, alike, query = (_in_sizes(interface, s, rng) for s in (MANY, ONE, ALIKE, ONE_QUERY))
    same_size = interface.grid or interface.compiled
    further = [*of_other_values(usual if same_size else many), *of_biases(usual), *of_pairs(usual)]
    further += [*of_extreme_logits(usual), *(of_other_numbers(usual) if any_size else ()), *of_batches(usual)]
    if interface.compiled:
        return further
    further += [*of_groups(usual), *of_empty_cache(usual)]
    if interface.grid:
        return further
    further += of_other_sizes(many, "five items of eight heads" if many.heads > 1 else "five items")
    further += of_other_sizes(one, "one item of one head, with few features")
    further += of_other_sizes(alike, "as many items, and heads, as tokens") if not interface.cached else ()
    further += of_one_query(query)
    large = dict(LARGE)
    small, great = ([block for block in blocks or () if (block > MANY_QUERIES) == beyond] for beyond in (False, True))
    for block in small:
        large |= in_blocks(block)
    if not interface.cached:
        further += of_many_tokens(usual, MANY_TOKENS) if blocks is not None else ()
        further += of_many_tokens(one, MOST_TOKENS, options=False) if blocks is not None else ()
        further += [f for block in small for f in of_many_tokens(one, block + 3)]
        further += [f for block in great for f in of_many_keys(query, block + 3)]
    for words, shape in large.items():
        further += of_large_sizes(_in_sizes(interface, shape, rng), words)
    return further


def _in_sizes(interface: Interface, shape: ProbeShape, rng: np.random.Generator) -> Generator:
    return (Tokens if interface.of_tokens else Projected)(interface, shape.within(interface), rng)


def _generator(interface: Interface, round_number: int, rng: np.random.Generator) -> Generator:
    return _in_sizes(interface, ProbeShape.of_round(round_number, interface), rng)
