"""How far off models of sets are, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from headwise.figures import fix_layout, style

__all__ = ["draw_errors"]

_SEED, _MEAN, _PAPER = "#7a9cc6", "#c2571a", "#555555"


def draw_errors(errors: Mapping[str, Sequence[float]], published: Mapping[str, float]) -> Figure:
    """The error of every run, the mean of each model's, and the published mean where there is one.

    Parameters
    ----------
    errors : mapping of str to sequence of float
        By model, from above.
    published : mapping of str to float

    Returns
    -------
    Figure
    """
    names = list(errors)
    with style():
        figure = Figure(figsize=(7.2, 0.8 + 0.3 * len(names)), layout="constrained")
        axes = figure.subplots()
        for row, name in enumerate(names):
            axes.plot(errors[name], [row] * len(errors[name]), "o", color=_SEED, ms=4, mew=0, alpha=0.8)
            axes.plot(np.mean(errors[name]), row, "|", color=_MEAN, ms=12, mew=1.8)
        shown = [name for name in names if name in published]
        rows = [names.index(name) for name in shown]
        axes.plot([published[name] for name in shown], rows, "D", mfc="none", mec=_PAPER, ms=5)
        axes.set(xscale="log", yticks=range(len(names)), yticklabels=names, ylim=(-0.6, len(names) - 0.4))
        axes.set_xlabel("mean absolute error: a dot a seed, a bar their mean, a diamond the paper's mean as remembered")
        axes.invert_yaxis()
        axes.grid(axis="x", linewidth=0.3, color="#dddddd")
        fix_layout(figure)
    return figure
