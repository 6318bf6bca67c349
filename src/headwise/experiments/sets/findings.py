"""The findings of the sets experiment: a table, sentences chosen by rules over its numbers, and a figure."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from headwise.document import Table
from headwise.experiments.protocol import Findings
from headwise.experiments.sets.run import PoolingResult, SetsResult
from headwise.experiments.statistics import ALPHA
from headwise.figures import new_figure
from headwise.figures.colors import GRID, MARK, PALE_ACCENT, REFERENCE
from headwise.text import Statement, pluralize, scientific

# mean and standard deviation in table 1 of the paper, quoted from memory and not checked against it
PUBLISHED_ERRORS = {
    "rFF + mean": (2.133, 0.190),
    "rFF + sum": (1.902, 0.137),
    "rFF + max": (0.1355, 0.0074),
    "SAB + PMA": (0.2085, 0.0127),
}
_ROUNDING = {"float32": 1e-4, "float64": 1e-12}


def table(result: SetsResult) -> Table:
    """A row for each model: parameters, errors, the paper's, and the effect of the order."""
    rows = []
    for pooling in result.poolings:
        paper = PUBLISHED_ERRORS.get(pooling.name)
        std = "–" if pooling.std is None else f"{pooling.std:.4f}"
        published = "–" if paper is None else "{:.3g} ± {:.2g}".format(*paper)
        order = f"{pooling.order_sensitivity:.0e}, {pooling.order_sensitivity_double:.0e}"
        rows.append((pooling.name, f"{pooling.parameters:,}", f"{pooling.mean:.4f}", std, published, order))
    title = Statement(
        "Mean absolute error for the largest of {least} to {most} numbers from {low} to {high}, over {seeds}; paper: "
        "quoted from memory from table {number} of arXiv {arxiv}; order: how much another order of the members changes "
        "an output, in {single} and {double}.",
        {"least": 1, "most": 10, "low": 0, "high": 100, "seeds": pluralize(result.seeds, "seed"), "number": 1}
        | {"arxiv": "1810.00825", "single": "float32", "double": "float64"},
    )
    return Table(title, ("model", "parameters", "mean", "std", "paper", "order"), tuple(rows), "errors")


def findings(result: SetsResult) -> Findings:
    """Which pooling is best, what attention adds, and whether the order matters."""
    by_name = {pooling.name: pooling for pooling in result.poolings}
    best = min(result.poolings, key=lambda pooling: pooling.mean)
    errors = [_best(best, result.poolings)]
    attention = by_name.get("SAB + PMA")
    for other in ("rFF + mean", "rFF + PMA"):
        if attention and other in by_name:
            errors.append(_compare(attention, by_name[other]))
    return {"Errors": tuple(errors), "Order of the members": (_order(result.poolings),)}


def _best(best: PoolingResult, poolings: tuple[PoolingResult, ...]) -> Statement:
    clear = all(_is_separated(best, pooling) for pooling in poolings if pooling is not best)
    end = "and each seed has a smaller error than any other model's" if clear else "but not shown against all others"
    return Statement(
        "{name} has the smallest error, {error:.3f} on average, " + end + ".", {"name": best.name, "error": best.mean}
    )


def _compare(one: PoolingResult, other: PoolingResult) -> Statement:
    better, worse = sorted((one, other), key=lambda pooling: pooling.mean)
    values = {"better": better.name, "worse": worse.name, "ratio": worse.mean / better.mean}
    values["p"] = _min_rank_test_p(len(one.errors))
    if _is_separated(better, worse):
        return Statement(
            "The error of {worse} is {ratio:.1f} times that of {better}; every seed is worse (p = {p:.2g}).", values
        )
    return Statement(
        "The error of {worse} is {ratio:.1f} times that of {better}, which these seeds do not show to be a difference.",
        values,
    )


def _is_separated(better: PoolingResult, worse: PoolingResult) -> bool:
    """Whether every seed of one is better than every seed of the other, and chance rarely does that."""
    return max(better.errors) < min(worse.errors) and _min_rank_test_p(len(better.errors)) <= ALPHA


def _min_rank_test_p(seeds: int) -> float:
    """The smallest p of the exact two-sided rank test: the chance of complete separation without a difference."""
    return 2 / math.comb(2 * seeds, seeds)


def _order(poolings: tuple[PoolingResult, ...]) -> Statement:
    single = max(pooling.order_sensitivity for pooling in poolings)
    double = max(pooling.order_sensitivity_double for pooling in poolings)
    rounding = single < _ROUNDING["float32"] and double < _ROUNDING["float64"]
    return Statement(
        "Another order of the members changed an output by at most {single} of the range of outputs in {narrow}, and "
        "{double} in {wide}: "
        + ("that is rounding." if rounding else "that is more than rounding, so one of these models uses the order."),
        {"single": scientific(single), "double": scientific(double), "narrow": "float32", "wide": "float64"},
    )


def draw_errors(result: SetsResult) -> Figure:
    """The error of every run, each model's mean, and the published mean where there is one."""
    names = [pooling.name for pooling in result.poolings]
    with new_figure(7.2, 0.8 + 0.3 * len(names)) as figure:
        axes = figure.subplots()
        for row, pooling in enumerate(result.poolings):
            axes.plot(pooling.errors, [row] * len(pooling.errors), "o", color=PALE_ACCENT, ms=4, mew=0, alpha=0.8)
            axes.plot(np.mean(pooling.errors), row, "|", color=MARK, ms=12, mew=1.8)
        published = [(PUBLISHED_ERRORS[name][0], row) for row, name in enumerate(names) if name in PUBLISHED_ERRORS]
        axes.plot([mean for mean, _ in published], [row for _, row in published], "D", mfc="none", mec=REFERENCE, ms=5)
        axes.set(xscale="log", yticks=range(len(names)), yticklabels=names, ylim=(-0.6, len(names) - 0.4))
        axes.set_xlabel("mean absolute error: dot = seed, bar = mean of the seeds, diamond = the paper's mean")
        axes.invert_yaxis()
        axes.grid(axis="x", linewidth=0.3, color=GRID)
    return figure
