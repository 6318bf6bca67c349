"""The tabular experiment: columns as tokens against boosted trees and a linear model."""

from headwise.experiments.protocol import Experiment
from headwise.experiments.tables import findings, run
from headwise.experiments.tables.run import MODELS, TableScores, TablesPlan, TablesResult, list_runs

__all__ = ["EXPERIMENT", "MODELS", "TableScores", "TablesPlan", "TablesResult", "list_runs"]

EXPERIMENT = Experiment(
    "tables", "Models of tables compared", run.run, findings.findings, lambda result: (findings.table(result),)
)
