"""The figure of the sets experiment: errors of every seed."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from headwise.experiments.sets.findings import PUBLISHED_ERRORS
from headwise.experiments.sets.run import SetsResult
from headwise.figures import new_figure
from headwise.figures.colors import GRID, MARK, PALE_ACCENT, REFERENCE


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
