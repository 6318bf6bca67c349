"""One head or several, which is more expressive? Counterexamples, proved and run, and each fitted to the other."""

from __future__ import annotations

import numpy as np

from headwise.picture.document import Derivation, Paragraph, Section, Step
from headwise.picture.expressiveness import draw_losses
from headwise.picture.text import Statement, tiny
from headwise.studies.expressiveness import MANY, TOKENS, WIDTH, Expressiveness, Fit
from headwise.studies.report.attention.swapping import ROUNDING
from headwise.studies.report.desk import Desk

__all__ = ["expressiveness_section"]

_FITTED = 1e-4  # a relative loss below this is a fit, above _MISSED it is none
_MISSED = 1e-2


def expressiveness_section(study: Expressiveness, desk: Desk) -> Section:
    """State and prove the counterexamples, and draw what the fits found."""
    figure = desk.figure(
        draw_losses([_name(each) for each in study.fits], [each.losses for each in study.fits]),
        "expressiveness",
        Statement("Each family fitted to functions of its own and of the other"),
        shown=(_shown(study),),
        says=(*map(_found, study.fits), _fixed(study)),
        behind=Statement(
            "{targets} functions of each family, {starts} starts for each, all drawn with seed {seed}.",
            {"targets": len(study.fits[0].losses), "starts": study.starts, "seed": study.seed},
        ),
        arrays={f"fit_{each.heads}_to_{each.of}": each.losses for each in study.fits},
    )
    blocks = (
        Paragraph((_ANSWER,)),
        Paragraph((_SEVERAL_NOT_ONE,)),
        _several_not_one(study),
        Paragraph((_ONE_NOT_SEVERAL,)),
        _one_not_several(study),
        Paragraph((_TRANSFORMED,)),
        _transformed(),
        Paragraph(_equal_counts()),
        figure,
    )
    return Section("expressiveness", "Is one of the two more expressive?", blocks, number="1.6")


_ANSWER = Statement(
    "Neither. As families of functions <family>, with the matrices free and the identity as final transformation, each "
    "holds functions that the other does not. (To say that something is more expressive is to say which functions it "
    "holds, for all inputs; on a single input the question is empty, as the experiment shows below.)"
)
_SEVERAL_NOT_ONE = Statement("A function of several heads that no single head computes:")
_ONE_NOT_SEVERAL = Statement("A function of one head that several heads of the same width do not compute:")
_TRANSFORMED = Statement(
    "What a final transformation changes. A single head gains nothing, since <W_o> can be multiplied into <W_v>. "
    "Several heads gain functions, since their findings are mixed; but both limits stay:"
)


def _several_not_one(study: Expressiveness) -> Derivation:
    return Derivation(
        (
            Step(
                "On equal tokens the weights do not matter, since they sum to one. So two such functions that agree "
                "everywhere have the same value matrix.",
                r"x_0 = x_1 = \ldots = x \quad \Rightarrow \quad o_n = W_v x",
            ),
            Step(
                "A single head's output is then a mean of the mapped tokens with weights that are not negative: it "
                "lies in their convex hull, which for two tokens is a segment.",
                r"o_n = \sum_{m} A_{n,m} W_v x_m \in \mathrm{conv} \{ W_v x_0, \ldots, W_v x_{N-1} \}",
            ),
            Step(
                Statement(
                    "Heads that draw on different tokens leave it. In the example run here, with the identity for "
                    "<W_v>, the first of {many} heads takes its coordinates from one token and the others theirs from "
                    "the other: the output lies {distance:.3f} from a segment of length {length:.3f}.",
                    {"many": MANY, "distance": study.off_segment, "length": study.segment},
                ),
                r"o_0 \notin \mathrm{conv} \{ x_0, x_1 \}",
                study.off_segment > ROUNDING,
            ),
        )
    )


def _one_not_several(study: Expressiveness) -> Derivation:
    one, several = study.ranks
    return Derivation(
        (
            Step(
                "Take the identity for the value matrix; equal tokens force it on whatever computes the same function. "
                "With two tokens, every coordinate of a single head's output is the same mixture of the two, with the "
                "logistic function of a bilinear form as its weight.",
                r"o_0 = p\, x_0 + (1 - p)\, x_1, \qquad p = \sigma\!\left( x_0^{\top} M (x_0 - x_1) \right), \qquad M"
                r" = \frac{1}{\sqrt{D}} W_q^{\top} W_k",
            ),
            Step(
                "Several heads have such a weight each, for the coordinates that they own. If the outputs agree for "
                "all tokens, so do the weights, and the logistic function can be undone.",
                r"x_0^{\top} M_h (x_0 - x_1) = x_0^{\top} M (x_0 - x_1), \qquad M_h = \frac{1}{\sqrt{D/H}}"
                r" (W_q^{(h)})^{\top} W_k^{(h)}",
            ),
            Step(
                "The two vectors in the form may be any, and a bilinear form that is known for all vectors is known.",
                r"u^{\top} M_h w = u^{\top} M w \mathrm{\ for\ all\ } u, w \quad \Rightarrow \quad M_h = M",
            ),
            Step(
                Statement(
                    "But a head that owns {own} rows has a form of rank {own} at most, and M may have rank {width}. "
                    "Run: the form behind every output coordinate was read off the outputs of random functions on "
                    "pairs of tokens, to within {deviation} of the one that the function was made with. The single "
                    "head showed one form in all coordinates (to within {same}), of rank {one}; the {many} heads "
                    "showed forms of rank {several}.",
                    {
                        "own": WIDTH // MANY,
                        "width": WIDTH,
                        "deviation": tiny(study.read_off),
                        "same": tiny(study.one_form),
                        "one": _ranks(one),
                        "many": MANY,
                        "several": _ranks(several),
                    },
                ),
                r"\mathrm{rank}\, M_h \le D/H < \mathrm{rank}\, M",
                max(study.read_off, study.one_form) < ROUNDING and max(several) < min(one),
            ),
        )
    )


def _transformed() -> Derivation:
    return Derivation(
        (
            Step(
                "For a single head the convex hull is that of the tokens mapped by both matrices, and the example "
                "above leaves it as before.",
                r"o_n = \sum_{m} A_{n,m} W_o W_v x_m",
            ),
            Step(
                "For several, equal tokens give the product of both; if that is the identity, the heads' shares of it "
                "are projections that add up to it and annihilate one another.",
                r"W_o W_v = I, \quad E_h = W_o^{(h)} W_v^{(h)} \quad \Rightarrow \quad E_h E_g = 0 \; (g \neq h),"
                r" \quad \sum_{h} E_h = I",
            ),
            Step(
                "Should they compute the single head's mixture of two tokens, each head must have the single head's "
                "weight wherever its projection does not vanish, hence its form, whose rank it does not have.",
                r"\sum_{h} p_h E_h (x_0 - x_1) = p\, (x_0 - x_1) \quad \Rightarrow \quad p_h E_h (x_0 - x_1) = p\, E_h"
                r" (x_0 - x_1)",
            ),
        )
    )


def _equal_counts() -> tuple[Statement, ...]:
    return (
        Statement(
            "Neither has more to choose from: both have {count} weights at D = {width}, since the heads only share out "
            "the rows of the same three matrices, and with a final transformation both have {more}.",
            {"count": 3 * WIDTH**2, "width": WIDTH, "more": 4 * WIDTH**2},
        ),
    )


def _shown(study: Expressiveness) -> Statement:
    return Statement(
        "Functions were drawn at random from each family ({targets} of each, D = {width}, N = {tokens}), and each "
        "family was fitted to them by {steps:,} steps of Adam on {inputs} inputs from {starts} random starts: a dot is "
        "where a start ended, on inputs it was not fitted to, a bar the best start.",
        {
            "targets": len(study.fits[0].losses),
            "width": WIDTH,
            "tokens": TOKENS,
            "steps": study.steps,
            "inputs": study.inputs,
            "starts": study.starts,
        },
    )


def _found(fit: Fit) -> Statement:
    worst, least = float(fit.best.max()), float(fit.best.min())
    values = {"heads": _heads(fit.heads), "of": _heads(fit.of).lower(), "worst": tiny(worst), "low": tiny(least)}
    if worst < _FITTED:
        verdict = "found every one of them (the best loss is at most {worst})."
    elif least > _MISSED:
        verdict = "found none of them (the best loss is at least {least:.2f})."
    else:
        verdict = "came between {low} and {worst}, which decides nothing."
    return Statement(
        "{heads} fitted to functions of {of}: " + verdict,
        {**values, "least": least},
    )


def _fixed(study: Expressiveness) -> Statement:
    return Statement(
        "It takes many inputs to ask the question: fitted on one fixed <X> alone, with {tokens} tokens of {width} "
        "coordinates, a single head "
        + ("comes to within {tiny} of" if study.fixed_loss < _MISSED else "still misses by {loss:.2f}")
        + " what {many} heads give.",
        {"loss": study.fixed_loss, "tiny": tiny(study.fixed_loss), "many": MANY, "tokens": TOKENS, "width": WIDTH},
    )


def _name(fit: Fit) -> str:
    return f"{_heads(fit.heads)} fitted to {_heads(fit.of).lower()}"


def _heads(count: int) -> str:
    return "One head" if count == 1 else f"{count} heads"


def _ranks(ranks: tuple[int, ...]) -> str:
    return " and ".join(str(rank) for rank in np.unique(ranks))
