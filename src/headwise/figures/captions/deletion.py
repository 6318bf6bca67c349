"""The caption of deletion and insertion curves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.captions.caption import Caption, to_statements
from headwise.figures.captions.faithfulness import describe_faithfulness, faithfulness_facts
from headwise.figures.captions.measurements import Facts, base_measurements, input_notes, title_suffix, verdict
from headwise.figures.deletion import probabilities
from headwise.figures.record import AttentionRecord
from headwise.metrics.faithfulness import CONFIDENCE_BAND
from headwise.metrics.perturbation import auc
from headwise.shapes import Array

__all__ = ["deletion_caption", "deletion_facts"]

_LIMITS = (
    "The curves are of one image; another image may have others, and what holds for a model takes many.",
    "An image without some of its tokens is one that the model was never trained on; other ways to hide a token may "
    "give "
    "other curves.",
)


def deletion_facts(drawn: AttentionRecord) -> Facts:
    """Every number that the caption may state, from the curves that were drawn."""
    deleted, inserted = probabilities(drawn).astype(np.float64)
    facts = (
        base_measurements(drawn)
        | faithfulness_facts(drawn)
        | {"band": CONFIDENCE_BAND, "full": float(deleted[0, 0]), "empty": float(deleted[0, -1])}
    )
    for name, at in (("own", 0), ("ink", 1), ("chance", 2)):
        facts |= {f"{name}_out": float(auc(deleted[at])), f"{name}_in": float(auc(inserted[at]))}
        facts |= {f"{name}_half": _half(deleted[at])}
    return facts


def deletion_caption(drawn: AttentionRecord) -> Caption:
    """Measure the curves, and let the rules write.

    Raises
    ------
    DataError
        If none were measured.
    """
    facts = deletion_facts(drawn)
    title = "What becomes of the answer as tokens are taken away" + title_suffix(drawn)
    return Caption(
        to_statements(facts, title)[0],
        to_statements(facts, _SHOWN, input_notes(drawn)),
        to_statements(facts, _READING),
        to_statements(facts, verdict(drawn), _findings(facts)),
        to_statements(facts, _LIMITS, describe_faithfulness(drawn, drawn.last, "this map")),
        to_statements(facts, f"{title}: two plots of a probability against {{tokens}} tokens.", _areas()),
    )


_SHOWN = (
    "Left: the probability of the class that the model reads in the whole image, while tokens are taken out of the "
    "sequence one by one, those with the largest weight first (solid line); right: while they are put in, from none.",
    "The weight is the class token's in the last layer, the mean over heads.",
    "Dashed: in the order of the tokens' ink. Dotted: the mean over random orders; in grey, the middle {band:.0%} of "
    "them.",
)

_READING = (
    "A ranking that finds what the answer rests on falls early on the left and rises early on the right.",
    "One that runs within the grey band does no more than chance.",
)


def _findings(facts: Facts) -> Iterator[str]:
    yield "With all tokens the probability is {full:.1%}, with none of them {empty:.1%}."
    yield _areas()
    own, chance = facts["own_half"], facts["chance_half"]
    if own <= facts["tokens"]:
        yield (
            "In the map's order it falls below half of what it was with {own_half} of {tokens} tokens taken away"
            + (", where random orders need {chance_half} on average." if chance <= facts["tokens"] else ".")
        )


def _areas() -> str:
    return (
        "The area below the curve is {own_out:.3f} on the left (random orders {chance_out:.3f}, ink {ink_out:.3f}; "
        "less is "
        "better) and {own_in:.3f} on the right ({chance_in:.3f} and {ink_in:.3f}; more is better)."
    )


def _half(curve: Array) -> int:
    """How many tokens have gone when the curve is first below half of its start; one more than all if it never is."""
    below = curve < curve[0] / 2
    return int(below.argmax()) if below.any() else len(curve)
