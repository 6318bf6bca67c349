"""Whether one head or several are more expressive: counterexamples, proved and run, and fits to each other, drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from headwise.coursework.expressiveness.constructions import Setting
from headwise.coursework.expressiveness.fitting import Fit
from headwise.coursework.expressiveness.study import Expressiveness
from headwise.coursework.report.attention.expressiveness_proofs import (
    one_input,
    one_not_several,
    several_not_one,
    transformed,
)
from headwise.coursework.report.context import ReportContext
from headwise.coursework.results import Coursework
from headwise.document import Paragraph, Section, Table
from headwise.figures import new_figure
from headwise.figures.colors import GRID, MARK, PALE_ACCENT
from headwise.shapes import Array
from headwise.text import Statement, round_down, scientific

_FLOOR = 1e-16  # a smaller loss is rounding
_FITTED = 1e-4  # a relative loss below this is a fit, above _MISSED it is none
_MISSED = 1e-2
_WIDEST, _LONGEST = 12, 8  # wider and longer inputs would take minutes to fit


def setting_of(study: Coursework) -> Setting:
    """The sizes of the arrays, or standard ones if their fits would take too long."""
    heads = study.runs[-1].heads if len(study.runs) > 1 else Setting().heads
    usual = Setting(width=2 * heads, heads=heads)
    return usual._replace(
        width=study.width if study.width <= _WIDEST and study.width % usual.heads == 0 else usual.width,
        tokens=study.tokens if study.tokens <= _LONGEST else usual.tokens,
    )


def expressiveness_section(study: Expressiveness, coursework: Coursework, context: ReportContext) -> Section:
    """State and prove the counterexamples, and draw the results of the fits."""
    names = [f"{_heads(fit.heads)} fitted to {_heads(fit.of).lower()}" for fit in study.fits]
    figure = context.figure(
        draw_fits(names, [fit.losses for fit in study.fits]),
        "expressiveness",
        Statement("Each family fitted to its own functions and to those of the other"),
        shown=(_shown(study),),
        findings=tuple(map(describe_fit, study.fits)),
        basis=Statement(
            "{targets} functions of each family, {starts} starts for each, all drawn with seed {seed}.",
            {"targets": len(study.fits[0].losses), "starts": study.starts, "seed": study.seed},
        ),
        arrays={f"fit_{fit.heads}_to_{fit.of}": fit.losses for fit in study.fits},
    )
    blocks = (
        Paragraph(*_answer(study, coursework)),
        Paragraph(_SEVERAL_NOT_ONE),
        several_not_one(study),
        Paragraph(_ONE_NOT_SEVERAL),
        one_not_several(study),
        Paragraph(_TRANSFORMED),
        transformed(study),
        Paragraph(_counts(study)),
        _directions(study),
        figure,
        Paragraph(_ONE_INPUT),
        one_input(coursework),
    )
    return Section("expressiveness", "Is one of the two more expressive?", blocks, number="1.6")


_SEVERAL_NOT_ONE = Statement("A function of several heads that no single head computes:")
_ONE_NOT_SEVERAL = Statement("A function of one head that several heads of the same width do not compute:")
_TRANSFORMED = Statement(
    "What a final transformation changes. A single head gains nothing, since <W_o> can be multiplied into <W_v>. "
    "Several heads gain functions; but both limits stay."
)
_ONE_INPUT = Statement(
    "All this is about functions of every input. On one fixed <X> whose tokens are linearly independent the question "
    "is empty: a single head gives any output whatever, that of several heads too."
)


def _answer(study: Expressiveness, coursework: Coursework) -> tuple[Statement, ...]:
    width, heads, _ = study.setting
    ran = (
        "the arrays' own D = {width}, with {heads} heads."
        if width == coursework.width
        else "D = {width} with {heads} heads, since fits as wide as the arrays would take long."
    )
    return (
        Statement(
            "Neither. As families of functions <family>, with the matrices free and the identity as final "
            "transformation, each holds functions that the other does not. Inputs may have any number of tokens, and "
            "two are enough to tell functions apart. (With N fixed, let the other tokens equal the second: the "
            "segment below stays, and the logit of the second proof loses the same constant in both families. A "
            "single token is returned as <W_v> maps it, by one head as by several.)"
        ),
        Statement(
            "The proofs hold for every <D> above two and every <H> above one that divides it; the numerical checks "
            "use " + ran,
            {"width": width, "heads": heads},
        ),
    )


def _counts(study: Expressiveness) -> Statement:
    width, _, _ = study.setting
    return Statement(
        "Both families have the same number of weights, since the heads only share out the rows of the same "
        "matrices: {count} at D = {width}, and {more} with a final transformation. But not every change of the "
        "weights changes the function. A head's queries can be multiplied by an invertible matrix and its keys by "
        "the inverse's transpose; a large head has more such matrices than several small ones together. So several "
        "heads have more directions to move in, and yet do not reach what one head reaches.",
        {"count": 3 * width**2, "width": width, "more": 4 * width**2},
    )


def _directions(study: Expressiveness) -> Table:
    width, heads, _ = study.setting
    (one, several), (one_final, several_final) = study.directions
    return Table(
        Statement(
            "Weights, and directions in which they change the function: the rank of the derivative of a random "
            "function's outputs by its weights, measured."
        ),
        ("", "weights", "directions, H = 1", f"directions, H = {heads}"),
        (
            ("identity as final transformation", str(3 * width**2), str(one), str(several)),
            ("with a final transformation", str(4 * width**2), str(one_final), str(several_final)),
        ),
        "directions",
    )


def _shown(study: Expressiveness) -> Statement:
    return Statement(
        "Functions were drawn at random from each family ({targets} of each, D = {width}, N = {tokens}), and each "
        "family was fitted to them by {steps:,} steps of Adam on {inputs} inputs from {starts} random starts: a dot is "
        "where a start ended, on inputs it was not fitted to, a bar the best start.",
        {
            "targets": len(study.fits[0].losses),
            "width": study.setting.width,
            "tokens": study.setting.tokens,
            "steps": study.steps,
            "inputs": study.inputs,
            "starts": study.starts,
        },
    )


def describe_fit(fit: Fit) -> Statement:
    """Whether one family was fitted to functions of the other."""
    worst, least = float(fit.best.max()), float(fit.best.min())
    values = {
        "heads": _heads(fit.heads),
        "of": _heads(fit.of).lower(),
        "worst": scientific(worst),
        "least": round_down(least),
    }
    if worst < _FITTED:
        verdict = "reproduced all of them (the best loss is at most {worst})."
    elif least > _MISSED:
        verdict = "reproduced none of them (the best loss is at least {least})."
    else:
        verdict = "reached best losses between {least} and {worst}, which is inconclusive."
    return Statement("{heads} fitted to functions of {of}: " + verdict, values)


def _heads(count: int) -> str:
    return "One head" if count == 1 else f"{count} heads"


def draw_fits(names: Sequence[str], losses: Sequence[Array]) -> Figure:
    """The final loss of every random start, (targets, starts) for each name, and the best for each target function."""
    with new_figure(7.2, 0.6 + 0.42 * len(names)) as figure:
        axes = figure.subplots()
        for row, values in enumerate(losses):
            targets, starts = values.shape
            heights = row + np.linspace(-0.22, 0.22, targets)[:, None] + np.zeros(starts)
            axes.plot(
                np.maximum(values, _FLOOR).ravel(), heights.ravel(), "o", color=PALE_ACCENT, ms=3.5, mew=0, alpha=0.7
            )
            axes.plot(np.maximum(values.min(axis=1), _FLOOR), heights[:, 0], "|", color=MARK, ms=8, mew=1.6)
        axes.set(xscale="log", yticks=range(len(names)), yticklabels=names, xlim=(_FLOOR / 3, 3))
        axes.set_xlabel("mean squared error on new inputs, divided by the variance of the outputs")
        axes.invert_yaxis()
        axes.grid(axis="x", linewidth=0.3, color=GRID)
    return figure
