"""What the tests of an audit say: which kinds of map are better than something, by which criteria."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.result import CRITERIA, Audit, Criterion, Test
from headwise.experiments.faithfulness.result_tables import count_verdicts
from headwise.models.token_ablation import ABLATIONS
from headwise.text import Statement, join_with_and

__all__ = ["SEVERAL", "by_missing", "column", "compare_maps", "compare_with_reference"]

SEVERAL = 1.5  # tokens with a map's largest value, on average


_BESIDE = {
    "better": "Better than {other} by all {total} criteria: {kinds}.",
    "some better": "Better by some of {total} and worse by none: {kinds}.",
    "mixed": "Better by some of {total} and worse by others: {kinds}.",
    "not shown": "Not shown to be better or worse by any of {total}: {kinds}.",
    "some worse": "Worse by some of {total} and better by none: {kinds}.",
    "worse": "Worse than {other} by all {total} criteria: {kinds}.",
}


def compare_with_reference(tests: Sequence[Test], other: str) -> Iterator[Statement]:
    """Which kinds are shown better than another order, or worse, by all criteria, some, or none."""
    groups: dict[str, list[str]] = {outcome: [] for outcome in _BESIDE}
    for kind in MAPS:
        outcome, told = _outcome(kind, *count_verdicts(tests, kind))
        groups[outcome].append(told)
    for outcome, kinds in groups.items():
        if kinds:
            yield Statement(_BESIDE[outcome], {"other": other, "total": len(CRITERIA), "kinds": join_with_and(kinds)})
    found = {verdict: [t for t in tests if t.kind in MAPS and t.verdict == verdict] for verdict in ("better", "worse")}
    if not found["better"]:
        yield Statement("No kind of map is shown to be better than {other} by any criterion.", {"other": other})
    if groups["mixed"]:
        by = {verdict: join_with_and(_measures(own)) for verdict, own in found.items()}
        yield Statement("Over all kinds of map, better by {better}, and worse by {worse}.", by)


def _outcome(kind: str, better: int, worse: int, total: int) -> tuple[str, str]:
    """A key of `_BESIDE`, and the kind with its counts where the sentence does not say them."""
    if better and worse:
        return "mixed", f"{kind} (better by {better}, worse by {worse})"
    if better:
        return ("better", kind) if better == total else ("some better", f"{kind} ({better})")
    if worse:
        return ("worse", kind) if worse == total else ("some worse", f"{kind} ({worse})")
    return "not shown", kind


def _measures(tests: Sequence[Test]) -> list[str]:
    """How often by each measure, those that come up."""
    often = Counter(test.criterion.measure for test in tests)
    return [f"{measure} ({count})" for measure, count in often.most_common()]


def compare_maps(a: Audit) -> Iterator[Statement]:
    """Which kind is ahead of the others, which behind, and which are not told apart."""
    counts = {kind: count_verdicts(a.against_each_other, kind) for kind in MAPS}
    lead = {kind: better - worse for kind, (better, worse, _) in counts.items()}
    first, last = max(lead, key=lambda kind: lead[kind]), min(lead, key=lambda kind: lead[kind])
    if lead[first] == lead[last]:
        yield Statement("No kind of map is shown to be ahead of the others.")
        return
    better, worse, total = counts[first]
    values = {"first": first, "better": better, "worse": worse, "total": total}
    values |= {"last": last, "behind_better": counts[last][0], "behind_worse": counts[last][1]}
    yield Statement(
        "Most often ahead of the others is {first}, shown better in {better} and worse in {worse} of {total} tests; "
        "most often behind is {last}, better in {behind_better} and worse in {behind_worse}.",
        values,
    )
    if counts[first][0] < counts[first][2]:
        yield Statement("No kind is better than every other by every criterion.")
    apart = {kind: 0 for kind in MAPS if kind != first}
    for test in a.against_each_other:
        if first in (test.kind, test.other):
            apart[test.other if test.kind == first else test.kind] += test.verdict != "not shown"
    near = [kind for kind, shown in apart.items() if 2 * shown < len(CRITERIA)]
    if near:
        yield Statement(
            "Told apart from {first} by fewer than half of the {total} criteria: {kinds}.",
            {"first": first, "total": len(CRITERIA), "kinds": join_with_and(near)},
        )
    shared = np.mean([digit.first for digit in a.digits], axis=0)
    several = [f"{kind} ({shared[a.of(kind)]:.1f})" for kind in MAPS if shared[a.of(kind)] >= SEVERAL]
    if several:
        yield Statement(
            "Some maps give their largest value to several tokens, so that chance says which comes first: {kinds}, "
            "tokens on average.",
            {"kinds": join_with_and(several)},
        )


def by_missing(a: Audit) -> Iterator[Statement]:
    """Whether it makes a difference what a missing token is."""
    best = {
        missing: min(MAPS, key=lambda kind: a.means[0, a.of(kind), column("deletion", missing)])
        for missing in ABLATIONS
    }
    if len(set(best.values())) == 1:
        yield Statement(
            "By deletion {kind} has the best mean whatever stands for a missing token.",
            {"kind": next(iter(best.values()))},
        )
    else:
        names = join_with_and([f"{kind} with {missing}" for missing, kind in best.items()])
        yield Statement("By deletion the best mean is that of {names} tokens.", {"names": names})
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for test in a.against_each_other:
        verdicts.setdefault((test.kind, test.other, test.criterion.measure), set()).add(test.verdict)
    turned = sum({"better", "worse"} <= found for found in verdicts.values())
    yield Statement(
        "Of {asked} questions of two kinds of map by one measure, {turned} "
        + ("has" if turned == 1 else "have")
        + " one answer with one way to be missing and the opposite with another, both shown.",
        {"asked": len(verdicts), "turned": turned},
    )


def column(measure: str, missing: str) -> int:
    """Where a criterion is among all."""
    return CRITERIA.index(Criterion(measure, missing))
