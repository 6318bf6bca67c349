"""How far a picture can be believed: what its own test says, or why there was none."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.measure.faithfulness import Faithfulness
from headwise.picture.captions.facts import Facts
from headwise.picture.captions.rules import RULES
from headwise.picture.deletion import BAND
from headwise.picture.drawn import Drawn
from headwise.shapes import Array

__all__ = ["UNRANKED", "trust_facts", "trusted"]

UNRANKED = (
    "This figure shows how tokens are mixed and ranks none by what it did to the answer, so there was no ranking to "
    "test."
)
_UNTESTED = (
    "Nothing was tested: that takes the model, to be run again with tokens taken away, and these are the arrays alone; "
    "so how far this picture explains the answer is not known."
)


def trust_facts(drawn: Drawn) -> Facts:
    """The score's numbers, under names of their own."""
    t = drawn.tested
    if t is None:
        return {}
    return {
        "band": BAND,
        "deletion": t.deletion,
        "random_deletion": t.random_deletion[0],
        "random_low": t.random_deletion[1],
        "random_high": t.random_deletion[2],
        "ink_deletion": t.ink_deletion,
        "beaten": t.beaten_by_deletion,
        "orders": t.orders,
        "shapley": t.shapley,
        "ink_shapley": t.ink_shapley,
        "shapley_error": t.shapley_error,
    }


def trusted(drawn: Drawn, ranking: Array, which: str) -> Iterator[str]:
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
    values = "exact Shapley values" if t.shapley_error == 0 else "Shapley values (estimated, ± {shapley_error:.3f})"
    yield f"Its rank correlation with the tokens' {values} is {{shapley:.2f}}, that of the ink {{ink_shapley:.2f}}."
    yield _verdict(t)


def _verdict(t: Faithfulness) -> str:
    by_chance = t.beaten_by_deletion >= RULES["chance"].threshold
    by_values = t.shapley >= RULES["follows"].threshold
    if not by_chance and not by_values:
        return (
            "So on this image it is not shown to be better than chance (that would be at least {chance:.0%} of the "
            "random orders beaten), nor does it follow the Shapley values (at least {follows}): it must not be read as "
            "an explanation of the answer."
        )
    if not by_chance:
        return (
            "So on this image it follows the Shapley values (at least {follows}), but is not shown to be better than "
            "chance (at least {chance:.0%} of the random orders beaten): believe it in outline only."
        )
    said = "So on this image it is better than chance (at least {chance:.0%} of the random orders beaten), " + (
        "and follows the Shapley values (at least {follows}); "
        if by_values
        else "but does not follow the Shapley values (less than {follows}); "
    )
    if t.deletion < t.ink_deletion:
        return said + "it is better than the order of the ink, too."
    return said + "the ink alone, which needs no model, does as well or better."
