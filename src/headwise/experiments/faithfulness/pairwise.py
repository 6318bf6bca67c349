"""Sentences about the tests: which maps are better than a reference or than each other, and by which criteria."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from headwise.experiments.faithfulness.result import FaithfulnessResult, RankingTest
from headwise.experiments.faithfulness.scope import Criterion
from headwise.experiments.faithfulness.tables import count_verdicts
from headwise.text import Statement, join_with_and

MANY_TIED = 1.5  # tokens that share a map's largest value, on average


_OUTCOMES = {
    "better": "Better than {other} by all {total} criteria: {names}.",
    "some better": "Better by some of {total} and worse by none: {names}.",
    "mixed": "Better by some of {total} and worse by others: {names}.",
    "not shown": "Not shown to be better or worse by any of {total}: {names}.",
    "some worse": "Worse by some of {total} and better by none: {names}.",
    "worse": "Worse than {other} by all {total} criteria: {names}.",
}


def compare_with_reference(r: FaithfulnessResult, tests: Sequence[RankingTest], other: str) -> Iterator[Statement]:
    """Which maps are shown to be better or worse than another ranking, by all criteria, some, or none."""
    groups: dict[str, list[str]] = {outcome: [] for outcome in _OUTCOMES}
    for name in r.scope.maps:
        outcome, label = _outcome(name, *count_verdicts(tests, name))
        groups[outcome].append(label)
    for outcome, names in groups.items():
        if names:
            values = {"other": other, "total": len(r.scope.criteria), "names": join_with_and(names)}
            yield Statement(_OUTCOMES[outcome], values)
    tested = [test for test in tests if test.ranking in r.scope.maps]
    by_verdict = {verdict: [t for t in tested if t.verdict == verdict] for verdict in ("better", "worse")}
    if not by_verdict["better"]:
        yield Statement("No map is shown to be better than {other} by any criterion.", {"other": other})
    if groups["mixed"]:
        counts = {verdict: join_with_and(_count_measures(tests)) for verdict, tests in by_verdict.items()}
        yield Statement("Over all maps, better by {better}, and worse by {worse}.", counts)


def _outcome(name: str, better: int, worse: int, total: int) -> tuple[str, str]:
    """A key of `_OUTCOMES`, and the map's name, with its counts if the sentence does not contain them."""
    if better and worse:
        return "mixed", f"{name} (better by {better}, worse by {worse})"
    if better:
        return ("better", name) if better == total else ("some better", f"{name} ({better})")
    if worse:
        return ("worse", name) if worse == total else ("some worse", f"{name} ({worse})")
    return "not shown", name


def _count_measures(tests: Sequence[RankingTest]) -> list[str]:
    """Each measure that occurs, with its count."""
    counts = Counter(test.criterion.measure for test in tests)
    return [f"{measure} ({count})" for measure, count in counts.most_common()]


def compare_maps(r: FaithfulnessResult) -> Iterator[Statement]:
    """Which map is better than the others, which worse, and which cannot be distinguished."""
    if len(r.scope.candidates) < 2:
        return
    counts = {name: count_verdicts(r.against_each_other, name) for name in r.scope.candidates}
    margin = {name: better - worse for name, (better, worse, _) in counts.items()}
    best, worst = max(margin, key=lambda name: margin[name]), min(margin, key=lambda name: margin[name])
    if margin[best] == margin[worst]:
        yield Statement("No map is shown to be better than the others.")
        return
    better, worse, total = counts[best]
    values = {"best": best, "better": better, "worse": worse, "total": total}
    values |= {"worst": worst, "worst_better": counts[worst][0], "worst_worse": counts[worst][1]}
    yield Statement(
        "Most often better than the others is {best}, in {better} of {total} tests, and worse in {worse}; most often "
        "worse is {worst}, better in {worst_better} and worse in {worst_worse}.",
        values,
    )
    if better < total:
        yield Statement("No map is better than every other by every criterion.")
    differences = {name: 0 for name in r.scope.candidates if name != best}
    for test in r.against_each_other:
        if best in (test.ranking, test.other):
            differences[test.other if test.ranking == best else test.ranking] += test.verdict != "not shown"
    similar = [name for name, shown in differences.items() if 2 * shown < len(r.scope.criteria)]
    if similar:
        yield Statement(
            "Distinguished from {best} by fewer than half of the {total} criteria: {names}.",
            {"best": best, "total": len(r.scope.criteria), "names": join_with_and(similar)},
        )
    tied = np.mean([item.n_tied_first for item in r.inputs], axis=0)
    tied_maps = [
        f"{name} ({tied[r.index(name)]:.1f})" for name in r.scope.candidates if tied[r.index(name)] >= MANY_TIED
    ]
    if tied_maps:
        yield Statement(
            "Some maps give their largest value to several tokens, so that the first is chosen at random: {names}, "
            "tokens on average.",
            {"names": join_with_and(tied_maps)},
        )


def compare_ablations(r: FaithfulnessResult) -> Iterator[Statement]:
    """Whether the results depend on what takes the place of a missing token."""
    best = {
        ablation: min(
            r.scope.candidates, key=lambda name: r.means[0, r.index(name), criterion_index(r, "deletion", ablation)]
        )
        for ablation in r.scope.ablations
    }
    if len(set(best.values())) == 1:
        yield Statement(
            "By deletion {name} has the best mean with every kind of missing token.",
            {"name": best[r.scope.ablations[0]]},
        )
    else:
        names = join_with_and([f"{name} with {ablation}" for ablation, name in best.items()])
        yield Statement("By deletion the best mean is that of {names} tokens.", {"names": names})
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for test in r.against_each_other:
        verdicts.setdefault((test.ranking, test.other, test.criterion.measure), set()).add(test.verdict)
    if not verdicts:
        return
    reversed_ = sum({"better", "worse"} <= shown for shown in verdicts.values())
    yield Statement(
        "Of {total} comparisons of two maps by one measure, {reversed} "
        + ("has" if reversed_ == 1 else "have")
        + " opposite verdicts with two kinds of missing tokens.",
        {"total": len(verdicts), "reversed": reversed_},
    )


def criterion_index(r: FaithfulnessResult, measure: str, ablation: str) -> int:
    """The index of a criterion in the result's scope."""
    return r.scope.criteria.index(Criterion(measure, ablation))
