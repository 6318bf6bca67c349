"""The faithfulness experiment: which attribution maps predict the effect of removing tokens."""

from headwise.experiments.faithfulness import findings, plots, run, tables
from headwise.experiments.faithfulness.result import FaithfulnessResult
from headwise.experiments.faithfulness.run import FaithfulnessPlan
from headwise.experiments.faithfulness.subjects import Examples, Subject, drawing_subject, load_subject
from headwise.experiments.protocol import Experiment

__all__ = [
    "EXPERIMENT",
    "Examples",
    "FaithfulnessPlan",
    "FaithfulnessResult",
    "Subject",
    "drawing_subject",
    "load_subject",
]


EXPERIMENT = Experiment(
    "faithfulness",
    "Faithfulness of attribution maps",
    run.run,
    findings.findings,
    tables.tables,
    plots.figures,
    records=tables.records,
)
