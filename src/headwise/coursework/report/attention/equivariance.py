"""Two inputs change places: the runs, the proof for every permutation, and what breaks it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from headwise.coursework.results import Coursework
from headwise.document import Block, Derivation, Paragraph, Section, Step, Table
from headwise.text import Statement, scientific


def equivariance_section(study: Coursework) -> Section:
    """Both runs after the swap, and why they come out so."""
    blocks: list[Block] = [_what_happens(study), *_tables(study), _introduction(study), _proof(study), _breaking(study)]
    return Section("swap", "Two inputs change places", tuple(blocks), number="1.4")


def _what_happens(study: Coursework) -> Paragraph:
    values = dict(zip("ab", study.swap, strict=True))
    if max(max(run.equivariance) for run in study.runs) > study.rounding:
        more = Statement("Inputs {a} and {b} change places, and the outputs do more than follow.", values)
        return Paragraph(more)
    followed = Statement(
        "Inputs {a} and {b} change places. Then outputs {a} and {b} change places, unaltered, and so do their rows and "
        "columns in every head's weights: <weights move>.",
        values,
    )
    others = (Statement("The other outputs stay as they were."),) if study.tokens > len(study.swap) else ()
    return Paragraph(followed, *others)


def _tables(study: Coursework) -> Iterator[Table]:
    order = list(range(study.tokens))
    a, b = study.swap
    order[a], order[b] = order[b], order[a]
    for run in study.runs:
        for h, matrix in enumerate(run.swapped.weights):
            yield Table.of_matrix(
                Statement(
                    "Weights after the swap, H = {heads}, head {h}; rows and columns are named by the input they "
                    "belong to.",
                    {"heads": run.heads, "h": h},
                ),
                f"weights-{run.heads}-head-{h}-swapped",
                matrix,
                [f"output {i}" for i in order],
                [f"input {i}" for i in order],
            )
        yield Table.of_matrix(
            Statement(
                "Output after the swap, H = {heads}; rows are named by the input they belong to.", {"heads": run.heads}
            ),
            f"output-{run.heads}-swapped",
            run.swapped.output,
            [f"output {i}" for i in order],
            [str(i) for i in range(run.swapped.output.shape[1])],
        )


def _introduction(study: Coursework) -> Paragraph:
    run, every = study.permutations, math.factorial(study.tokens)
    which = "all {run:,} permutations" if run == every else "{run:,} of the {every:,} permutations, drawn at random,"
    return Paragraph(
        Statement(
            "A swap is one permutation of the rows of <X>, and nothing depends on which one it is: <equivariance> "
            "for every permutation matrix <P>. Each step of the proof was run for " + which + " of the {n} inputs "
            "and for every number of heads; the largest error, relative to the largest entry, is shown next to it.",
            {"run": run, "every": every, "n": study.tokens},
        )
    )


def _proof(study: Coursework) -> Derivation:
    worst = [max(run.equivariance[i] for run in study.runs) for i in range(4)]
    return Derivation(
        *(
            Step(Statement(words, {"error": scientific(error)}), tex, error < study.rounding)
            for (words, tex), error in zip(_steps(study), worst, strict=True)
        )
    )


def _steps(study: Coursework) -> tuple[tuple[str, str], ...]:
    """Words and formula of each step, with the biases and the final transformation only where there are some."""
    biased = any(name in study.arrays for name in ("bq", "bk", "bv"))
    added = " + 1 b_q^{\\top}" if biased else ""
    heads = r"\left[\, A^{(0)}(X)\, V_0(X),\, A^{(1)}(X)\, V_1(X),\, \ldots \,\right]"
    final = (r" W_o^{\top}" if "Wo" in study.arrays else "") + (r" + 1 b_o^{\top}" if "bo" in study.arrays else "")
    outside = f"P \\left( {heads}{final} \\right)" if final else rf"P\, {heads}"
    return (
        (
            "Queries, keys and values are made row by row, "
            + ("and a bias is added to every row alike, " if biased else "")
            + "so that permuted tokens have permuted ones (to within {error}):",
            rf"Q(PX) = P X W_q^{{\top}}{added} = P\, Q(X), \quad K(PX) = P\, K(X), \quad V(PX) = P\, V(X)",
        ),
        (
            "The logits are permuted in rows and in columns ({error}):",
            r"Q(PX)\, K(PX)^{\top} = P\, Q K^{\top} P^{\top}",
        ),
        (
            "The softmax treats each row by itself, and a row's sum of exponentials does not depend on their order, so "
            "the weights are permuted alike ({error}):",
            r"A(PX) = \mathrm{softmax}\!\left( P \frac{Q K^{\top}}{\sqrt{d}} P^{\top} \right) = P\, A(X)\, P^{\top}",
        ),
        (
            "The permutation between weights and values cancels, in every head: <P A V>. The heads are concatenated "
            "along the coordinates"
            + (", and what comes after them acts on each row alike" if final else "")
            + ", so <P> stays in front ({error}):",
            rf"\mathrm{{SA}}(PX) = {outside} = P\, \mathrm{{SA}}(X)",
        ),
    )


def _breaking(study: Coursework) -> Paragraph:
    return Paragraph(
        Statement("Anything that distinguishes positions breaks it. Both were run for the same permutations."),
        _broken(
            study,
            "positions",
            "A vector added to the token in each place, as learned positions are, makes the queries depend on the "
            "place",
        ),
        _broken(study, "causal", "A causal mask lets output n see the inputs up to n only"),
    )


def _broken(study: Coursework, by: str, words: str) -> Statement:
    """By how much SA(PX) then is not P SA(X), for each number of heads."""
    shares = [getattr(run, by) for run in study.runs]
    values: dict[str, object] = {f"heads{i}": run.heads for i, run in enumerate(study.runs)}
    values |= {f"share{i}": share for i, share in enumerate(shares)}
    text = " and ".join(f"{{share{i}:.1%}} with H = {{heads{i}}}" for i in range(len(shares)))
    if max(shares) <= study.rounding:
        return Statement(words + ", but on these arrays <equivariance> holds all the same.")
    return Statement(words + ": <equivariance> then fails, by up to " + text + " of the largest output.", values)
