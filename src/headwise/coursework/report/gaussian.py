"""The report's fourth part: least squares on a Gaussian learns the correlation, a form of self-supervision."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from headwise.coursework.gaussian import Gaussian, draw_estimates, gaussian
from headwise.coursework.gaussian_pretraining import STEPS, TRAINED_ON, GaussianPretraining, gaussian_pretraining
from headwise.coursework.report.context import Chapter, ReportContext
from headwise.document import Derivation, FigureBlock, Paragraph, Section, Table, Widget
from headwise.text import Statement, round_up


def gaussian_chapter(context: ReportContext) -> Chapter:
    """Derive, sample and estimate; then predict masked values with a network."""
    budget = context.budget
    context.progress.stage("correlation by least squares", 1)
    study = gaussian(runs=budget.samples, seed=budget.seed)
    context.progress.advance()
    network = _pretraining(context)
    return Chapter(
        Section(
            "gaussian",
            "Self-supervision on a Gaussian",
            (Paragraph(_question(study)),),
            (
                Section("population", "For the population", (_derived(study, "population"),), number="4.1"),
                Section("sample", "For a sample", (_derived(study, "sample"), gaussian_widget()), number="4.2"),
                Section(
                    "likelihood",
                    "What the likelihood adds",
                    (_derived(study, "likelihood"), _figure(study, context), _table(study)),
                    number="4.3",
                ),
                Section("edges", "Edge cases and the unit variance", (_derived(study, "edges"),), number="4.4"),
                Section("meaning", "Why this is self-supervised learning", (Paragraph(*_MEANING),), number="4.5"),
                Section(
                    "bridge",
                    "From two dimensions to masked pre-training",
                    (_derived(study, "dimensions"), Paragraph(_masked(study), *_network(network))),
                    number="4.6",
                ),
            ),
            number="4",
        ),
        (_headline(study),),
        (
            ("Gaussian samples", f"seed {budget.seed}, {study.runs} of each size"),
            ("network that predicts masked values", f"seed {budget.pretraining.seed}, one run"),
        ),
        _short(study),
    )


def _short(study: Gaussian) -> tuple[Section, ...]:
    derived = (
        Section("short-population", "For the population", (_derived(study, "population"),), number="4.1"),
        Section("short-sample", "For a sample", (_derived(study, "sample"),), number="4.2"),
    )
    return (
        Section("short-gaussian", "Self-supervision on a Gaussian", (Paragraph(_question(study)),), derived, "4"),
        Section("short-meaning", "Why this is self-supervised learning", (Paragraph(*_MEANING),), number="4.5"),
    )


def _pretraining(context: ReportContext) -> GaussianPretraining:
    recipe = context.budget.pretraining
    context.progress.stage("predicting masked values", recipe.epochs * recipe.steps_per_epoch(TRAINED_ON))
    return GaussianPretraining(
        **context.store.cached(
            "gaussian-pretraining", vars(recipe), lambda: vars(gaussian_pretraining(recipe, context.progress.advance))
        )
    )


def _derived(study: Gaussian, part: str) -> Derivation:
    return Derivation(*study.steps[part])


def _figure(study: Gaussian, context: ReportContext) -> FigureBlock:
    return context.figure(
        draw_estimates(
            np.array(study.correlations),
            np.array(study.sizes),
            study.least_squares,
            study.likelihood,
            (np.sqrt(study.predicted_least_squares), np.sqrt(study.predicted_likelihood)),
        ),
        "gaussian",
        Statement("Errors of least squares and maximum likelihood for growing samples"),
        shown=(_shown(study),),
        findings=_findings(study),
        basis=Statement("{runs} samples for each correlation and size, one seed for all.", {"runs": study.runs}),
        arrays={"least_squares": study.least_squares, "likelihood": study.likelihood},
    )


def _headline(study: Gaussian) -> Statement:
    steps = [step for part in study.steps.values() for step in part]
    return Statement(
        "Least squares on a Gaussian with unit variances learns the correlation: {held} of {steps} formulas of the "
        "derivation were verified by SymPy, and at n = {n:,} the mean estimate is within {bias} of it.",
        {"held": sum(step.holds for step in steps), "steps": len(steps), "n": study.sizes[-1], "bias": _bias(study)},
    )


_MEANING = (
    Statement(
        "One part of the data is predicted from the other, without any label: <x> is the input and <y> the target, "
        "both from the same pair. The weight with the best prediction is the parameter of the joint distribution. So "
        "learning to predict means learning the distribution, as far as prediction needs it."
    ),
    Statement(
        "It does not learn what prediction does not need. If the variances were unknown, the weight would contain "
        "their ratio but not their size, which the likelihood of the pairs would give."
    ),
)


def _question(study: Gaussian) -> Statement:
    steps = [step for part in study.steps.values() for step in part]
    return Statement(
        "Let <x> and <y> be jointly Gaussian with mean zero, variance one and correlation <c>, and predict <y> by <w> "
        "<x>. That least squares learns <w> = <c> is derived for the population and for a sample. Each step is an "
        "argument in words and a formula; SymPy verified {held} of the {steps} formulas when this page was built.",
        {"steps": len(steps), "held": sum(step.holds for step in steps)},
    )


def _shown(study: Gaussian) -> Statement:
    return Statement(
        "For each correlation and sample size, {runs} samples were drawn. A bar spans the middle {level:.0%} of the "
        "estimates' errors, the point is their median; the bands are the middle {level:.0%} of a Gaussian with the "
        "variance derived above, which for the likelihood is that for large n.",
        {"runs": study.runs, "level": 0.95},
    )


def _findings(study: Gaussian) -> tuple[Statement, ...]:
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
        "In {d} dimensions: each coordinate in turn is masked and predicted from the others by least squares, from "
        "{samples:,} samples. The weights and residual variances together give the precision matrix <precision> to "
        "within {error:.1%} of its largest entry.",
        {"d": len(study.masked.precision), "samples": study.masked.samples, "error": study.masked.max_error},
    )


def _network(network: GaussianPretraining) -> tuple[Statement, ...]:
    return (
        Statement(
            "The masked pre-training of the series transformer is the same with a network instead of a line. Trained "
            "on {trained:,} Gaussian series of {steps} steps with {share:.0%} of the values masked, it predicts masked "
            "values of new series with a mean squared error of {model:.3f}. Predicting the mean gives {mean:.3f}; the "
            "conditional mean given the covariance and the visible values gives {optimal:.3f}, the smallest possible.",
            {
                "trained": TRAINED_ON,
                "steps": STEPS,
                "share": network.masked_fraction,
                "model": network.model_mse,
                "mean": network.mean_mse,
                "optimal": network.optimal_mse,
            },
        ),
        Statement(
            "So without a label it has learned {explained:.0%} of what can be learned, and its predictions have a "
            "correlation of {correlation:.2f} with the optimal ones."
            if network.explained > 0
            else "It has learned nothing of what can be learned (correlation with the optimal predictions "
            "{correlation:.2f}).",
            {"explained": network.explained, "correlation": network.correlation},
        ),
    )


def gaussian_widget() -> Widget:
    """Sliders for the correlation and the sample size; the page draws and computes everything."""
    folder = files("headwise.coursework.report")
    markup, script = (folder.joinpath(f"gaussian_widget.{kind}").read_text(encoding="utf-8") for kind in ("html", "js"))
    return Widget(
        "gaussian-widget",
        Statement("Change the correlation and the sample size"),
        (
            Statement(
                "Left, a sample with the line of slope <w> that least squares fits to it, and the line of slope <c>. "
                "Right, the population loss as a function of <w>; the shaded band has the width of the interval that "
                "contains {level:.0%} of the estimates, and the dot is the estimate from this sample.",
                {"level": 0.95},
            ),
        ),
        markup,
        script,
    )
