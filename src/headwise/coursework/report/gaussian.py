"""The report's fourth part: least squares on a Gaussian learns the correlation, and why that is self-supervision."""

from __future__ import annotations

import numpy as np

from headwise.coursework.gaussian import Gaussian, gaussian
from headwise.coursework.gaussian_plot import draw_estimates
from headwise.coursework.gaussian_pretraining import STEPS, TRAINED_ON, GaussianPretraining, gaussian_pretraining
from headwise.coursework.report.context import Chapter, ReportContext
from headwise.document import Derivation, FigureBlock, Paragraph, Section, Step, Table
from headwise.experiments.results_cache import cached_result
from headwise.text import Statement, round_up

__all__ = ["gaussian_chapter"]


def gaussian_chapter(desk: ReportContext) -> Chapter:
    """Derive, draw samples, estimate; then fill in hidden values with a network."""
    effort = desk.effort
    desk.progress.stage("correlation by least squares", 1)
    study = gaussian(runs=effort.samples, seed=effort.seed)
    desk.progress.advance()
    network = _bridge(desk)
    return Chapter(
        Section(
            "gaussian",
            "Self-supervision on a Gaussian",
            (Paragraph(_question(study)),),
            (
                Section("population", "For the population", (_derived(study, "population"),), number="4.1"),
                Section("sample", "For a sample", (_derived(study, "sample"),), number="4.2"),
                Section(
                    "likelihood",
                    "What the likelihood adds",
                    (_derived(study, "likelihood"), _figure(study, desk), _table(study)),
                    number="4.3",
                ),
                Section("edges", "Edge cases and the unit variance", (_derived(study, "edges"),), number="4.4"),
                Section("meaning", "Why this is self-supervised learning", (Paragraph(_MEANING),), number="4.5"),
                Section(
                    "bridge",
                    "From two dimensions to masked pre-training",
                    (_derived(study, "dimensions"), Paragraph((_masked(study), *_filled(network)))),
                    number="4.6",
                ),
            ),
            number="4",
        ),
        (_headline(study),),
        (
            ("Gaussian samples", f"seed {effort.seed}, {study.runs} of each size"),
            ("network that fills in hidden values", f"seed {effort.bridge.seed}, one run"),
        ),
    )


def _bridge(desk: ReportContext) -> GaussianPretraining:
    recipe = desk.effort.bridge
    desk.progress.stage("filling in hidden values", recipe.epochs * recipe.steps_per_epoch(TRAINED_ON))
    path = desk.folder / "studies" / "bridge.json"
    return GaussianPretraining(
        **cached_result(path, vars(recipe), lambda: vars(gaussian_pretraining(recipe, desk.progress.advance)))
    )


def _derived(study: Gaussian, part: str) -> Derivation:
    return Derivation(tuple(Step(step.words, step.tex, step.holds) for step in study.steps[part]))


def _figure(study: Gaussian, desk: ReportContext) -> FigureBlock:
    return desk.figure(
        draw_estimates(
            np.array(study.correlations),
            np.array(study.sizes),
            study.least_squares,
            study.likelihood,
            (np.sqrt(study.predicted_least_squares), np.sqrt(study.predicted_likelihood)),
        ),
        "gaussian",
        Statement("What least squares and the likelihood make of samples of growing size"),
        shown=(_shown(study),),
        says=_said(study),
        behind=Statement("{runs} samples for each correlation and size, one seed for all.", {"runs": study.runs}),
        arrays={"least_squares": study.least_squares, "likelihood": study.likelihood},
    )


def _headline(study: Gaussian) -> Statement:
    steps = [step for part in study.steps.values() for step in part]
    return Statement(
        "Least squares on a Gaussian with unit variances learns the correlation: {held} of {steps} formulas of the "
        "derivation were verified by SymPy, and at n = {n:,} the mean estimate is within {bias} of it.",
        {
            "held": sum(step.holds for step in steps),
            "steps": len(steps),
            "n": study.sizes[-1],
            "bias": _bias(study),
        },
    )


_MEANING = (
    Statement(
        "One part of the data is predicted from the other, and nobody gave a label: <x> is the question and <y> the "
        "answer, both from the same pair. The weight that makes the prediction best is the parameter of the joint "
        "distribution. So whoever only learns to predict learns the distribution, as far as prediction needs it."
    ),
    Statement(
        "What it does not learn is what prediction does not need. Had the variances been unknown, their ratio would be "
        "mixed into the weight and their size not be in it at all; the likelihood of the pairs would have told them."
    ),
)


def _question(study: Gaussian) -> tuple[Statement, ...]:
    steps = [step for part in study.steps.values() for step in part]
    return (
        Statement(
            "Let <x> and <y> be jointly Gaussian with mean zero, variance one and correlation <c>, and predict <y> by "
            "<w> <x>. That least squares learns <w> = <c> is derived for the population and for a sample. Each step "
            "is an argument in words and a formula; the {steps} formulas were put to SymPy when this page was made, "
            "and {held} held.",
            {"steps": len(steps), "held": sum(step.holds for step in steps)},
        ),
    )


def _shown(study: Gaussian) -> Statement:
    return Statement(
        "For each correlation and sample size, {runs} samples were drawn. A bar spans the middle {level:.0%} of the "
        "estimates' errors, the point is their median; the bands are the middle {level:.0%} of a Gaussian with the "
        "variance derived above, which for the likelihood is that for large n.",
        {"runs": study.runs, "level": 0.95},
    )


def _said(study: Gaussian) -> tuple[Statement, ...]:
    squares = study.ratio(study.least_squares, study.predicted_least_squares)
    likelihood = study.ratio(study.likelihood, study.predicted_likelihood)[:, [0, -1]]
    most = int(np.argmax(np.abs(study.correlations)))
    saved = study.likelihood[most, -1].var(ddof=1) / study.least_squares[most, -1].var(ddof=1)
    c = study.correlations[most]
    return (
        Statement(
            "At n = {n:,} the mean estimate is within {bias} of c for every c.",
            {"n": study.sizes[-1], "bias": _bias(study)},
        ),
        Statement(
            "The variance of least squares is {low:.2f} to {high:.2f} times the predicted one; with {runs} samples, "
            "chance alone moves {level:.0%} of such ratios by up to about {noise:.2f}.",
            {
                "low": float(squares.min()),
                "high": float(squares.max()),
                "runs": study.runs,
                "level": 0.95,
                "noise": float(1.96 * np.sqrt(2 / (study.runs - 1))),
            },
        ),
        Statement(
            "The likelihood's variance is {few_low:.2f} to {few_high:.2f} times that for large n at n = {few}, and "
            "{low:.2f} to {high:.2f} times at n = {n:,}.",
            {
                "few": study.sizes[0],
                "few_low": float(likelihood[:, 0].min()),
                "few_high": float(likelihood[:, 0].max()),
                "n": study.sizes[-1],
                "low": float(likelihood[:, 1].min()),
                "high": float(likelihood[:, 1].max()),
            },
        ),
        Statement(
            "For c = {c:g} and n = {n:,} the likelihood has {saved:.2f} times the variance of least squares; derived, "
            "for large n, was {derived:.2f}.",
            {"c": c, "n": study.sizes[-1], "saved": float(saved), "derived": (1 - c**2) / (1 + c**2)},
        ),
    )


def _bias(study: Gaussian) -> str:
    means = study.least_squares[:, -1].mean(axis=-1)
    return round_up(float(np.abs(means - np.array(study.correlations)).max()), digits=1)


def _table(study: Gaussian) -> Table:
    return Table.of_matrix(
        Statement("Mean least-squares estimate; a row is a correlation, a column a sample size."),
        "gaussian",
        study.least_squares.mean(axis=-1),
        [f"c = {c:g}" for c in study.correlations],
        [f"n = {n}" for n in study.sizes],
    )


def _masked(study: Gaussian) -> Statement:
    return Statement(
        "Run in {d} dimensions: each coordinate hidden in turn and predicted from the others by least squares, from "
        "{samples:,} samples. The weights and residual variances, put together, give the precision matrix <precision> "
        "to within {deviation:.1%} of its largest entry.",
        {
            "d": len(study.masked.precision),
            "samples": study.masked.samples,
            "deviation": study.masked.largest_deviation,
        },
    )


def _filled(network: GaussianPretraining) -> tuple[Statement, ...]:
    return (
        Statement(
            "The series transformer's masked pre-training is the same with a network in place of the line. Run on "
            "{trained:,} Gaussian series of {steps} steps, with {share:.0%} of the values hidden, it fills in hidden "
            "values of fresh series with a mean squared error of {network:.3f}. Who fills in the mean errs by "
            "{nothing:.3f}; who knows the covariance and computes the mean given all that is visible, by {least:.3f}, "
            "the least possible.",
            {
                "trained": TRAINED_ON,
                "steps": STEPS,
                "share": network.share,
                "network": network.network,
                "nothing": network.nothing,
                "least": network.least,
            },
        ),
        Statement(
            "So without a label it has learned {explained:.0%} of what there is to know, and its answers have a "
            "correlation of {correlation:.2f} with the best that can be given."
            if network.explained > 0
            else "It has learned nothing of what there is to know (correlation with the best answers "
            "{correlation:.2f}).",
            {"explained": network.explained, "correlation": network.correlation},
        ),
    )
