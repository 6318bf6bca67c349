"""What a comparison of series classifiers says: a table, and sentences that rules choose by the figures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.document import Table
from headwise.experiments.series.baselines import BASELINES
from headwise.experiments.series.run import METHOD_LABELS, Result
from headwise.experiments.statistics import ALPHA, min_attainable_p, sign_flip_test, t_interval
from headwise.text import Statement, pluralize

__all__ = ["findings", "table"]


def table(result: Result) -> Table:
    """A row a method: seeds, mean accuracy, deviation, and Student's interval of the mean."""
    rows = []
    for method, values in result.accuracies.items():
        mean, low, high = t_interval(values).within(0, 1)
        spread = f"{np.std(values, ddof=1):.2%}" if len(values) > 1 else ""
        ends = "" if low is None or high is None else f"{low:.2%} to {high:.2%}"
        rows.append((METHOD_LABELS[method], str(len(values)), f"{mean:.2%}", spread, ends))
    title = Statement("Accuracy on {judged} series of {data}.", {"judged": _judged(result), "data": result.data.name})
    return Table(title, ("method", "runs", "mean", "deviation", "interval of the mean"), tuple(rows), "accuracy")


def findings(result: Result) -> tuple[Statement, ...]:
    """What may be said."""
    return tuple(_said(result))


def _said(result: Result) -> Iterator[Statement]:
    data, means = result.data, {name: float(values.mean()) for name, values in result.accuracies.items()}
    facts = {
        "trained": len(data.train.labels),
        "judged": _judged(result),
        "variables": data.variables,
        "least": int(min(data.train.lengths.min(), data.test.lengths.min())),
        "most": data.steps,
        "classes": len(data.classes),
        "data": data.name,
        "seeds": result.plan.seeds,
    }
    variables = "variable" if facts["variables"] == 1 else "variables"
    steps = "{most} steps" if facts["least"] == facts["most"] else "{least} to {most} steps"
    yield Statement(
        "{data}: {trained} series to learn from and {judged} to judge by, of {variables} " + variables + ", "
        f"{steps} and {{classes}} classes; seeds: {{seeds}}.",
        facts,
    )
    if "pre-trained" in means:
        yield _pretraining(result)
    best = max(("transformer", "pre-trained"), key=lambda name: means.get(name, -1))
    baselines = {name: mean for name, mean in means.items() if name in BASELINES}
    if baselines:
        yield _against(best, means[best], baselines)
    yield Statement(
        "One judged series is {one:.2%} of all: a difference of that size is a single series.",
        {"one": 1 / _judged(result)},
    )


def _pretraining(result: Result) -> Statement:
    """Seed by seed, with and without."""
    pairs = zip(result.of("pre-trained"), result.of("transformer"), strict=True)
    differences = [with_it.right - without.right for with_it, without in pairs]
    p, n, change = sign_flip_test(differences), len(differences), float(np.mean(differences))
    if min_attainable_p(n) > ALPHA:
        return Statement(
            "Pre-training changes the series read rightly by {change:+.1f} on average, but {n} "
            + ("is" if n == 1 else "are")
            + " too few for a verdict: the exact test cannot give less than p = {least:.3f}.",
            {"change": change, "least": min_attainable_p(n), "n": pluralize(n, "seed")},
        )
    if p > ALPHA:
        return Statement(
            "Whether pre-training helps cannot be told by {n} seeds: {change:+.1f} series on average, p = {p:.3f} in "
            "the exact paired test.",
            {"change": change, "n": n, "p": p},
        )
    better = "better" if change > 0 else "worse"
    return Statement(
        f"Pre-training makes it {better}: by {{change:.1f}} series on average over {{n}} seeds, p = {{p:.3f}} in the "
        "exact paired test.",
        {"change": abs(change), "n": n, "p": p},
    )


def _against(best: str, mean: float, baselines: dict[str, float]) -> Statement:
    """The better of ours, by its mean, beside the best of theirs."""
    rival = max(baselines, key=lambda name: baselines[name])
    facts = {"ours": METHOD_LABELS[best], "mean": mean, "rival": METHOD_LABELS[rival], "theirs": baselines[rival]}
    if mean > baselines[rival]:
        return Statement(
            "The {ours} ({mean:.2%}) has a higher mean than every baseline measured here; next is {rival} "
            "({theirs:.2%}).",
            facts,
        )
    if mean == baselines[rival]:
        return Statement(
            "The {ours} and {rival} have the same mean, {mean:.2%}.", {n: facts[n] for n in ("ours", "rival", "mean")}
        )
    if baselines[rival] == 1:
        return Statement(
            "The {ours} ({mean:.2%}) does not beat every baseline measured here: {rival} makes no mistake.",
            {name: facts[name] for name in ("ours", "mean", "rival")},
        )
    return Statement(
        "The {ours} ({mean:.2%}) does not beat every baseline measured here: {rival} has {theirs:.2%}.", facts
    )


def _judged(result: Result) -> int:
    return len(result.data.test.labels)
