"""Figure of the estimates of a correlation against the sample size."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from headwise.figures import new_figure
from headwise.shapes import Array

_LEAST_SQUARES, _LIKELIHOOD = "#7a9cc6", "#c2571a"
_95 = 1.96  # standard deviations on either side of the mean that contain 95% of a Gaussian


def draw_estimates(
    correlations: Array, sizes: Array, least_squares: Array, likelihood: Array, deviations: tuple[Array, Array]
) -> Figure:
    """The interval with 95% of the estimates, for two estimators, and the predicted interval.

    Estimates are (C, S, runs), of each correlation (C,) from samples of each size (S,), predicted deviations (C, S).
    """
    with new_figure(7.2, 2.5) as figure:
        grid = figure.subplots(1, len(correlations), sharex=True)
        for i, (axes, c) in enumerate(zip(np.atleast_1d(grid), correlations, strict=True)):
            axes.axhline(0, color="#555555", linewidth=0.5)
            pairs = (
                (least_squares, _LEAST_SQUARES, "least squares", 0.93),
                (likelihood, _LIKELIHOOD, "likelihood", 1.07),
            )
            for (estimates, color, name, shift), deviation in zip(pairs, deviations, strict=True):
                axes.fill_between(sizes, -_95 * deviation[i], _95 * deviation[i], color=color, alpha=0.18, linewidth=0)
                low, middle, high = np.percentile(estimates[i] - c, [2.5, 50, 97.5], axis=-1)
                axes.errorbar(
                    sizes * shift,
                    middle,
                    [middle - low, high - middle],
                    fmt=".",
                    color=color,
                    markersize=3,
                    linewidth=1,
                    label=name,
                )
            axes.set(xscale="log", xlabel="sample size n", title=f"c = {c:g}".replace("-", "−"), ylim=(-1, 1))
        np.atleast_1d(grid)[0].set_ylabel("estimate − c")
        for axes in np.atleast_1d(grid)[1:]:
            axes.set_yticklabels([])
        np.atleast_1d(grid)[0].legend(loc="lower right")
    return figure
