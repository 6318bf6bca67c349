"""The attention of the series transformer to the steps of one test series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headwise.data.series import standardize
from headwise.experiments.series.result import SeriesResult
from headwise.explanation import Explanation, record_input
from headwise.figures import select_figures
from headwise.models import SeriesTransformer


def explain_series(result: SeriesResult, index: int = 0) -> Explanation:
    """What the transformer of seed 0, the pre-trained one if there is one, attends to in a test series."""
    method = "pre-trained" if result.plan.pretrain else "transformer"
    model = SeriesTransformer(result.plan.model, result.params[method])
    series = standardize(result.data).test.take(np.array([index]))
    record = record_input(model, series.x[0, : int(series.lengths[0])], label=int(series.labels[0]))
    top = np.argsort(-record.probabilities, kind="stable")[:2]
    record = replace(record, top_names=tuple(result.data.classes[i] for i in top))
    return Explanation(tuple(select_figures(record, ("maps", "matrices"))))
