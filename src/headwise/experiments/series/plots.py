"""The figures of the time-series experiment."""

from __future__ import annotations

from matplotlib.figure import Figure

from headwise.experiments.plots import draw_accuracies, draw_losses
from headwise.experiments.series.attention import draw_series, record_series
from headwise.experiments.series.baselines import BASELINES
from headwise.experiments.series.result import METHOD_LABELS, SeriesResult


def figures(result: SeriesResult) -> dict[str, Figure]:
    """Accuracy by method, the losses of training, and the attention of one model to one series."""
    ours = {METHOD_LABELS[method]: method for method in result.accuracies if method not in BASELINES}
    losses = {label: [run.losses for run in result.of(method)] for label, method in ours.items()}
    accuracies = {METHOD_LABELS[method]: values for method, values in result.accuracies.items()}
    return {
        "accuracy": draw_accuracies(accuracies, highlight=ours),
        "losses": draw_losses(losses, [run.pretraining_losses for run in result.of("pre-trained")]),
        "attention": draw_series(record_series(result)),
    }
