"""Two inputs change places: the runs, the proof for every permutation, and what breaks it."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.picture.document import Block, Derivation, Paragraph, Section, Step, Table
from headwise.picture.text import Statement, tiny
from headwise.studies.coursework import Coursework

__all__ = ["ROUNDING", "swapping_section"]

ROUNDING = 1e-9  # a deviation below this is rounding, above it a difference


def swapping_section(study: Coursework) -> Section:
    """Both runs after the swap, and why they come out so."""
    blocks: list[Block] = [_what_happens(study), *_tables(study), _introduction(study), _proof(study), _breaking(study)]
    return Section("swap", "Two inputs change places", tuple(blocks), number="1.4")


def _what_happens(study: Coursework) -> Paragraph:
    a, b = study.swap
    return Paragraph(
        (
            Statement(
                "Inputs {a} and {b} change places. Then outputs {a} and {b} change places, unaltered, and so do their "
                "rows and columns in every head's weights: <weights move>. The other outputs stay as they were.",
                {"a": a, "b": b},
            )
            if _equivariant(study)
            else Statement("Inputs {a} and {b} change places, and the outputs do more than follow.", {"a": a, "b": b}),
        )
    )


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
    return Paragraph(
        (
            Statement(
                "A swap is one permutation of the rows of <X>, and nothing depends on which one it is: <equivariance> "
                "for every permutation matrix <P>. Each step of the proof was run for {permutations} permutations of "
                "the {n} inputs and both numbers of heads; the largest deviation is beside it.",
                {"permutations": study.permutations, "n": study.tokens},
            ),
        )
    )


def _proof(study: Coursework) -> Derivation:
    worst = [max(run.moved[i] for run in study.runs) for i in range(4)]
    steps = (
        (
            "Queries, keys and values are made row by row, so that permuted tokens have permuted ones (to within "
            "{apart}):",
            r"Q(PX) = P X W_q^{\top} = P\, Q(X), \quad K(PX) = P\, K(X), \quad V(PX) = P\, V(X)",
        ),
        (
            "The logits are permuted in rows and in columns ({apart}):",
            r"Q(PX)\, K(PX)^{\top} = P\, Q K^{\top} P^{\top}",
        ),
        (
            "The softmax treats each row by itself, and a row's sum of exponentials does not depend on their order, so "
            "the weights are permuted alike ({apart}):",
            r"A(PX) = \mathrm{softmax}\!\left( P \frac{Q K^{\top}}{\sqrt{d}} P^{\top} \right) = P\, A(X)\, P^{\top}",
        ),
        (
            "The permutation between weights and values cancels. That holds for each head; the heads are put side by "
            "side along the coordinates, and a final transformation acts on the coordinates, so <P> stays in front "
            "({apart}):",
            r"\mathrm{SA}(PX) = P\, A(X)\, P^{\top} P\, V(X) = P\, A(X)\, V(X) = P\, \mathrm{SA}(X)",
        ),
    )
    return Derivation(
        tuple(
            Step(Statement(words, {"apart": tiny(apart)}), tex, apart < ROUNDING)
            for (words, tex), apart in zip(steps, worst, strict=True)
        )
    )


def _breaking(study: Coursework) -> Paragraph:
    causal, positions = (min(getattr(run, name) for run in study.runs) for name in ("causal", "positions"))
    return Paragraph(
        (
            Statement(
                "What would break it is whatever tells places apart. A vector added to the token in each place, as "
                "learned positions are, makes queries depend on the place, and a causal mask lets output n see the "
                "first n inputs only. Run for the same permutations, the largest deviation from <equivariance> is then "
                "at least {positions:.2f} with positions, and at least {causal:.2f} with the mask, for either number "
                "of heads.",
                {"causal": causal, "positions": positions},
            )
            if min(causal, positions) > ROUNDING
            else Statement(
                "Neither positions nor a causal mask break it on these arrays, which is unusual: the largest deviation "
                "is {least}.",
                {"least": tiny(min(causal, positions))},
            ),
        )
    )


def _equivariant(study: Coursework) -> bool:
    return max(max(run.moved) for run in study.runs) < ROUNDING
