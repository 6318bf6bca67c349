"""The report's part on a Gaussian: least squares learns the correlation, and why that is self-supervision."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headwise.files import replacing
from headwise.picture.document import Derivation, Figured, Paragraph, Section, Table
from headwise.picture.gaussian import draw_estimates
from headwise.picture.save import inline, save_figure
from headwise.picture.text import Statement
from headwise.studies.gaussian import Gaussian

__all__ = ["gaussian_section"]


def gaussian_section(study: Gaussian, folder: Path) -> Section:
    """Draw the estimates, and write the derivation and what the experiment found."""
    figure = draw_estimates(
        np.array(study.correlations),
        np.array(study.sizes),
        study.least_squares,
        study.likelihood,
        (np.sqrt(study.predicted_least_squares), np.sqrt(study.predicted_likelihood)),
    )
    paths = save_figure(figure, folder / "figures" / "gaussian")
    with replacing(folder / "figures" / "gaussian.npz") as beside:
        np.savez(beside, allow_pickle=False, least_squares=study.least_squares, likelihood=study.likelihood)
    return Section(
        "gaussian",
        "Self-supervision on a Gaussian",
        (
            Paragraph((_question(study),)),
            Derivation(tuple((step.words, step.tex, step.holds) for step in study.steps)),
            Figured(
                inline(figure),
                Statement("What least squares and the likelihood make of samples of growing size"),
                {"What is shown": (_shown(study),), "What it says": _said(study)},
                tuple(f"figures/{path.name}" for path in paths),
            ),
            _table(study),
            Paragraph(_MEANING),
            Paragraph((_masked(study),)),
        ),
    )


_MEANING = (
    Statement(
        "This is self-supervision in its smallest form: one part of the data is predicted from the other, nobody gave "
        "a label, and the weight that makes the prediction best is the parameter of the joint distribution."
    ),
    Statement(
        "What it does not learn is what prediction does not need: had the variances been unknown, their ratio would be "
        "mixed into the weight, and their size would not be in it at all."
    ),
)


def _question(study: Gaussian) -> Statement:
    return Statement(
        "Let x and y be Gaussian with mean zero, variance one and correlation c, and predict y by w x. Each of the "
        "{steps} steps below was put to SymPy when this page was made; {held} held.",
        {"steps": len(study.steps), "held": sum(step.holds for step in study.steps)},
    )


def _shown(study: Gaussian) -> Statement:
    return Statement(
        "For each correlation and sample size, {runs} samples were drawn. A bar spans the middle {level:.0%} of the "
        "estimates' errors, the point is their median; the bands are where the variances derived above put them.",
        {"runs": study.runs, "level": 0.95},
    )


def _said(study: Gaussian) -> tuple[Statement, ...]:
    squares = study.ratio(study.least_squares, study.predicted_least_squares)
    most = int(np.argmax(np.abs(study.correlations)))
    saved = study.likelihood[most, -1].var(ddof=1) / study.least_squares[most, -1].var(ddof=1)
    c = study.correlations[most]
    return (
        Statement(
            "At n = {n:,} the mean estimate is within {bias:.4f} of c for every c.",
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
            "For c = {c:g} and n = {n:,} the likelihood has {saved:.2f} times the variance of least squares; derived, "
            "for large n, was {derived:.2f}.",
            {"c": c, "n": study.sizes[-1], "saved": float(saved), "derived": (1 - c**2) / (1 + c**2)},
        ),
    )


def _bias(study: Gaussian) -> float:
    means = study.least_squares[:, -1].mean(axis=-1)
    return float(np.abs(means - np.array(study.correlations)).max())


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
        "The same in {d} dimensions: each coordinate hidden in turn and predicted from the others, from {samples:,} "
        "samples. The weights and residual variances, put together, give the precision matrix to within "
        "{deviation:.1%} of its largest entry. A network that is trained to fill in masked values does this with more "
        "than straight lines.",
        {
            "d": len(study.masked.precision),
            "samples": study.masked.samples,
            "deviation": study.masked.largest_deviation,
        },
    )
