"""What an audit says: every sentence is chosen by a rule over the figures, and holds no number but theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from headwise.measure.faithfulness import rank_correlation
from headwise.models.looking import MISSING
from headwise.picture.captions.rules import RULES
from headwise.picture.document import Table
from headwise.picture.text import Statement, as_markdown
from headwise.studies.audit.digit import CHANCE, ORDERS
from headwise.studies.audit.kinds import MAPS
from headwise.studies.audit.result import CRITERIA, LEVEL, SHAPLEY, Audit, Criterion, Test
from headwise.studies.audit.tables import counted

__all__ = ["SEVERAL", "UNCHANGED", "findings", "markdown"]

UNCHANGED = 0.99  # a map is the same map, for an order of tokens, if its rank correlation is at least this
SEVERAL = 1.5  # tokens with a map's largest value, on average


def findings(audit: Audit) -> dict[str, tuple[Statement, ...]]:
    """The statements by their headings."""
    parts = {
        "What was audited": _audited(audit),
        "Better than chance": _chance(audit),
        "Better than the ink": _ink(audit),
        "Which kind of map": _each_other(audit),
        "What a missing token is": _missing(audit),
        "The tokens' worth": _worth(audit),
        "Random weights": _sanity(audit),
        "Heads": _heads(audit),
        "What it does not say": _limits(audit),
    }
    return {heading: tuple(statements) for heading, statements in parts.items()}


def markdown(parts: Mapping[str, Sequence[Statement]], tables: Sequence[Table]) -> str:
    """A document of paragraphs under headings, then the tables."""
    blocks = ["# Attention maps audited"]
    for heading, statements in parts.items():
        blocks += [f"## {heading}", " ".join(map(as_markdown, statements))]
    for table in tables:
        lines = [table.columns, ("---", *["---:"] * (len(table.columns) - 1)), *table.rows]
        blocks += [as_markdown(table.title), "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return "\n\n".join(blocks) + "\n"


def _audited(a: Audit) -> Iterator[Statement]:
    yield Statement(
        "A model of {tokens} tokens, {depth} layers and {heads} heads was audited on {count} digits of {data}, of "
        "which it reads {right} correctly. All curves are of the probability of the class that it reads; chance is "
        "the mean over {orders} random orders for each digit.",
        {
            "tokens": a.model.tokeniser.count,
            "depth": a.model.depth,
            "heads": a.model.heads,
            "count": len(a.digits),
            "data": a.data,
            "right": a.heads.right,
            "orders": ORDERS,
        },
    )
    if not a.apart:
        yield Statement(
            "These digits may be among those that the model was trained on ({trained_on}): its answers to them may be "
            "surer than to digits it has not seen. With --data, MNIST's own test digits are used.",
            {"trained_on": a.trained_on},
        )


def _chance(a: Audit) -> Iterator[Statement]:
    yield from _counted(a.against_chance, CHANCE, MAPS)
    better, worse, total = counted(a.against_chance, "uniform")
    outcome = "as it should be" if not better + worse else "which is chance at work"
    yield Statement(
        "The control, a map that is all alike, is shown better by {better} and worse by {worse} of {total}, "
        + outcome
        + ".",
        {"better": better, "worse": worse, "total": total},
    )


def _ink(a: Audit) -> Iterator[Statement]:
    yield from _counted(a.against_ink, "the order of the ink", MAPS)


def _counted(tests: Sequence[Test], other: str, kinds: Sequence[str] | Mapping[str, str]) -> Iterator[Statement]:
    """Which kinds are shown better, or worse, by all criteria, some, or none."""
    counts = {kind: counted(tests, kind) for kind in kinds}
    total = next(iter(counts.values()))[2]

    def named(rule: Callable[[int, int], bool], at: int | None = None) -> str:
        chosen = {kind: found for kind, found in counts.items() if rule(*found[:2])}
        return _and([kind if at is None else f"{kind} ({found[at]})" for kind, found in chosen.items()])

    groups = [
        ("Better than {other} by all {total} criteria: {kinds}.", named(lambda better, _: better == total)),
        (
            "Better by some of {total} and worse by none: {kinds}.",
            named(lambda better, worse: 0 < better < total and not worse, 0),
        ),
        ("Not shown to be better or worse by any of {total}: {kinds}.", named(lambda *found: not any(found))),
        (
            "Worse by some of {total} and better by none: {kinds}.",
            named(lambda better, worse: 0 < worse < total and not better, 1),
        ),
        ("Worse than {other} by all {total} criteria: {kinds}.", named(lambda _, worse: worse == total)),
    ]
    both = {kind: found for kind, found in counts.items() if found[0] and found[1]}
    mixed = _and([f"{kind} (better by {better}, worse by {worse})" for kind, (better, worse, _) in both.items()])
    groups.insert(2, ("Better by some of {total} and worse by others: {kinds}.", mixed))
    for template, names in groups:
        if names:
            yield Statement(template, {"other": other, "total": total, "kinds": names})
    if not any(found[0] for found in counts.values()):
        yield Statement("No kind of map is shown to be better than {other} by any criterion.", {"other": other})


def _each_other(a: Audit) -> Iterator[Statement]:
    counts = {kind: counted(a.against_each_other, kind) for kind in MAPS}
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
            {"first": first, "total": len(CRITERIA), "kinds": _and(near)},
        )
    shared = np.mean([digit.first for digit in a.digits], axis=0)
    several = [f"{kind} ({shared[a.of(kind)]:.1f})" for kind in MAPS if shared[a.of(kind)] >= SEVERAL]
    if several:
        yield Statement(
            "Some maps give their largest value to several tokens, so that chance says which comes first: {kinds}, "
            "tokens on average.",
            {"kinds": _and(several)},
        )


def _missing(a: Audit) -> Iterator[Statement]:
    best = {
        missing: min(MAPS, key=lambda kind: a.means[0, a.of(kind), _column("deletion", missing)]) for missing in MISSING
    }
    if len(set(best.values())) == 1:
        yield Statement(
            "By deletion {kind} has the best mean whatever stands for a missing token.", {"kind": best[MISSING[0]]}
        )
    else:
        names = _and([f"{kind} with {missing}" for missing, kind in best.items()])
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


def _worth(a: Audit) -> Iterator[Statement]:
    column = _column(SHAPLEY, "removed")
    found = {kind: float(a.means[0, a.of(kind), column]) for kind in MAPS}
    high, low = (pick(found, key=lambda kind: found[kind]) for pick in (max, min))
    error = float(np.mean([digit.error for digit in a.digits]))
    yield Statement(
        "With the tokens' "
        + ("estimated Shapley values (standard error {error:.3f})" if error else "exact Shapley values")
        + ", missing tokens removed, the maps' rank correlation is from {lowest:.2f} ({low}) to {highest:.2f} ({high}) "
        "on average; that of the ink is {ink:.2f}.",
        {
            "error": error,
            "low": low,
            "high": high,
            "lowest": found[low],
            "highest": found[high],
            "ink": float(a.means[0, a.of("ink"), column]),
        },
    )
    follows = RULES["follows"].threshold
    kinds = _and([kind for kind, value in found.items() if value >= follows])
    template = "At least {follows} on average: {kinds}." if kinds else "None has {follows} or more on average."
    yield Statement(template, {"follows": follows, "kinds": kinds})
    deletion = a.means[0, :, _column("deletion", "removed")]
    best = min(MAPS, key=lambda kind: deletion[a.of(kind)])
    own, chance, ceiling = (float(deletion[a.of(kind)]) for kind in (best, CHANCE, "Shapley values"))
    if chance > ceiling:
        yield Statement(
            "By deletion, the best map ({best}, {own:.2f}) is {way:.0%} of the way from chance ({chance:.2f}) to the "
            "order of these values ({ceiling:.2f}).",
            {
                "best": best,
                "own": own,
                "chance": chance,
                "ceiling": ceiling,
                "way": (chance - own) / (chance - ceiling),
            },
        )


def _sanity(a: Audit) -> Iterator[Statement]:
    mean, low, _ = a.survivals  # (stages, kinds)
    ends = {kind: f"{kind} ({value:+.2f})" for kind, value in zip(MAPS, mean[-1].round(2) + 0.0, strict=True)}
    blind = [kind for i, kind in enumerate(MAPS) if mean[0, i] >= UNCHANGED]
    if blind:
        yield Statement(
            "When the classifier alone is made anew, these maps stay the same: {kinds}. So they do not depend on how "
            "the classes are told apart in the end.",
            {"kinds": _and(blind)},
        )
    values = {"digits": a.sanity.shape[-1], "draws": len(a.sanity)}
    still = [ends[kind] for i, kind in enumerate(MAPS) if low[-1, i] > 0]
    gone = [ends[kind] for i, kind in enumerate(MAPS) if low[-1, i] <= 0]
    if still:
        yield Statement(
            "With every weight made anew these maps still resemble the trained model's (rank correlation above zero, "
            "over {digits} digits and {draws} draws): {kinds}. So much of them is not what was learnt.",
            {**values, "kinds": _and(still)},
        )
    if gone:
        yield Statement(
            "With every weight made anew these are not shown to resemble the trained model's: {kinds}.",
            {**values, "kinds": _and(gone)},
        )


def _heads(a: Audit) -> Iterator[Statement]:
    heads, count = a.heads, len(a.digits)
    costs = heads.loss_without - heads.loss
    dearest = np.unravel_index(costs.argmax(), costs.shape)
    yield Statement(
        "By the gradient, head {head} of layer {layer} matters most, and gives the map called best head; without it "
        "{without} of {count} digits are read correctly, with it {right}.",
        {
            "layer": heads.best[0],
            "head": heads.best[1],
            "without": int(heads.right_without[heads.best]),
            "right": heads.right,
            "count": count,
        },
    )
    yield Statement(
        "Leaving out head {head} of layer {layer} costs most, {cost:.3f} nats a digit. Over all {all} heads, the rank "
        "correlation of the gradient with what leaving a head out adds to the loss is {agree:.2f}.",
        {
            "layer": int(dearest[0]),
            "head": int(dearest[1]),
            "cost": float(costs.max()),
            "all": costs.size,
            "agree": rank_correlation(heads.importance.ravel(), costs.ravel()),
        },
    )


def _limits(a: Audit) -> Iterator[Statement]:
    yield Statement(
        "Intervals and tests are over digits, for this one model: another training of it may rank the maps otherwise."
    )
    yield Statement(
        "The model was never trained on digits with tokens missing, so every curve is partly of how it takes that; "
        "criteria that share a curve or an image are not independent. A difference counts as shown if p is at most "
        "{level} after correction.",
        {"level": LEVEL},
    )


def _column(measure: str, missing: str) -> int:
    return CRITERIA.index(Criterion(measure, missing))


def _and(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
