"""How far a picture can be believed: what its own test says, or why there was none."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.figures.captions.measurements import Facts
from headwise.figures.record import AttentionRecord
from headwise.metrics.faithfulness import CONFIDENCE_BAND, Faithfulness
from headwise.shapes import Array
from headwise.thresholds import THRESHOLDS

__all__ = ["UNRANKED", "describe_faithfulness", "faithfulness_facts"]

UNRANKED = (
    "This figure shows how tokens are mixed and ranks none by what it did to the answer, so there was no ranking to "
    "test."
)
_UNTESTED = (
    "Nothing was tested: that takes the model, to be run again with tokens taken away, and these are the arrays alone; "
    "so how far this picture explains the answer is not known."
)


def faithfulness_facts(drawn: AttentionRecord) -> Facts:
    """The score's numbers, under names of their own."""
    t = drawn.tested
    if t is None:
        return {}
    return {
        "band": CONFIDENCE_BAND,
        "deletion": t.deletion,
        "random_deletion": t.random_deletion[0],
        "random_low": t.random_deletion[1],
        "random_high": t.random_deletion[2],
        "ink_deletion": t.ink_deletion,
        "beaten": t.fraction_of_random_beaten_deletion,
        "insertion": t.insertion,
        "random_insertion": t.random_insertion[0],
        "ink_insertion": t.ink_insertion,
        "beaten_in": t.fraction_of_random_beaten_insertion,
        "orders": t.orders,
        "shapley": t.shapley,
        "ink_shapley": t.ink_shapley,
        "shapley_error": t.shapley_error,
    }


def describe_faithfulness(drawn: AttentionRecord, ranking: Array, which: str) -> Iterator[str]:
    """The test of a map, (N,), that `which` names, and its verdict by rule; of another map there is none."""
    t = drawn.tested
    if t is None or not drawn.was_tested(ranking):
        yield _UNTESTED
        return
    yield (
        f"As a test, the image's tokens were taken out of the sequence in the order of {which}, the largest first: the "
        "area below the probability of the class read is {deletion:.3f}, where random orders have "
        "{random_deletion:.3f} "
        "on average, the middle {band:.0%} of them from {random_low:.3f} to {random_high:.3f}, and the order of the "
        "ink "
        "{ink_deletion:.3f}. Less is better; it beats {beaten:.0%} of {orders:,} random orders."
    )
    yield (
        "Put in from none in the same order, where more is better, they give {insertion:.3f}, random orders "
        "{random_insertion:.3f} and the ink {ink_insertion:.3f}; it beats {beaten_in:.0%}."
    )
    values = "exact Shapley values" if t.shapley_error == 0 else "Shapley values (estimated, ± {shapley_error:.3f})"
    yield f"Its rank correlation with the tokens' {values} is {{shapley:.2f}}, that of the ink {{ink_shapley:.2f}}."
    yield _verdict(t)


def _verdict(t: Faithfulness) -> str:
    """What the test supports: taking tokens away, putting them in, and the Shapley values."""
    chance = THRESHOLDS["chance"].threshold
    out, into = t.fraction_of_random_beaten_deletion >= chance, t.fraction_of_random_beaten_insertion >= chance
    follows = t.shapley >= THRESHOLDS["follows"].threshold
    by_chance = {
        (True, True): "better than chance both ways",
        (True, False): "better than chance when tokens are taken away, not shown to be when they are put in",
        (False, True): "better than chance when tokens are put in, not shown to be when they are taken away",
        (False, False): "not shown to be better than chance either way",
    }[out, into]
    joined = "and" if follows == (out or into) else "but"
    by_values = f"{joined} {'follows' if follows else 'does not follow'} the Shapley values"
    said = (
        f"So on this image the order is {by_chance} (at least {{chance:.0%}} of the random orders beaten), {by_values} "
        "(at least {follows}): "
    )
    said += {
        0: "it must not be read as an explanation of the answer.",
        3: "it may be read as an outline of what the answer rests on.",
    }.get(out + into + follows, "it explains the answer in part at most.")
    if t.deletion >= t.ink_deletion and t.insertion <= t.ink_insertion:
        said += " The ink alone, which needs no model, does as well or better."
    return said
