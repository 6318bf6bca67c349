"""The faithfulness experiment: which attention maps predict the effect of removing tokens."""

from headwise.experiments.faithfulness import findings, plots, run, tables
from headwise.experiments.faithfulness.maps import MAPS, REFERENCES
from headwise.experiments.faithfulness.result import FaithfulnessResult
from headwise.experiments.faithfulness.run import FaithfulnessPlan
from headwise.experiments.protocol import Experiment

__all__ = ["EXPERIMENT", "MAPS", "REFERENCES", "FaithfulnessPlan", "FaithfulnessResult"]

EXPERIMENT = Experiment(
    "faithfulness",
    "Faithfulness of attention maps",
    run.run,
    findings.findings,
    tables.tables,
    plots.figures,
    records=tables.records,
)
