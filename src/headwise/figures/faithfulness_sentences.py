"""The faithfulness test in words: its numbers, its verdict by rule, and one clause for a short caption."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.figures.record import AttentionRecord
from headwise.metrics.faithfulness import Faithfulness
from headwise.shapes import Array
from headwise.text import distinguishing_decimals
from headwise.thresholds import THRESHOLDS

NO_RANKING = (
    "This figure shows how tokens are mixed and does not rank them by their effect on the prediction, so there was no "
    "ranking to test."
)
NO_RANKING_IN_SHORT = "The figure does not rank tokens by their effect on the prediction."
_UNTESTED = (
    "Faithfulness was not tested: the test runs the model again with tokens removed, and how well this figure explains "
    "the prediction is unknown without it."
)


def describe_faithfulness(record: AttentionRecord, ranking: Array, name: str) -> Iterator[str]:
    """The faithfulness test of a map, (N,), and its verdict by rule; `name` says which map it is."""
    score = record.faithfulness
    if score is None or not record.was_tested(ranking):
        yield _UNTESTED
        return
    ink = bool(record.ink.any())
    deletion, insertion = (f"{{beaten_{test}:.{_beaten_decimals(score)[test]}%}}" for test in ("deletion", "insertion"))
    order_of_ink = " and {ink_deletion:.3f} for the order of ink" if ink else ""
    last = "" if record.num_removed == record.num_tokens else ", except the last one, from which the model predicts,"
    yield (
        f"As a test, the {{input}}'s tokens{last} were removed from the sequence in the order of {name}, largest "
        f"first: the area under the probability of the {record.prediction_name} is {{deletion:.3f}}, against "
        "{random_deletion:.3f} on average for random orders (central {band:.0%}: {random_deletion_low:.3f} to "
        f"{{random_deletion_high:.3f}}){order_of_ink}. Less is better; the map beats {deletion} of {{orders:,}} random "
        "orders."
    )
    order_of_ink = " and {ink_insertion:.3f} for ink" if ink else ""
    yield (
        "When tokens are inserted in the same order, starting from none, more is better: the area is {insertion:.3f}, "
        f"against {{random_insertion:.3f}} for random orders{order_of_ink}; the map beats {insertion}."
    )
    values = "exact Shapley values" if score.shapley_error == 0 else "Shapley values (estimated, ± {shapley_error:.3f})"
    decimals = distinguishing_decimals(score.shapley, THRESHOLDS["shapley_correlation"].value)
    yield f"Its rank correlation with the tokens' {values} is {{shapley:.{decimals}f}}" + (
        "; that of ink is {ink_shapley:.2f}." if ink else "."
    )
    yield _verdict(score, ink)


def summarize_faithfulness(record: AttentionRecord, ranking: Array, name: str = "the map") -> str:
    """The test of a map in one sentence, for a short caption; `name` says which map it is."""
    score = record.faithfulness
    if score is None or not record.was_tested(ranking):
        return f"Whether {name} explains the prediction was not tested."
    tests = _test_results(score)
    deletion, insertion = (f"{{beaten_{test}:.{_beaten_decimals(score)[test]}%}}" for test in ("deletion", "insertion"))
    decimals = distinguishing_decimals(score.shapley, THRESHOLDS["shapley_correlation"].value)
    verdict = {0: "so it is no explanation of the prediction", 3: "so it outlines what the prediction rests on"}
    return (
        f"Faithfulness: removing tokens in {name}'s order beats {deletion} of random orders, inserting them "
        f"{insertion}, and its rank correlation with Shapley values is {{shapley:.{decimals}f}}, "
        f"{verdict.get(sum(tests), 'so it explains the prediction at most in part')}."
    )


def _beaten_decimals(score: Faithfulness) -> dict[str, int]:
    """Decimals of both percentages, so that none is rounded across the threshold."""
    threshold = THRESHOLDS["beats_random"].value
    beaten = {"deletion": score.fraction_of_random_beaten_deletion,
              "insertion": score.fraction_of_random_beaten_insertion}  # fmt: skip
    return {test: max(0, distinguishing_decimals(value, threshold) - 2) for test, value in beaten.items()}


def _test_results(score: Faithfulness) -> tuple[bool, bool, bool]:
    """Whether deletion, insertion and Shapley values support the map."""
    beats_random = THRESHOLDS["beats_random"].value
    return (
        score.fraction_of_random_beaten_deletion >= beats_random,
        score.fraction_of_random_beaten_insertion >= beats_random,
        score.shapley >= THRESHOLDS["shapley_correlation"].value,
    )


def _verdict(score: Faithfulness, has_ink: bool) -> str:
    """What deletion, insertion and the Shapley values together support."""
    deletion, insertion, shapley = _test_results(score)
    chance = {
        (True, True): "better than chance in both tests",
        (True, False): "better than chance at deletion, but not shown to be at insertion",
        (False, True): "better than chance at insertion, but not shown to be at deletion",
        (False, False): "not shown to be better than chance in either test",
    }[deletion, insertion]
    joined = "and" if deletion != insertion or shapley == deletion else "but"
    follows = "follows" if shapley else "does not follow"
    conclusion = {
        0: "it must not be read as an explanation of the prediction.",
        3: "it may be read as an outline of what the prediction rests on.",
    }.get(deletion + insertion + shapley, "it explains the prediction at most in part.")
    ink = ""
    if has_ink and score.deletion >= score.ink_deletion and score.insertion <= score.ink_insertion:
        ink = " The order of ink, which needs no model, does as well or better."
    return (
        f"So for this {{input}} the order is {chance} (at least {{beats_random:.0%}} of the random orders beaten), "
        f"{joined} {follows} the Shapley values (at least {{shapley_correlation}}): {conclusion}{ink}"
    )
