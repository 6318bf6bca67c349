"""What a comparison of series classifiers leaves in its folder: table, findings and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headwise.data.series import standardize
from headwise.document import as_markdown_table
from headwise.experiments.plots import draw_accuracies, draw_losses
from headwise.experiments.series.baselines import BASELINES
from headwise.experiments.series.findings import findings, table
from headwise.experiments.series.plots import SeriesRecord, caption_series, draw_series
from headwise.experiments.series.run import METHOD_LABELS, Result, weights_of
from headwise.experiments.statistics import t_interval
from headwise.figures import save_figure
from headwise.files import write_text
from headwise.models.series import predict_series_with_attention
from headwise.nn.losses import softmax
from headwise.text import as_markdown

__all__ = ["record_series", "save_report"]


def save_report(result: Result) -> list[Path]:
    """Write ``summary.md``, ``accuracy.*``, ``losses.*`` and ``attention.*`` into the folder; returns their paths."""
    folder = result.folder
    accuracies = {METHOD_LABELS[method]: values for method, values in result.accuracies.items()}
    intervals = {name: t_interval(values)[1:] for name, values in accuracies.items()}
    ours = [method for method in result.accuracies if method not in BASELINES]
    losses = {METHOD_LABELS[method]: [row.losses for row in result.of(method)] for method in ours}
    imputing = [row.imputing for row in result.of("pre-trained")]
    drawn = record_series(result, 0)
    paths = [
        *save_figure(
            draw_accuracies(accuracies, intervals, [METHOD_LABELS[method] for method in ours]), folder / "accuracy"
        ),
        *save_figure(draw_losses(losses, imputing), folder / "losses"),
        *save_figure(draw_series(drawn), folder / "attention"),
    ]
    paths += caption_series(drawn).save(folder / "attention")
    write_text(folder / "summary.md", _summary(result))
    return [*paths, folder / "summary.md"]


def record_series(result: Result, which: int) -> SeriesRecord:
    """One of the judged series, as the transformer of seed 0 sees it; the pre-trained one if there is one."""
    method = "pre-trained" if result.plan.pretrain else "transformer"
    model, judged = result.plan.model(result.data), standardize(result.data).test
    one = judged.take(np.array([which]))
    length = int(one.lengths[0])
    seen = predict_series_with_attention(one.x[:, :length], one.lengths, weights_of(result, method), model)
    return SeriesRecord(
        one.x[0, :length],
        seen.weights[0],
        softmax(seen.outputs)[0],
        result.data.classes,
        int(one.labels[0]),
        model.d_model // model.n_heads,
    )


def _summary(result: Result) -> str:
    """The table and the findings, as Markdown."""
    made = table(result)
    said = " ".join(as_markdown(statement) for statement in findings(result))
    return f"# {as_markdown(made.title)}\n\n{as_markdown_table(made)}\n\n{said}\n"
