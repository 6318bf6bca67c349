"""The time-series experiment: a transformer with and without pre-training against DTW and ROCKET.

Source: Zerveas et al., "A Transformer-based Framework for Multivariate Time Series Representation Learning", arXiv
2010.02803 (2021), section 4.
"""

from headwise.experiments.protocol import Experiment
from headwise.experiments.series import findings, run
from headwise.experiments.series.findings import explain_series
from headwise.experiments.series.result import METHOD_LABELS, SeriesPlan, SeriesResult, SeriesRun
from headwise.experiments.series.run import list_runs

__all__ = ["EXPERIMENT", "METHOD_LABELS", "SeriesPlan", "SeriesResult", "SeriesRun", "explain_series", "list_runs"]

EXPERIMENT = Experiment(
    "series",
    "Series classifiers compared",
    run.run,
    findings.findings,
    lambda result: (findings.table(result),),
    findings.figures,
    explanation=explain_series,
)
