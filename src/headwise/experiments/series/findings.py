"""The findings of the time-series experiment: a table, sentences chosen by rules over its numbers, and figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from headwise.data.series import standardize
from headwise.document import Table
from headwise.experiments.plots import draw_accuracies, draw_losses
from headwise.experiments.protocol import Findings
from headwise.experiments.series.baselines import BASELINES
from headwise.experiments.series.result import METHOD_LABELS, SeriesResult
from headwise.experiments.statistics import ALPHA, min_attainable_p, sign_flip_test, t_interval
from headwise.explanation import Explanation, record_input
from headwise.figures import select_figures
from headwise.models import SeriesTransformer
from headwise.text import Statement, pluralize


def table(result: SeriesResult) -> Table:
    """A row for each method: runs, mean accuracy, standard deviation, and Student's interval of the mean."""
    rows = []
    for method, values in result.accuracies.items():
        interval = t_interval(values).within(0, 1)
        std = f"{np.std(values, ddof=1):.2%}" if len(values) > 1 else ""
        rows.append((METHOD_LABELS[method], str(len(values)), f"{interval.mean:.2%}", std, interval.ends("{:.2%}")))
    title = Statement(
        "Accuracy on {n_test} test series of {data}.", {"n_test": _n_test(result), "data": result.data.name}
    )
    return Table(title, ("method", "runs", "mean", "std", "interval of the mean"), tuple(rows), "accuracy")


def findings(result: SeriesResult) -> Findings:
    """What the runs show."""
    return {"What was compared": (_setup(result),), "Accuracy": tuple(_accuracy(result))}


def _setup(result: SeriesResult) -> Statement:
    data = result.data
    shortest = int(min(data.train.lengths.min(), data.test.lengths.min()))
    values = {
        "data": data.name,
        "train": len(data.train.labels),
        "test": _n_test(result),
        "variables": pluralize(data.variables, "variable"),
        "shortest": shortest,
        "longest": data.steps,
        "classes": len(data.classes),
        "seeds": result.plan.seeds,
    }
    steps = "{longest} steps" if shortest == data.steps else "{shortest} to {longest} steps"
    return Statement(
        "{data}: {train} training and {test} test series of {variables}, " + steps + " and {classes} classes; seeds: "
        "{seeds}.",
        values,
    )


def _accuracy(result: SeriesResult) -> Iterator[Statement]:
    means = {name: float(values.mean()) for name, values in result.accuracies.items()}
    if "pre-trained" in means:
        yield _pretraining(result)
    best = max(("transformer", "pre-trained"), key=lambda name: means.get(name, -1))
    baselines = {name: mean for name, mean in means.items() if name in BASELINES}
    if baselines:
        yield _compare(best, means[best], baselines)
    yield Statement(
        "One test series is {one:.2%} of all: a difference of that size is a single series.",
        {"one": 1 / _n_test(result)},
    )


def _pretraining(result: SeriesResult) -> Statement:
    """The effect of pre-training, seed by seed."""
    pairs = zip(result.of("pre-trained"), result.of("transformer"), strict=True)
    differences = [pretrained.n_correct - plain.n_correct for pretrained, plain in pairs]
    p, n, change = sign_flip_test(differences), len(differences), float(np.mean(differences))
    if min_attainable_p(n) > ALPHA:
        return Statement(
            "Pre-training changes the number of series classified correctly by {change:+.1f} on average, but {n} "
            + ("is" if n == 1 else "are")
            + " too few for a verdict: the exact test cannot give less than p = {least:.3f}.",
            {"change": change, "least": min_attainable_p(n), "n": pluralize(n, "seed")},
        )
    if p > ALPHA:
        return Statement(
            "With {n} seeds pre-training is not shown to make a difference: {change:+.1f} series on average, p = "
            "{p:.3f} in the exact paired test.",
            {"change": change, "n": n, "p": p},
        )
    effect = "improves" if change > 0 else "lowers"
    return Statement(
        f"Pre-training {effect} the accuracy by {{change:.1f}} series on average over {{n}} seeds, p = {{p:.3f}} in "
        "the exact paired test.",
        {"change": abs(change), "n": n, "p": p},
    )


def _compare(best: str, mean: float, baselines: dict[str, float]) -> Statement:
    """The better of our two methods, by its mean, against the best baseline."""
    rival = max(baselines, key=lambda name: baselines[name])
    values = {"ours": METHOD_LABELS[best], "mean": mean, "rival": METHOD_LABELS[rival], "theirs": baselines[rival]}
    if mean > baselines[rival]:
        return Statement(
            "The {ours} ({mean:.2%}) has a higher mean than every baseline measured here; the next is {rival} "
            "({theirs:.2%}).",
            values,
        )
    if mean == baselines[rival]:
        return Statement(
            "The {ours} and {rival} have the same mean, {mean:.2%}.",
            {name: values[name] for name in ("ours", "rival", "mean")},
        )
    return Statement(
        "The {ours} ({mean:.2%}) does not beat every baseline measured here: {rival} has {theirs:.2%}.", values
    )


def _n_test(result: SeriesResult) -> int:
    return len(result.data.test.labels)


def figures(result: SeriesResult) -> dict[str, Figure]:
    """Accuracy by method, and the losses of training."""
    ours = {METHOD_LABELS[method]: method for method in result.accuracies if method not in BASELINES}
    losses = {label: [run.losses for run in result.of(method)] for label, method in ours.items()}
    accuracies = {METHOD_LABELS[method]: values for method, values in result.accuracies.items()}
    return {
        "accuracy": draw_accuracies(accuracies, highlight=ours),
        "losses": draw_losses(losses, [run.pretraining_losses for run in result.of("pre-trained")]),
    }


def explain_series(result: SeriesResult, index: int = 0) -> Explanation:
    """What the transformer of seed 0, the pre-trained one if there is one, attends to in a test series."""
    method = "pre-trained" if result.plan.pretrain else "transformer"
    model = SeriesTransformer(result.plan.model, result.params[method])
    series = standardize(result.data).test.take(np.array([index]))
    record = record_input(model, series.x[0, : int(series.lengths[0])], label=int(series.labels[0]))
    top = np.argsort(-record.probabilities, kind="stable")[:2]
    record = replace(record, top_names=tuple(result.data.classes[i] for i in top))
    return Explanation(tuple(select_figures(record, ("maps", "matrices"))))
