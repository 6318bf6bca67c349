"""The findings of the sets experiment: a table, and sentences chosen by rules over its numbers."""

from __future__ import annotations

import math

from headwise.document import Table
from headwise.experiments.protocol import Findings
from headwise.experiments.sets.run import PoolingResult, SetsResult
from headwise.experiments.statistics import ALPHA
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
        rows.append(
            (
                pooling.name,
                f"{pooling.parameters:,}",
                f"{pooling.mean:.4f}",
                "–" if pooling.std is None else f"{pooling.std:.4f}",
                "–" if paper is None else "{:.3g} ± {:.2g}".format(*paper),
                f"{pooling.order_sensitivity:.0e}, {pooling.order_sensitivity_double:.0e}",
            )
        )
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
