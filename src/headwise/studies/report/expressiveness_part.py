"""The report's part on whether one head or three are more expressive."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headwise.files import replacing
from headwise.picture.document import Figured, Paragraph, Section
from headwise.picture.expressiveness import draw_losses
from headwise.picture.save import inline, save_figure
from headwise.picture.text import Statement
from headwise.studies.expressiveness import MANY, WIDTH, Expressiveness, Fit

__all__ = ["expressiveness_section"]

_FITTED = 1e-4  # a relative loss below this is a fit, above _MISSED it is none
_MISSED = 1e-2


def expressiveness_section(study: Expressiveness, folder: Path) -> Section:
    """Draw the losses, and state the counterexamples and what the fits found."""
    figure = draw_losses([_name(each) for each in study.fits], [each.losses for each in study.fits])
    paths = save_figure(figure, folder / "figures" / "expressiveness")
    with replacing(folder / "figures" / "expressiveness.npz") as beside:
        np.savez(beside, allow_pickle=False, **{f"fit_{f.heads}_to_{f.of}": f.losses for f in study.fits})
    return Section(
        "expressiveness",
        "Is one head more expressive than several?",
        (
            Paragraph((_ANSWER,)),
            Paragraph(_several_not_one(study)),
            Paragraph(_one_not_several(study)),
            Paragraph(_equal_counts()),
            Figured(
                inline(figure),
                Statement("Each family fitted to functions of its own and of the other"),
                {"What is shown": (_shown(study),), "What it says": (*map(_found, study.fits), _fixed(study))},
                tuple(f"figures/{path.name}" for path in paths),
            ),
        ),
    )


_ANSWER = Statement(
    "Neither: as families of functions of <X>, with the matrices free and the identity as final transformation, each "
    "holds functions that the other does not."
)


def _several_not_one(study: Expressiveness) -> tuple[Statement, ...]:
    return (
        Statement(
            "Several but not one. On equal tokens every output is the mapped token itself, whatever the weights are, "
            "so two such functions that agree everywhere have the same value matrix."
        ),
        Statement(
            "A single head's output then lies in the convex hull of the mapped tokens; for two tokens, on the segment "
            "between them. Heads that draw on different tokens leave it: in the example run here, the output of {many} "
            "heads lies {distance:.3f} from a segment of length {length:.3f}.",
            {"many": MANY, "distance": study.off_segment, "length": study.segment},
        ),
    )


def _one_not_several(study: Expressiveness) -> tuple[Statement, ...]:
    return (
        Statement(
            "One but not several. With two tokens, every coordinate of a single head's output is the same mixture of "
            "the two, by a weight that is the logistic function of a bilinear form in the tokens. Several heads that "
            "compute the same must each have that weight, for all tokens, and so each that form."
        ),
        Statement(
            "But the form of a head that owns {rows} rows has at most rank {possible}, and that of the single head "
            "drawn here has rank {needed}.",
            {"rows": WIDTH // MANY, "possible": study.rank_possible, "needed": study.rank_needed},
        ),
    )


def _equal_counts() -> tuple[Statement, ...]:
    return (
        Statement(
            "Both have the same {count} weights, since the heads only share out the rows of the same three matrices of "
            "{width} × {width}.",
            {"count": 3 * WIDTH**2, "width": WIDTH},
        ),
        Statement(
            "A final transformation adds nothing to a single head, where it can be multiplied into the value matrix; "
            "for several it mixes what the heads found, but lifts neither limit: a head's form keeps its rank."
        ),
    )


def _shown(study: Expressiveness) -> Statement:
    return Statement(
        "Functions were drawn at random from each family ({targets} of each, D = {width}), and each family was fitted "
        "to them by {steps:,} steps of Adam on {inputs} inputs from {starts} random starts: a dot is where a start "
        "ended, on inputs it was not fitted to, a bar the best start.",
        {
            "targets": len(study.fits[0].losses),
            "width": WIDTH,
            "steps": study.steps,
            "inputs": study.inputs,
            "starts": study.starts,
        },
    )


def _found(fit: Fit) -> Statement:
    worst, least = float(fit.best.max()), float(fit.best.min())
    if worst < _FITTED:
        verdict = "found every one of them (the best loss is at most {worst:.0e})."
    elif least > _MISSED:
        verdict = "found none of them (the best loss is at least {least:.2f})."
    else:
        verdict = "came between {least:.0e} and {worst:.0e}, which decides nothing."
    return Statement(
        "{heads} fitted to functions of {of}: " + verdict,
        {"heads": _heads(fit.heads), "of": _heads(fit.of).lower(), "worst": worst, "least": least},
    )


def _fixed(study: Expressiveness) -> Statement:
    return Statement(
        "It takes many inputs to ask this question: on one fixed <X> alone, with no more tokens than coordinates, a "
        "single head comes to within {loss:.0e} of what {many} heads give.",
        {"loss": study.fixed_loss, "many": MANY},
    )


def _name(fit: Fit) -> str:
    return f"{_heads(fit.heads)} fitted to {_heads(fit.of).lower()}"


def _heads(count: int) -> str:
    return "One head" if count == 1 else f"{count} heads"
